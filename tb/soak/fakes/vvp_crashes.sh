#!/bin/sh
# Dies by a segmentation fault, without a simulation.
kill -SEGV $$
