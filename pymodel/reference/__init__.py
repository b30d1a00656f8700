"""Computes from the network, on integers, what the hardware must compute."""
