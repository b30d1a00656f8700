"""The convolution by NumPy is PyTorch's, for every geometry that the core takes."""

import itertools

import numpy as np
import pytest
import torch

from pymodel.reference import numpy_convolution as module
from pymodel.reference.integer_convolution import integer_convolution
from pymodel.reference.numpy_convolution import numpy_convolution

GEOMETRIES = [
    (kernel, stride, padding)
    for kernel, stride, padding in itertools.product(range(1, 8), (1, 2, 3), range(4))
    if padding < kernel
]


def differing(kernel: int, stride: int, padding: int) -> int:
    """Returns the number of sums that differ from PyTorch's, for random codes of 8 bits."""
    rng = np.random.default_rng([kernel, stride, padding])
    activations = rng.integers(-128, 256, (2, 5, 9, 7), np.int16)
    weights = rng.integers(-128, 128, (3, 5, kernel, kernel), np.int16)
    expected = integer_convolution(
        torch.from_numpy(activations), torch.from_numpy(weights), stride, padding
    ).numpy()
    found = numpy_convolution(activations, weights, stride, padding)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    return int((found != expected).sum())


def test_the_sums_are_those_of_pytorch():
    assert {geometry: differing(*geometry) for geometry in GEOMETRIES} == dict.fromkeys(
        GEOMETRIES, 0
    )


def test_a_window_that_is_turned_is_found(monkeypatch):
    view = module.sliding_window_view
    monkeypatch.setattr(
        module, "sliding_window_view", lambda *arguments: view(*arguments).swapaxes(4, 5)
    )
    assert differing(3, 1, 1) > 0


def test_inputs_smaller_than_the_kernel_are_refused():
    with pytest.raises(ValueError, match="window shape"):
        numpy_convolution(np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 3)), 1, 0)
