#!/bin/sh
# Says one line, and then nothing for ever.
echo alive
exec sleep 1000
