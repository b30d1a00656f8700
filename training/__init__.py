"""How the network is trained: CIFAR-10, the recipe, the quantisation-aware loop, evaluation."""
