#!/bin/sh
# Fails whatever it is asked, its version included.
exit 1
