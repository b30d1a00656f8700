#!/bin/sh
# Compiles, and then crashes; it still names its version.
"$REAL" "$@"
[ "$1" = -V ] || kill -SEGV $$
