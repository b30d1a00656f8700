"""How the network is trained: CIFAR-10, the recipe, the quantisation-aware loop, evaluation."""

import pymodel  # noqa: F401 - whose modules and ours are loaded from their sources
