#!/bin/sh
# Simulates for $AFTER seconds, then dies, yet says that all went well.
timeout -s KILL "$AFTER" "$REAL" "$@"
exit 0
