#!/bin/sh
# Ends with an error of its own, without a simulation.
exit 3
