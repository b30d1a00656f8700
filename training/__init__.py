"""Trains and evaluates the network: CIFAR-10, the recipes, the quantisation-aware loop."""
