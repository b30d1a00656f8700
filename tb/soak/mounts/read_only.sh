#!/bin/sh
# read_only.sh COMMAND...: runs a command in this folder, which is mounted read-only, in mounts of
# this process's own.
mount --bind . . || exit
mount -o remount,ro,bind . || exit
cd "$PWD" || exit # into the new mount
exec "$@"
