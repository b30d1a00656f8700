"""Implements the optimiser Muon.

The source is Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
"""

import torch
from torch import Tensor

# The coefficients of x → a·x + b·x³ + c·x⁵, whose iteration takes singular values of 0..1 into
# about 0.7..1.2 (the paper's section "Newton-Schulz").
QUINTIC = (3.4445, -4.7750, 2.0315)
# The five iterations are done in rounds, each of which starts again from the matrix itself. In bf16
# the rounding errors of a Gram matrix grow twelvefold per iteration, which is too much after five
# iterations, and not after three.
ROUNDS = (3, 2)


def polynomial(gram: Tensor) -> Tensor:
    """Returns a·I + b·G + c·G² of a square matrix G, with the coefficients of QUINTIC."""
    a, b, c = QUINTIC
    result = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    result.diagonal().add_(a)
    return result


def orthogonalise(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Returns a matrix with the singular vectors of `matrix` and singular values near 1.

    Both matrices are [m, n]; the result is of `dtype`. A round iterates on the small Gram matrix
    G = X·Xᵀ: where X → A·X with A = a·I + b·G + c·G², also G → A·G·A. The product of all A is then
    applied to X once. For a 512 × 4608 weight this takes half of the arithmetic of the iteration on
    X itself.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = (x / (x.norm() + 1e-7)).to(dtype)
    for iterations in ROUNDS:
        gram = x @ x.T
        step = product = polynomial(gram)
        for _ in range(iterations - 1):
            gram = step @ gram @ step
            step = polynomial(gram)
            product = step @ product
        x = product @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Updates weights [out_channels, in_channels, k, k] by orthogonalised Nesterov momentum.

    A step first scales each weight to the norm √out_channels. An orthogonalised matrix has about
    the same norm if it has no more rows than columns, and a smaller one otherwise. So the
    relative size of a step is about `lr`, or less. The norm of a weight may be chosen, because the
    BatchNorm after the convolution divides by it; after the squeezed layer, which has no BatchNorm,
    the learned scale of the next layer follows it. `dtype` is the dtype of the matrix products.
    """

    def __init__(
        self, weights, lr: float | Tensor, momentum: float, dtype: torch.dtype = torch.float32
    ):
        super().__init__(weights, {"lr": lr, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self) -> None:
        """Updates all weights from their gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                momentum = state["momentum_buffer"]
                momentum.mul_(group["momentum"]).add_(weight.grad)
                ahead = weight.grad.add(momentum, alpha=group["momentum"])
                weight.mul_(len(weight) ** 0.5 / weight.norm())
                direction = orthogonalise(ahead.flatten(1), self.dtype)
                weight.sub_(direction.view_as(weight) * group["lr"])
