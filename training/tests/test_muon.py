"""Muon's steps are orthogonal, and keep each weight's norm."""

import pytest
import torch

import training.muon
from training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(8, 72), (64, 64), (72, 8)])
def test_orthogonalised_singular_values_are_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalise(matrix))
    # The largest values are near one; the smallest of a square matrix may need more iterations.
    assert values.max() < 1.3
    assert values.median() > 0.6


def test_orthogonalised_keeps_the_singular_vectors():
    generator = torch.Generator().manual_seed(2)
    left, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(72, 8, generator=generator))
    matrix = left @ torch.diag(torch.linspace(1, 2, 8)) @ right.T
    aligned = left.T @ orthogonalise(matrix) @ right
    assert (aligned - torch.diag(aligned.diagonal())).abs().max() < 1e-3


def test_a_step_starts_from_the_norm_and_has_the_size_of_the_learning_rate():
    generator = torch.Generator().manual_seed(3)
    weight = torch.nn.Parameter(torch.randn(8, 8, 3, 3, generator=generator))
    before = weight.detach() * 8**0.5 / weight.detach().norm()
    weight.grad = torch.randn(8, 8, 3, 3, generator=generator)
    Muon([weight], lr=0.1, momentum=0.9).step()
    size = (weight.detach() - before).norm() / before.norm()
    assert size.item() == pytest.approx(0.1, rel=0.3)


def test_in_bf16_an_ill_conditioned_matrix_does_not_explode(monkeypatch):
    """The matrix has one direction far above the others, as gradients after a ReLU have.

    With five iterations in one round it does explode.
    """
    generator = torch.Generator().manual_seed(4)
    matrix = torch.rand(64, 64, generator=generator) @ torch.rand(64, 576, generator=generator)
    exact = orthogonalise(matrix)
    assert torch.linalg.svdvals(exact).max() < 1.3
    found = orthogonalise(matrix, torch.bfloat16)
    assert found.dtype == torch.bfloat16
    assert torch.linalg.svdvals(found.float()).max() < 1.3
    assert torch.cosine_similarity(found.float().flatten(), exact.flatten(), 0) > 0.95
    monkeypatch.setattr(training.muon, "ROUNDS", (5,))
    assert torch.linalg.svdvals(orthogonalise(matrix, torch.bfloat16).float()).max() > 2
