"""Decodes the packets of results that the core sends."""

import math

import numpy as np

from pymodel.hardware.core import Core, Layer, result_vectors, results
from pymodel.hardware.registers import Mode
from tb.components.packing import lanes_of
from tb.components.scoreboard import beat_words
from tb.sim.errors import BenchError


def result_lanes(octets: np.ndarray, mode: Mode, core: Core) -> np.ndarray:
    """Returns the lanes, int64 [n, COLS], of results whose bytes count, uint8 [n, bytes].

    Codes are unsigned but for those of mode SCALED on a core of signed activations.
    """
    width = core.lane_width(mode)
    lanes = lanes_of(octets, core.cols, width)
    unsigned = mode == Mode.CODES or (mode == Mode.SCALED and not core.act_signed)
    return lanes % 2**width if unsigned else lanes


def decode(data: bytes, layer: Layer, core: Core, expected: np.ndarray | None = None) -> np.ndarray:
    """Returns the results in a packet of the core, int64 [N, C_out, H', W'].

    Raises BenchError if the packet is too short or too long for the layer. With `expected`, of the
    same shape, the message says where the packet begins to differ.
    """
    size = core.cols * core.lane_width(layer.mode) // 8
    whole = np.frombuffer(data.ljust(-(-len(data) // size) * size, b"\0"), np.uint8)
    vectors = result_lanes(whole.reshape(-1, size), layer.mode, core)
    pixels = layer.images * math.prod(layer.result_size)
    needed = layer.tiles(core)[1] * pixels
    if len(data) != needed * size:
        kind = "missing" if len(data) < needed * size else "extra"
        text = f"{kind} output: {len(data)} bytes came, expected {needed * size}, {layer}"
        if expected is not None:
            beat = _first_wrong_beat(vectors, needed, expected, core)
            after = "after the last" if beat == needed else beat_words(beat, layer)
            text += f"; the results begin to differ at beat {beat}: {after}"
        raise BenchError(text)
    return results(vectors, layer)


def _first_wrong_beat(vectors: np.ndarray, needed: int, expected: np.ndarray, core: Core) -> int:
    """Returns the first beat that differs from `expected`, or the number of beats if none does."""
    wanted = result_vectors(expected, core)
    same = min(len(vectors), needed)
    real = result_vectors(np.ones_like(expected), core) == 1  # channels that the layer has
    wrong = np.flatnonzero(((vectors[:same] != wanted[:same]) & real[:same]).any(1))
    return int(wrong[0]) if len(wrong) else same
