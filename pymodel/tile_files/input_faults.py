"""Finds the one wrong activation or weight that explains why psums and outputs differ."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pymodel.tile_files.identify_files import PSUM, TileFile
from pymodel.tile_files.layer import FileLayer


@dataclass(frozen=True)
class InputFault:
    """An input value that alone explains all differences of the results."""

    file: TileFile
    word: int  # index of the word in the file
    number: int  # of the value in the word, from its end
    found: int  # value in the file
    expected: int  # value with which all results agree

    def text(self) -> str:
        """Returns the fault in words."""
        return (
            f"{self.file.words.place(self.word)}: number {self.number} is {self.found}, and all "
            f"psums and outputs agree with {self.expected}: this file is wrong there"
        )


def observed_differences(layer: FileLayer, results: list) -> tuple[np.ndarray, ...]:
    """Returns by how much the results differ from the layer, and where that is known.

    `results` are the `Agreement`s. Returns differences of psums, int64 [K, Q, O], and of sums,
    int64 [P, O], and for each of the two whether a result says it, bool of the same shape. An
    output of 0 or less may be of a ReLU, and says nothing.
    """
    positions, _, streamed = layer.streams.shape
    outputs, counted = layer.channels[0], layer.pixels.shape[1]
    psum_ids = np.arange(positions * streamed * outputs).reshape(positions, streamed, outputs)
    sum_ids = np.arange(counted * outputs).reshape(counted, outputs)
    psums, sums = np.zeros(psum_ids.size, np.int64), np.zeros(sum_ids.size, np.int64)
    known = np.zeros(psum_ids.size, bool), np.zeros(sum_ids.size, bool)
    whole = layer.sums.reshape(-1)
    for result in results:
        way, good = result.reading, result.reading.file.words.well_formed[:, None]
        ids = way.indices(layer, psum_ids, sum_ids)
        if way.role == PSUM:
            sure = np.broadcast_to(good, ids.shape)
            psums[ids[sure]] = (way.values - result.expected)[sure]
            known[0][ids[sure]] = True
        else:
            sure = good & (way.values > 0)
            sums[ids[sure]] = way.values[sure] - whole[ids[sure]]
            known[1][ids[sure]] = True
    return (
        psums.reshape(psum_ids.shape),
        sums.reshape(sum_ids.shape),
        known[0].reshape(psum_ids.shape),
        known[1].reshape(sum_ids.shape),
    )


def input_changes(layer: FileLayer, results: list) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Yields each change of one input value that explains the differences of psums and sums.

    A change is "weights" with the index [K, O, I], or "activations" with the index [K, I, Q] of the
    streams, and by how much the value is to change.
    """
    psums, sums, psums_known, sums_known = observed_differences(layer, results)
    if not psums.any() and not sums.any():
        return
    positions, channels, streamed = layer.streams.shape
    streams, weights = layer.streams.astype(np.int64), layer.weights.astype(np.int64)
    used = np.take_along_axis(streams, layer.pixels[:, None], 2)  # [K, I, P]

    def change(psum_basis: np.ndarray, sum_basis: np.ndarray, p: tuple, s: tuple) -> int:
        """Returns by how much the value changes; 0 if the differences say otherwise."""
        for basis, seen in ((psum_basis, psums[p]), (sum_basis, sums[s])):
            if (at := np.flatnonzero(basis.reshape(-1) * seen.reshape(-1))).size:
                first = at[0]
                step, left = divmod(int(seen.reshape(-1)[first]), int(basis.reshape(-1)[first]))
                fits = not left
                fits &= bool((psums[p] == step * psum_basis)[psums_known[p]].all())
                fits &= bool((sums[s] == step * sum_basis)[sums_known[s]].all())
                return step if fits else 0
        return 0

    wrong_outputs = np.flatnonzero(psums.any((0, 1)) | sums.any(0))
    if len(wrong_outputs) == 1:
        (output,) = wrong_outputs.tolist()
        wrong = np.flatnonzero(psums.any((1, 2)))
        if len(wrong) <= 1:
            for position in wrong if len(wrong) else range(positions):
                for channel in range(channels):
                    at = (slice(None), output)
                    step = change(
                        streams[position, channel], used[position, channel], (position, *at), at
                    )
                    if step:
                        yield "weights", (int(position), output, channel), step
    wrong_pixels = np.flatnonzero(psums.any((0, 2)))
    if len(wrong_pixels) > 1:
        return
    for pixel in wrong_pixels if len(wrong_pixels) else range(streamed):
        uses = (layer.pixels == pixel).astype(np.int64)  # [K, P]
        for channel in range(channels):
            basis = weights[:, :, channel]  # [K, O]
            every = (slice(None),)
            step = change(basis, uses.T @ basis, (*every, pixel), every)
            if step:
                yield "activations", (0, channel, int(pixel)), step
