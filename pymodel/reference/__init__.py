"""Computes with PyTorch, on integers, what the hardware must compute."""
