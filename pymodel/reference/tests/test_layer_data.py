"""Errors of recovered values are measured in the units of the network and in steps."""

from dataclasses import replace

import pytest

from pymodel.layer_capture import capture
from pymodel.reference.integer_convolution import integer_convolution
from pymodel.reference.layer_data import layer_data


def test_error_is_in_the_units_of_the_next_input_and_in_steps(shipped, images):
    layer = layer_data(capture(shipped, images.images[:2]))
    sums = integer_convolution(layer.activation_codes, layer.weight_codes, 1, 1)
    error, error_steps = layer.error(sums)
    assert error < 1e-5
    assert error_steps < 1e-3
    off = replace(layer, reference=layer.reference + 2e-3)
    error, error_steps = off.error(sums)
    assert error == pytest.approx(2e-3, rel=1e-2)
    assert error_steps == pytest.approx(2e-3 / layer.step.min().item(), rel=1e-2)


def test_a_step_counts_batch_norm(shipped, images):
    """features.24 has BatchNorm before the next convolution: one unit of its sum is one step."""
    layer = layer_data(capture(shipped, images.images[:2], "features.24"))
    sums = integer_convolution(layer.activation_codes, layer.weight_codes, 1, 1)
    assert layer.error(sums)[1] < 0.01
    positive = (layer.reference > 0).all(0)
    assert positive.any()
    assert layer.error(sums + positive)[1] == pytest.approx(1, rel=1e-2)
