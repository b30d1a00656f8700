"""Decodes the packets of results that the core sends."""

import numpy as np

from pymodel.hardware.core import Core, Layer, result_vectors, results
from pymodel.hardware.registers import Mode
from tb.components.packing import unpack
from tb.components.scoreboard import beat_words
from tb.sim.errors import BenchError


def decode(data: bytes, layer: Layer, core: Core, expected: np.ndarray | None = None) -> np.ndarray:
    """Returns the results in a packet of the core, int64 [N, C_out, H', W'].

    Raises BenchError if the packet is too short or too long for the layer. With `expected`, of the
    same shape, the message says where the packet begins to differ.
    """
    width = 4 if layer.mode == Mode.CODES else core.sum_width
    size = core.cols * width // 8
    beats = [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]
    vectors = unpack(beats, core.cols, width)
    if layer.mode == Mode.CODES:
        vectors %= 16  # unsigned
    pixels = layer.images * layer.output_size[0] * layer.output_size[1]
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
