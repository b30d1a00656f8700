#!/bin/sh
# Finds an error in a source.
[ "$1" = -V ] && exec "$REAL" -V
echo "a.v:1: error: no"
exit 2
