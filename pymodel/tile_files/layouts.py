"""Says which number of a layer stands where in a file, under each convention.

A layout has the shape of the file's numbers, [lines, numbers in a line], where number 0 of a line
is the last one in its text. Each entry is a flat index into the layer's array. So one layout both
writes a file, `array.flat[layout]`, and reads it, `array.flat[layout] = numbers`. A function
returns None where the convention does not fit the sizes.
"""

import numpy as np

from pymodel.tile_files.conventions import Conventions

HALF = 8  # number of four-bit activations in a line whose sixteen channels have two bits


def weight_layout(
    c: Conventions, positions: int, outputs: int, inputs: int, numbers: int
) -> np.ndarray | None:
    """Returns the layout of weights [K, O, I] in lines of `numbers` weights, all K in a row."""
    grid = np.arange(positions * outputs * inputs).reshape(positions, outputs, inputs)
    if c.weights == "columns" and numbers == 2 * inputs:
        if outputs % 2 or c.pair_lines == "separate":
            return None
        lines = _two_outputs_in_a_line(c, grid)
    elif c.weights == "columns":
        order = _pair_order(c, inputs, numbers)
        if order is None:
            return None
        split = grid[..., order].reshape(positions, outputs, -1, numbers)
        if c.pair_lines == "separate":
            if split.shape[2] != 2 or outputs % 2:
                return None
            # Of output 2c + h only the half h of the activations has weights.
            lines = np.stack([split[:, h::2, h] for h in range(2)], 2)
            lines = lines.reshape(positions, outputs, numbers)
        elif c.pair_lines == "apart":
            lines = split.swapaxes(1, 2).reshape(positions, -1, numbers)
        else:
            lines = split.reshape(positions, -1, numbers)
    else:
        if outputs % numbers or c.pair_lines == "separate":
            return None
        split = grid.reshape(positions, -1, numbers, inputs).swapaxes(2, 3)
        if c.pair_lines == "together":
            split = split.swapaxes(1, 2)
        lines = split.reshape(positions, -1, numbers)
    if c.weight_lines == "7-0":
        lines = lines[:, ::-1]
    if c.weight_numbers == "0-7":
        lines = lines[..., ::-1]
    if c.weights == "rows" and c.windows == "channel-first":
        lines = lines.swapaxes(0, 1)
    return lines.reshape(-1, numbers)


def _two_outputs_in_a_line(c: Conventions, grid: np.ndarray) -> np.ndarray:
    """Returns the weights [K, O, I] in lines [K, O / 2, 2 · I] of two outputs each."""
    positions, outputs, inputs = grid.shape
    if c.pair_lines == "together":
        pairs = grid.reshape(positions, outputs // 2, 2, inputs)
    else:
        pairs = grid.reshape(positions, 2, outputs // 2, inputs).swapaxes(1, 2)
    if c.output_pairs.startswith("high"):
        pairs = pairs[:, :, ::-1]
    if c.output_pairs in ("neighbours", "high-first"):
        pairs = pairs.swapaxes(2, 3)
    return pairs.reshape(positions, outputs // 2, 2 * inputs)


def _pair_order(c: Conventions, inputs: int, numbers: int) -> np.ndarray | None:
    """Returns the input channel of each weight of an output, in the order of the file."""
    if inputs % numbers:
        return None
    natural = np.arange(inputs)
    if c.activation_bits == "4" or inputs != 2 * HALF:
        return natural
    halves = natural.reshape(2, HALF)  # [which half of the weights, four-bit activation]
    neighbours = natural.reshape(HALF, 2).T
    two_lines = numbers == HALF
    order = {
        "neighbours": neighbours if two_lines else halves,
        "halves": halves if two_lines else neighbours,
        "high-first": neighbours[::-1] if two_lines else natural.reshape(HALF, 2)[:, ::-1],
        "high-halves": halves[::-1] if two_lines else neighbours[::-1],
    }[c.pairs]
    return order.reshape(-1)


def activation_layout(c: Conventions, inputs: int, pixels: int) -> np.ndarray:
    """Returns the layout of a map [I, Q], with or without its padding."""
    grid = np.arange(inputs * pixels).reshape(inputs, pixels)
    if c.activations == "pixels":
        return grid.T
    return grid if c.pixels == "7-0" else grid[:, ::-1]


def window_layout(c: Conventions, positions: int, inputs: int, outputs: int) -> np.ndarray:
    """Returns the layout of the windows [K, I, P] of some outputs."""
    grid = np.arange(positions * inputs * outputs).reshape(positions, inputs, outputs)
    if c.windows == "channel-first":
        grid = grid.swapaxes(0, 1)
    lines = grid.reshape(-1, outputs)
    if c.activations == "outputs":
        lines = lines.T
    return lines if c.pixels == "7-0" else lines[:, ::-1]


def sum_layout(c: Conventions, pixels: int, outputs: int) -> np.ndarray:
    """Returns the layout of psums [Q, O] in lines of all output channels."""
    grid = np.arange(pixels * outputs).reshape(pixels, outputs)
    if outputs == 2 * HALF and c.channels == "interleaved":
        grid = grid.reshape(pixels, 2, HALF).swapaxes(1, 2).reshape(pixels, outputs)
    elif outputs == 2 * HALF and c.channels == "halves":
        grid = grid.reshape(pixels, HALF, 2).swapaxes(1, 2).reshape(pixels, outputs)
    return grid if c.columns == "7-0" else grid[:, ::-1]


def output_layout(c: Conventions, pixels: int, outputs: int) -> np.ndarray:
    """Returns the layout of outputs [P, O]."""
    if c.outputs_in == "pixels":
        return sum_layout(c, pixels, outputs)
    lines = np.arange(pixels * outputs).reshape(pixels, outputs).T
    return lines if c.columns == "7-0" else lines[:, ::-1]
