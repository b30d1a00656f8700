#!/bin/sh
# Makes the file $SIGN when it has begun, and goes on for ever; it still names its version.
[ "$1" = -V ] && exec "$REAL" -V
touch "$SIGN"
exec sleep 1000
