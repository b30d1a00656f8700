"""Decides when tiles and blocks enter `reconfigurable_array`, by the contract in rtl/README.md."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from pymodel.support.errors import InputError
from tb.components.array_schedule import idle_before


@dataclass(frozen=True)
class Sizes:
    """The parameters of `reconfigurable_array`."""

    rows: int = 8
    cols: int = 8
    act_width: int = 4  # bits of an activation that is not halved
    weight_width: int = 4  # bits
    psum_width: int = 16  # bits


@dataclass(frozen=True)
class Piece:
    """A tile of the weight-stationary mode, or a block of the output-stationary one.

    A block has at most as many pixels as the array has rows, and any number of taps.
    """

    halves: bool  # whether activations have half the bits, and there are two in a lane
    output_stationary: bool
    weights: np.ndarray  # int [rows of the tile, COLS], or [taps, COLS]
    activations: np.ndarray  # int [pixels, rows of the tile], or [pixels, taps]

    @property
    def mode(self) -> tuple[bool, bool]:
        """Returns what the array's two control bits are."""
        return self.halves, self.output_stationary


@dataclass(frozen=True)
class Stimulus:
    """The values at the array's inputs in each of T cycles; lanes are unsigned, pairs packed."""

    halves: np.ndarray  # bool [T]
    output_stationary: np.ndarray  # bool [T]
    weight_valid: np.ndarray  # bool [T]
    weight_col: np.ndarray  # int [T]
    weight: np.ndarray  # int [T, ROWS]: pairs of weights
    act_valid: np.ndarray  # bool [T]
    act_start: np.ndarray  # bool [T]
    act_last: np.ndarray  # bool [T]
    act: np.ndarray  # int [T, ROWS]
    weight_north: np.ndarray  # int [T, COLS]: pairs of weights

    def __len__(self) -> int:
        return len(self.act_valid)

    def first(self, cycles: int) -> "Stimulus":
        """Returns the values of the first cycles."""
        return Stimulus(*(getattr(self, field.name)[:cycles] for field in fields(self)))


def most_steps(sizes: Sizes, halves: bool) -> int:
    """Returns the number of steps of a block whose sums always fit into `psum_width` bits.

    A step adds one product, of the largest activation and −2^(weight_width − 1), or with halves two
    products of the largest half.
    """
    bits = sizes.act_width // 2 if halves else sizes.act_width
    products = 2 if halves else 1
    return 2 ** (sizes.psum_width - sizes.weight_width) // (products * (2**bits - 1))


def schedule(
    pieces: Sequence[Piece], sizes: Sizes, *, gaps: np.random.Generator | None = None
) -> Stimulus:
    """Returns the shortest sequence of pieces that the contract allows; `gaps` adds idle cycles.

    With the random generator `gaps`, idle cycles come anywhere, buses hold random bits while their
    valid is low, and so do the control bits while they are free. Raises InputError for a block
    whose sums may not fit into a psum.
    """
    latest = sizes.rows + sizes.cols - 1  # cycles after a vector's in which the mode may change
    # The start of the tile before, from which on the shadow weights may change, and the first free
    # cycle of each bus
    start_cycle = weights_end = acts_end = 0
    mode, last_of_block = None, -sizes.rows
    weight_cycles, act_cycles = [], []
    for piece in pieces:
        steps = len(piece.activations)
        begin = acts_end
        if mode is not None and piece.mode != mode:
            begin = acts_end - 1 + latest
        if piece.output_stationary:
            steps = _steps(piece, sizes)
            # The sums of the block before leave row by row.
            begin = max(begin, last_of_block + sizes.rows - steps + 1)
        else:
            load = (
                max(weights_end, start_cycle)
                + np.arange(sizes.cols)
                + idle_before(gaps, sizes.cols)
            )
            weights_end = load[-1] + 1
            begin = max(begin, weights_end)
            weight_cycles.append(load)
        stream = begin + np.arange(steps) + idle_before(gaps, steps)
        acts_end, mode = int(stream[-1]) + 1, piece.mode
        if piece.output_stationary:
            last_of_block = acts_end - 1
        else:
            start_cycle = stream[0]
        act_cycles.append(stream)
    stimulus = _idle_buses(acts_end, sizes, gaps)

    tiles = [piece for piece in pieces if not piece.output_stationary]
    for tile, cycles in zip(tiles, weight_cycles, strict=True):
        stimulus.weight_valid[cycles] = True
        stimulus.weight_col[cycles] = np.arange(sizes.cols)[::-1]
        pairs = _weight_pairs(tile.weights.T[::-1], tile.halves, sizes)
        stimulus.weight[cycles] = pairs
    ends = [*(cycles[0] for cycles in act_cycles[1:]), acts_end]
    for piece, cycles, end in zip(pieces, act_cycles, ends, strict=True):
        held = slice(cycles[0], min(end, int(cycles[-1]) + latest) if gaps else end)
        stimulus.halves[held], stimulus.output_stationary[held] = piece.mode
        stimulus.act_valid[cycles] = True
        stimulus.act_start[cycles] = cycles == cycles[0]
        stimulus.act_last[cycles] = cycles == cycles[-1]
        acts = piece.activations
        if piece.output_stationary:
            weights = _whole_steps(piece.weights.T, piece.halves)
            north = [_weight_pairs(step, piece.halves, sizes) for step in weights]
            stimulus.weight_north[cycles] = north
            # The sums of the last row leave first.
            pixels = np.zeros((sizes.rows, acts.shape[1]), np.int64)
            pixels[sizes.rows - len(acts) :] = acts[::-1]
            steps = _whole_steps(pixels, piece.halves)
            stimulus.act[cycles] = [_act_lanes(step, piece.halves, sizes) for step in steps]
        else:
            stimulus.act[cycles] = _act_lanes(acts, piece.halves, sizes)
    return stimulus


def _steps(block: Piece, sizes: Sizes) -> int:
    """Returns the number of steps of a block; raises InputError if its sums may not fit."""
    taps = block.activations.shape[1]
    steps, most = -(-taps // (1 + block.halves)), most_steps(sizes, block.halves)
    if steps > most:
        raise InputError(
            f"a block has {taps} taps, but psum_width {sizes.psum_width} holds the sums of at most "
            f"{most * (1 + block.halves)}, expected fewer taps or a larger psum_width"
        )
    return steps


def _whole_steps(lanes: np.ndarray, halves: bool) -> np.ndarray:
    """Returns numbers [lanes, taps] step by step, [steps, lanes · (1 + halves)].

    With halves a step has two taps of each lane, the second of which may be missing: it is 0.
    """
    pairs = 1 + halves
    whole = np.pad(lanes, ((0, 0), (0, -lanes.shape[1] % pairs)))
    steps = whole.reshape(len(lanes), -1, pairs).transpose(1, 0, 2)
    return steps.reshape(len(steps), -1)


def _act_lanes(acts: np.ndarray, halves: bool, sizes: Sizes) -> np.ndarray:
    """Returns activations [..., lanes], or with halves [..., 2 · lanes], as lanes of the bus."""
    if not halves:
        return acts
    return acts[..., 0::2] | acts[..., 1::2] << sizes.act_width // 2


def _weight_pairs(weights: np.ndarray, halves: bool, sizes: Sizes) -> np.ndarray:
    """Returns weights [..., lanes], or with halves [..., 2 · lanes], as pairs [..., lanes]."""
    bits = weights & (1 << sizes.weight_width) - 1
    low, high = (bits[..., 0::2], bits[..., 1::2]) if halves else (bits, bits)
    return low | high << sizes.weight_width


def _idle_buses(length: int, sizes: Sizes, gaps: np.random.Generator | None) -> Stimulus:
    """Returns inputs without anything valid for `length` cycles: zeros, or random bits."""

    def bits(*shape: int, below: int = 2) -> np.ndarray:
        if gaps is None:
            return np.zeros((length, *shape), np.int64)
        return gaps.integers(0, below, (length, *shape))

    pair = 4**sizes.weight_width
    return Stimulus(
        halves=bits(),
        output_stationary=bits(),
        weight_valid=np.zeros(length, bool),
        weight_col=bits(below=sizes.cols),
        weight=bits(sizes.rows, below=pair),
        act_valid=np.zeros(length, bool),
        act_start=bits(),
        act_last=bits(),
        act=bits(sizes.rows, below=2**sizes.act_width),
        weight_north=bits(sizes.cols, below=pair),
    )
