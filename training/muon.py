"""Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024)."""

import torch
from torch import Tensor

# Quintic whose iteration takes singular values of 0..1 into about 0.7..1.2 (the paper's section
# "Newton-Schulz"): x → a·x + b·x³ + c·x⁵.
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalise(matrix: Tensor) -> Tensor:
    """A matrix with the singular vectors of `matrix` [m, n] and singular values near 1, float32.

    The iteration runs on the small Gram matrix G = X·Xᵀ: as X → A·X with A = a·I + b·G + c·G²,
    also G → A·G·A, and the product Q of all A is applied to X once. For a 512 × 4608 weight that
    is 40 % of the arithmetic of the iteration on X itself.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    a, b, c = QUINTIC
    gram = x @ x.T
    unit = torch.eye(len(gram), device=gram.device, dtype=gram.dtype)
    product = unit
    for _ in range(ITERATIONS):
        step = a * unit + b * gram + c * gram @ gram
        product = step @ product
        gram = step @ gram @ step
    x = product @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Steps of orthogonalised Nesterov momentum, for weights [out_channels, in_channels, k, k].

    Each weight is kept at the norm √out_channels, so `lr` is the relative size of a step. The norm
    itself is free: BatchNorm, or the ReLU and the learned scale after the squeezed layer, undo it.
    """

    def __init__(self, weights, lr: float | Tensor, momentum: float):
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """Update all weights from their gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                momentum = state["momentum_buffer"]
                momentum.mul_(group["momentum"]).add_(weight.grad)
                ahead = weight.grad.add(momentum, alpha=group["momentum"])
                weight.mul_(len(weight) ** 0.5 / weight.norm())
                weight.sub_(orthogonalise(ahead.flatten(1)).view_as(weight) * group["lr"])
