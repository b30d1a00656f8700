#!/bin/sh
# Simulates to the end, results included, and then crashes.
"$REAL" "$@"
kill -SEGV $$
