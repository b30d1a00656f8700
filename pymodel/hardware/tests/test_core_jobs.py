"""Whatever the convolution, its jobs fit the core, and their sums together are the convolution's.

No RTL runs here: each job is computed by NumPy, within the limits that the core itself checks.
"""

import numpy as np
import pytest
import torch

from pymodel.convolution import Convolution
from pymodel.hardware.core import Core, check
from pymodel.hardware.core_jobs import lower
from pymodel.hardware.registers import Error
from pymodel.reference.integer_convolution import integer_convolution
from pymodel.reference.numpy_convolution import numpy_convolution

SMALL = Core(4, 4, 16, act_words=64, weight_words=144, threshold_tiles=2, pixels=30)
CORE = Core()


def lowered(shape, weight_shape, convolution, core=CORE, zero=0, seed=1):
    """Returns how a layer is lowered, after its jobs' sums were compared with PyTorch's."""
    rng = np.random.default_rng(seed)
    (low, high), (least, most) = core.act_range, core.weight_range
    codes = rng.integers(low, high + 1, shape)
    weights = rng.integers(least, most + 1, weight_shape)
    found = lower(codes, weights, convolution, core, zero)
    results = []
    for job in found.jobs:
        layer = job.layer
        assert check(layer, core) == Error.NONE, layer
        assert job.codes.shape == (layer.images, layer.in_channels, layer.height, layer.width)
        assert job.weights.shape == (layer.out_channels, layer.in_channels, *[layer.kernel] * 2)
        results.append(numpy_convolution(job.codes, job.weights, layer.stride, layer.padding))
    expected = integer_convolution(
        torch.from_numpy(codes), torch.from_numpy(weights), *convolution, zero=zero
    )
    assert np.array_equal(found.together(results), expected.numpy())
    return found


@pytest.mark.parametrize(
    ("shape", "weight_shape", "convolution", "zero", "words", "jobs"),
    [
        ((2, 8, 4, 4), (8, 8, 3, 3), Convolution(1, 1), 0, "", 1),
        ((2, 8, 5, 4), (8, 8, 3, 3), Convolution(2, 1), 0, "", 1),
        ((2, 8, 4, 4), (8, 8, 3, 3), Convolution(1, 1), 3, "border by the host", 1),
        ((1, 8, 1, 1), (8, 8, 3, 3), Convolution(1, 1), 3, "border by the host", 1),
        ((1, 8, 1, 1), (8, 8, 3, 3), Convolution(1, 1), 0, "", 1),
        ((1, 8, 4, 4), (8, 8, 5, 5), Convolution(1, 4), 0, "border by the host", 1),
        ((1, 8, 4, 4), (8, 8, 3, 3), Convolution(1, (0, 1)), 0, "border by the host", 1),
        ((1, 8, 9, 9), (8, 8, 3, 3), Convolution(1, 2, 2), 0, "im2col", 1),
        ((1, 16, 1, 40), (8, 16, 1, 9), Convolution(1, (0, 4)), 0, "im2col", 1),
        ((1, 3, 30, 30), (8, 3, 11, 11), Convolution(4, 2), 0, "im2col", 1),
        ((1, 8, 9, 9), (8, 8, 3, 3), Convolution((1, 2), 1), 0, "im2col", 1),
        ((16, 8, 2, 2), (8, 8, 2, 3), Convolution(1, 1, (2, 1)), 0, "kernel with zeros", 1),
        ((16, 8, 2, 2), (8, 8, 3, 2), Convolution(1, 1, (1, 2)), 0, "kernel with zeros", 1),
        ((1, 8, 9, 9), (8, 8, 7, 7), Convolution(1, 3), 0, "", 1),
        ((1, 8, 9, 9), (8, 8, 7, 7), Convolution(1, 4), 0, "border by the host", 1),
        ((1, 8, 9, 9), (8, 8, 8, 8), Convolution(1, 3), 0, "im2col", 1),
        ((1, 8, 1, 255), (8, 8, 1, 1), Convolution(), 0, "", 1),
        ((1, 8, 1, 510), (8, 8, 1, 1), Convolution(), 0, "2 windows", 2),
        ((1, 8, 510, 1), (8, 8, 1, 1), Convolution(), 0, "2 windows", 2),
        (
            (2, 8, 6, 6),
            (8, 1, 4, 3),
            Convolution(1, 1, 1, 8),
            5,
            "kernel with zeros, border by the host, 8 groups a tile",
            1,
        ),
        ((1, 16, 8, 8), (8, 16, 1, 1), Convolution(2), 0, "pixels picked", 1),
        ((1, 16, 9, 8), (8, 16, 1, 1), Convolution((3, 1)), 0, "pixels picked", 1),
        ((1, 16, 9, 8), (8, 16, 1, 1), Convolution(1, 1), 2, "border by the host", 1),
        ((2, 16, 6, 6), (16, 1, 3, 3), Convolution(1, 1, 1, 16), 0, "8 groups a tile", 2),
        ((2, 12, 6, 6), (24, 1, 3, 3), Convolution(2, 1, 1, 12), 0, "4 groups a tile", 3),
        ((1, 32, 4, 4), (32, 16, 3, 3), Convolution(1, 1, 1, 2), 0, "group by group", 2),
        ((1, 4, 4, 4), (24, 2, 3, 3), Convolution(1, 1, 1, 2), 0, "im2col, group by group", 2),
        ((1, 8, 4, 4), (8, 4, 3, 3), Convolution(1, 1, 1, 2), 0, "2 groups a tile", 1),
    ],
)
def test_what_the_host_does(shape, weight_shape, convolution, zero, words, jobs):
    found = lowered(shape, weight_shape, convolution, zero=zero)
    assert (found.words, len(found.jobs)) == (words, jobs)


@pytest.mark.parametrize(
    ("shape", "weight_shape", "convolution", "words"),
    [
        ((2, 4, 9, 9), (4, 4, 3, 3), Convolution(1, 1), "border by the host, 3 windows"),
        ((1, 20, 4, 4), (8, 20, 3, 3), Convolution(1, 1), "3 parts of the input channels"),
        ((1, 24, 4, 4), (8, 24, 3, 3), Convolution(1, 1), "2 parts of the input channels"),
        ((1, 400, 1, 1), (8, 400, 1, 1), Convolution(), "4 parts of the input channels"),
        ((1, 4, 1, 300), (4, 4, 1, 3), Convolution(1, (0, 1)), "im2col, 15 windows"),
        (
            (1, 4, 30, 30),
            (4, 4, 7, 7),
            Convolution(2, 3),
            "im2col, 5 parts of the input channels, 45 windows",
        ),
    ],
)
def test_what_does_not_fit_the_memories_is_cut(shape, weight_shape, convolution, words):
    found = lowered(shape, weight_shape, convolution, SMALL)
    assert found.words == words


def test_the_border_is_0_if_nothing_else_is_said():
    codes, weights = np.full((1, 8, 4, 4), 3), np.ones((8, 8, 3, 3), int)
    (job,) = lower(codes, weights, Convolution(1, (1, 0)), CORE).jobs
    assert set(np.unique(job.codes)) == {0, 3}


def test_each_job_has_its_sums():
    found = lower(np.ones((1, 8, 1, 510), int), np.ones((8, 8, 1, 1), int), Convolution(), CORE)
    with pytest.raises(ValueError, match="zip"):
        found.together([np.ones((1, 8, 1, 255), int)])


@pytest.mark.parametrize("seed", range(60))
def test_random_convolutions(seed):
    """Any geometry on any of three cores gives PyTorch's sums."""
    rng = np.random.default_rng(seed)
    signed = Core(4, 4, 24, 80, 160, 2, 40, act_width=8, weight_width=8, act_signed=1)
    core = (SMALL, CORE, signed)[seed % 3]
    groups = int(rng.choice([1, 1, 2, 3, 5]))
    ins, outs = (int(rng.integers(1, 9)) for _ in range(2))
    kernel = [int(rng.integers(1, 5)) for _ in range(2)]
    stride, dilation = ([int(rng.integers(1, 4)) for _ in range(2)] for _ in range(2))
    padding = [int(rng.integers(0, 5)) for _ in range(2)]
    needed = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    sides = [
        max(1, n - 2 * p) + int(rng.integers(0, 12)) for n, p in zip(needed, padding, strict=True)
    ]
    convolution = Convolution(tuple(stride), tuple(padding), tuple(dilation), groups)
    lowered(
        (int(rng.integers(1, 4)), groups * ins, *sides),
        (groups * outs, ins, *kernel),
        convolution,
        core,
        int(rng.integers(0, 8)),
        seed,
    )
