"""What the hardware must compute, from PyTorch, on integers."""
