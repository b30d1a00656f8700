#!/bin/sh
# small_disk.sh KIB COMMAND...: runs a command in a checkout whose build/ is a disk of KIB KiB, in
# mounts of this process's own. At the beginning the disk holds what saved/ holds, and saved/ has
# afterwards what the disk held in the end.
size=$1
shift
mount -t tmpfs -o "size=${size}k" tmpfs build || exit
cp -a saved/. build || exit
"$@"
code=$?
find saved -mindepth 1 -delete
cp -a build/. saved || exit
exit $code
