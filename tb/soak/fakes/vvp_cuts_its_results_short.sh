#!/bin/sh
# Simulates to the end, and leaves only the first $KEPT bytes of the results.
"$REAL" "$@"
truncate -s "$KEPT" "$COCOTB_RESULTS_FILE"
