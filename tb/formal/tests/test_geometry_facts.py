"""What the proof of `geometry` assumes about multiplication is true of all numbers."""

import itertools

import pytest
import z3

from pymodel.hardware.core import Core, Layer, check
from pymodel.hardware.registers import Error
from tb.formal.prove import statements


def layers_of_one_row():
    """Yields every layer of one image and channel whose height, or width, the registers can say."""
    for side, kernel, stride, padding in itertools.product(
        range(1, 256), range(1, 8), (1, 2), range(4)
    ):
        layer = Layer(side, 255, 1, 1, kernel, stride, padding)
        if not Error.NONE < check(layer, Core()) < Error.OVERFLOW:
            yield layer


def test_a_side_of_the_output_is_little_longer_than_the_maps():
    """A side is at most three longer than the map's, and at most four times as long; both occur."""
    layers = list(layers_of_one_row())
    sides = [(layer.height, layer.output_size[0]) for layer in layers]
    assert max(out - side for side, out in sides) == 3
    assert max(out / side for side, out in sides) == 4
    assert len(layers) > 10_000


def test_the_facts_follow():
    """For all whole numbers in these ranges, larger factors have larger products."""
    height, width, out_height, out_width, images, tiles = z3.Ints("h w oh ow images tiles")
    columns, cols, power = z3.Ints("columns cols power")
    ranges = [
        *(n >= 1 for n in (height, width, out_height, out_width, images, tiles)),
        out_height <= height + 3,
        out_width <= width + 3,
        out_height <= 4 * height,
        out_width <= 4 * width,
        columns >= 0,
        columns < 2**22,
        cols >= 1,
        cols <= power,
    ]
    map_pixels, out_map = height * width, out_height * out_width
    pixels = images * map_pixels
    small_steps = {
        "fact_factors": [(tiles * pixels >= pixels, []), (pixels >= map_pixels, [])],
        "fact_weights": [(columns * cols < 2**22 * power, [])],
        "fact_output_map": [(out_map <= (height + 3) * (width + 3), [])],
        "fact_output_pixels": [
            (out_map <= 16 * map_pixels, []),
            (images * out_map <= 16 * pixels, [out_map <= 16 * map_pixels]),
        ],
    }
    assert set(small_steps) == {
        one.label for one in statements("geometry_sizes") if one.label.startswith("fact_")
    }
    for name, steps in small_steps.items():
        for claim, known in steps:
            assert _refuted(*ranges, *known, z3.Not(claim)), name


def _refuted(*claims) -> bool:
    solver = z3.Solver()
    solver.set("timeout", 20_000)
    solver.add(*claims)
    return solver.check() == z3.unsat


@pytest.mark.parametrize("false", [lambda a, b: a * b > b, lambda a, b: a <= b + 3])
def test_a_false_fact_is_not_proven(false):
    numbers = z3.Ints("a b")
    assert not _refuted(*(number >= 1 for number in numbers), z3.Not(false(*numbers)))
