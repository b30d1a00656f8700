"""Corrupts one value of an otherwise real run, at a place drawn by the seed (test_must_fail.py).

Only the data, drivers and monitors of the run are corrupted, and never a check. Each corruption
also writes down the words in which the run must name the place. These words are derived from
PyTorch and NumPy, not from the run.
"""

import json
import os
from collections import deque
from dataclasses import replace
from pathlib import Path

import cocotb
import numpy as np
import pytest
import torch
from cocotb.triggers import FallingEdge
from cocotb.types import LogicArray

from pymodel.hardware.core import (
    Layer,
    act_vectors,
    result_vectors,
    threshold_vectors,
    weight_vectors,
)
from pymodel.hardware.output_thresholds import requantise
from pymodel.reference.integer_convolution import integer_convolution
from pymodel.reference.layer_data import LayerData
from tb import test_core_layers
from tb.components import axi_driver
from tb.components.axi_driver import CoreDriver
from tb.components.scoreboard import beat_words, first_difference
from tb.components.systolic_array_adapter import SystolicArrayAdapter

FAULT = "SYSTOLIC_FAULT"  # environment: name of the fault
WORDS = "SYSTOLIC_FAULT_WORDS"  # environment: folder that takes the words
NONE = "none"
IN_DATA = ("scale", "captured_input", "nothing_to_compare")  # faults in a LayerData
IN_ORDER = ("dropped", "duplicated", "out_of_order", "X")  # faults in the outputs
ARRAY_FAULTS = (NONE, "weight", "activation", "reference_psum", *IN_DATA, *IN_ORDER)
CORE_FAULTS = (NONE, "weight", "activation", "threshold", "reference_sum", *IN_DATA, *IN_ORDER)

PACKETS = {
    "weight": ("weight", weight_vectors),
    "activation": ("act", act_vectors),
    "threshold": ("threshold", threshold_vectors),
}


def generator(fault: str, seed: int | None = None) -> np.random.Generator:
    """Returns a fault's own random generator, made from the seed, by default the simulation's."""
    return np.random.default_rng([cocotb.RANDOM_SEED if seed is None else seed, *fault.encode()])


def must_say(*words: str) -> None:
    """Writes the words in which the place must be named to a file for the test."""
    (Path(os.environ[WORDS]) / f"{os.environ[FAULT]}.json").write_text(json.dumps(words))


def corrupt_layer(data: LayerData, fault: str) -> LayerData:
    """Returns the layer with a changed scale or captured value, or without images.

    The fault changes one channel's scale by a thousandth, or one captured value by 2e-3.
    """
    rng = generator(fault)
    if fault == "nothing_to_compare":
        must_say("empty comparison: nothing was expected, so nothing was checked")
        return data.first(0)
    sums = data.sums()
    words = f"every psum is right, but the recovered {data.reference_name} differs by "
    if fault == "scale":
        # A thousandth of a sum of 20 is two limits of a hundredth of a step.
        channel = int(rng.choice(np.flatnonzero(sums.amax((0, 2, 3)).numpy() >= 20)))
        step = data.step.clone()
        step[channel] *= 1 + rng.choice((-1e-3, 1e-3))
        must_say(words, f", channel {channel}, pixel (")
        return replace(data, step=step)
    if fault == "captured_input":
        image, channel, y, x = (int(rng.integers(size)) for size in data.reference.shape)
        reference = data.reference.clone()
        reference[image, channel, y, x] += rng.choice((-2e-3, 2e-3))
        must_say(f"{words}0.002 ", f"at image {image}, channel {channel}, pixel ({y}, {x})")
        return replace(data, reference=reference)
    return data


def changed(rng: np.random.Generator, value: int, low: int, high: int) -> int:
    """Returns a number from `low` to `high` that is not `value`."""
    return int(rng.choice([n for n in range(low, high + 1) if n != value]))


def before_another(rng: np.random.Generator, vectors: np.ndarray) -> int:
    """Returns an index of `vectors` [n, lanes] whose successor differs."""
    return int(rng.choice(np.flatnonzero((vectors[:-1] != vectors[1:]).any(1))))


class CorruptArray(SystolicArrayAdapter):
    """The adapter of `systolic_array` with the fault of the environment in driver or monitor."""

    def __init__(self, dut):
        super().__init__(dut)
        self.fault = os.environ[FAULT]
        self.rng = generator(self.fault)
        self.count = 0  # psum vectors that have left the array
        self.at = -1  # number of the psum vector that is not passed on unchanged
        self.held = []
        self.waiting = deque()

    async def run(self, playing, expected, place, *others, **more):
        """Runs with a place drawn for a fault in the outputs or in their reference."""
        self.expected, self.place = expected, place
        if self.fault == "reference_psum":
            index, column = (int(self.rng.integers(size)) for size in expected.shape)
            right = expected[index].copy()
            expected = expected.copy()
            expected[index, column] += self.rng.choice((-1, 1))
            self.mismatch(index, expected[index], right)
        elif self.fault in IN_ORDER:
            self.at = before_another(self.rng, expected)
            here, after = expected[self.at : self.at + 2]
            if self.fault == "duplicated":
                self.mismatch(self.at + 1, after, here)
            elif self.fault != "X":
                self.mismatch(self.at, here, after)
        return await super().run(playing, expected, place, *others, **more)

    async def play(self, weights, activations):
        """Plays tiles in which a weight or an activation that matters is changed."""
        rows = self.rows
        act_max, low, high = 15, -8, 7
        while self.fault in ("weight", "activation"):
            tile, row = int(self.rng.integers(len(weights))), int(self.rng.integers(rows))
            pixel, column = (
                int(self.rng.integers(size)) for size in (len(activations[tile]), self.cols)
            )
            wrong_weights, wrong = weights[tile].copy(), activations[tile].copy()
            if self.fault == "weight":
                wrong_weights[row, column] = changed(
                    self.rng, weights[tile][row, column], low, high
                )
            else:
                wrong[pixel, row] = changed(self.rng, wrong[pixel, row], 0, act_max)
            right, got = (
                a.astype(int) @ w.astype(int)
                for a, w in ((activations[tile], weights[tile]), (wrong, wrong_weights))
            )
            differ = np.flatnonzero((right != got).any(1))
            if not len(differ):  # the changed number is multiplied only by zeros
                continue
            pixel = int(differ[0])
            self.mismatch(sum(map(len, activations[:tile])) + pixel, right[pixel], got[pixel])
            weights = np.concatenate((weights[:tile], wrong_weights[None], weights[tile + 1 :]))
            activations = [*activations[:tile], wrong, *activations[tile + 1 :]]
            break
        await super().play(weights, activations)

    def psums(self):
        """Returns the next psum vector; the faulty one is lost, doubled, late or has an X."""
        found = super().psums()
        if found is not None:
            self.waiting += self.passed_on(found, self.count - self.at)
            self.count += 1
        return self.waiting.popleft() if self.waiting else None

    def passed_on(self, found: LogicArray, after: int) -> list[LogicArray]:
        """Returns what the bench gets for the vector `after` vectors behind the faulty one."""
        if self.at < 0 or after not in (0, 1):
            return [found]
        if after == 1:
            return [found, *self.held]
        if self.fault == "dropped":
            return []
        if self.fault == "duplicated":
            return [found, found]
        if self.fault == "out_of_order":
            self.held = [found]
            return []
        bit = int(self.rng.integers(len(found)))
        place, column = self.place(self.at), bit // self.psum_width
        must_say("X or Z at cycle ", f": {place}, column {column}")
        return [with_x(found, bit)]

    def mismatch(self, index: int, expected: np.ndarray, got: np.ndarray) -> None:
        """Writes the words in which psum vector `index` must be found wrong."""
        column = int(np.flatnonzero(expected != got)[0])
        must_say(
            f"mismatch: {self.place(index)}, cycle ",
            f"channel {column}: expected {expected[column]}, got {got[column]}",
        )


def with_x(value: LogicArray, bit: int) -> LogicArray:
    """Returns the value with an X in one bit, counted from the lowest."""
    text = str(value)
    end = len(text) - bit
    return LogicArray(text[: end - 1] + "X" + text[end:])


def corrupt_core(
    bench: CoreDriver, data: LayerData, table: np.ndarray, fault: str, patch: pytest.MonkeyPatch
) -> None:
    """Puts a fault into what `tb.test_core_layers.whole` runs next on `bench`.

    `data` is the layer on its images and `table` its thresholds, both without the fault.
    """
    rng = generator(fault)
    codes, weights = data.activation_codes.numpy(), data.weight_codes.numpy()
    sums = convolution(codes, weights)
    layer = Layer(*codes.shape[2:], *weights.shape[1::-1], images=len(codes))
    patch.setattr(test_core_layers, "layer_data", lambda seen: corrupt_layer(data, fault))
    if fault in ("weight", "activation", "threshold"):
        sent, right, wrong = corrupt_input(codes, weights, table, fault, rng)
        stream, vectors_of = PACKETS[fault]
        packet, send = vectors_of(sent, bench.core), bench.send
        patch.setattr(
            bench, "send", lambda name, vectors: send(name, packet if name == stream else vectors)
        )
        must_say(f"mismatch: {first_difference(right, wrong, bench.core).describe(bench.core)} of ")
    elif fault == "reference_sum":
        image, channel, y, x = place = tuple(int(rng.integers(size)) for size in sums.shape)
        wrong = sums.copy()
        wrong[place] += rng.choice((-1, 1))
        patch.setattr(axi_driver, "reference", lambda *_, **__: wrong)
        must_say(
            f"mismatch: output tile {channel // bench.core.cols}, image {image}, pixel ({y}, {x}), "
            f"channel {channel}: expected {wrong[place]}, got {sums[place]} "
        )
    elif fault == "X":
        beat = int(rng.integers(len(result_vectors(sums, bench.core))))
        bit = int(rng.integers(bench.core.cols * bench.core.sum_width))
        cocotb.start_soon(unknown_bit(bench, beat, bit))
        must_say(
            f"X or Z on m_axis_tdata: {beat_words(beat, layer)}, "
            f"channel {bit // bench.core.sum_width}, "
        )
    elif fault in IN_ORDER:
        vectors = result_vectors(sums, bench.core)
        at = before_another(rng, vectors)
        size = bench.core.cols * bench.core.sum_width // 8
        receive = bench.sink.recv_nowait
        patch.setattr(
            bench.sink, "recv_nowait", lambda compact: reordered(receive(compact), fault, at, size)
        )
        if fault == "out_of_order":
            channel = int(np.flatnonzero(vectors[at] != vectors[at + 1])[0])
            expected, got = vectors[at : at + 2, channel]
            words = f"{beat_words(at, layer)}, channel {channel}: expected {expected}, got {got} "
            must_say(f"mismatch: {words}")
        else:
            kind = {"dropped": "missing", "duplicated": "extra"}[fault]
            beat = at + (fault == "duplicated")
            where = f"the results begin to differ at beat {beat}: {beat_words(beat, layer)}"
            must_say(f"{kind} output: ", where)


def convolution(codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the sums of a 3 × 3 layer padded by 1."""
    return integer_convolution(torch.tensor(codes), torch.tensor(weights), 1, 1).numpy()


def corrupt_input(
    codes: np.ndarray, weights: np.ndarray, table: np.ndarray, fault: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the weights, codes or thresholds with one number changed, and the results.

    The change matters: the results without it and with it differ. They are codes if a threshold is
    changed, and sums otherwise.
    """
    sums = convolution(codes, weights)
    given = {"weight": weights, "activation": codes, "threshold": table}[fault]
    while True:
        wrong = given.copy()
        place = tuple(int(rng.integers(size)) for size in given.shape)
        if fault == "weight":
            wrong[place] = changed(rng, given[place], -8, 7)
            results = sums, convolution(codes, wrong)
        elif fault == "activation":
            wrong[place] = changed(rng, given[place], 0, 15)
            results = sums, convolution(wrong, weights)
        else:
            code = int(rng.integers(1, 15))
            wrong[place[0], code] = given[place[0], code + 1]  # so that they still ascend
            results = tuple(requantise(sums, t) for t in (table, wrong))
        if (results[0] != results[1]).any():
            return wrong, *results


def reordered(frame, fault: str, at: int, size: int):
    """Returns a frame that lost, doubled or delayed its beat `at`, of `size` bytes."""
    beats = [frame.tdata[i : i + size] for i in range(0, len(frame.tdata), size)]
    here, after = beats[at : at + 2]
    beats[at : at + 2] = {
        "dropped": [after],
        "duplicated": [here, here, after],
        "out_of_order": [after, here],
    }[fault]
    frame.tdata = b"".join(beats)
    return frame


async def unknown_bit(bench: CoreDriver, beat: int, bit: int) -> None:
    """Puts an X into one bit of the sum of a beat as the beat leaves the accumulator."""
    accumulator, count = bench.dut.accumulator, 0
    while True:
        await FallingEdge(bench.dut.clk_i)
        if int(accumulator.sum_valid_o.value):
            if count == beat:
                accumulator.sum_o.value = with_x(accumulator.sum_o.value, bit)
                return
            count += 1
