"""Decides when each weight and activation vector enters the array, by the contract in rtl/."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stimulus:
    """The values at the array's inputs in each of T cycles."""

    weight_valid: np.ndarray  # bool [T]
    weight_col: np.ndarray  # int [T]
    weight: np.ndarray  # int [T, ROWS]
    act_valid: np.ndarray  # bool [T]
    act_swap: np.ndarray  # bool [T]
    act: np.ndarray  # int [T, ROWS]

    def __len__(self) -> int:
        return len(self.act_valid)


def schedule(
    weights: np.ndarray,
    activations: list[np.ndarray],
    *,
    gaps: np.random.Generator | None = None,
    bits: tuple[int, int] = (4, 4),
) -> Stimulus:
    """Returns the shortest sequence of tiles that the contract allows; `gaps` adds idle cycles.

    weights: [tiles, ROWS, COLS]; activations: for each tile [pixels, ROWS], at least one pixel.
    After a tile of fewer than COLS pixels, the next one waits for its weights. With the random
    generator `gaps`, idle cycles come anywhere, and buses hold random bits (of `bits` = weight and
    activation width) while their valid is low.
    """
    tiles, rows, cols = weights.shape
    # The swap of the tile before, from which on the shadow weights may change, and the first free
    # cycle of each bus.
    swap_cycle = weights_end = acts_end = 0
    weight_cycles, act_cycles = [], []
    for tile in range(tiles):
        load = max(weights_end, swap_cycle) + np.arange(cols) + idle_before(gaps, cols)
        weights_end = load[-1] + 1
        count = len(activations[tile])
        stream = max(acts_end, weights_end) + np.arange(count) + idle_before(gaps, count)
        swap_cycle, acts_end = stream[0], stream[-1] + 1
        weight_cycles.append(load)
        act_cycles.append(stream)

    length = int(acts_end)
    at_weight, at_act = np.concatenate(weight_cycles), np.concatenate(act_cycles)
    stimulus = Stimulus(
        np.zeros(length, bool),
        *_bus(gaps, length, rows, bits[0], cols),
        np.zeros(length, bool),
        *_bus(gaps, length, rows, bits[1], 2),
    )
    stimulus.weight_valid[at_weight] = True
    stimulus.weight_col[at_weight] = np.tile(np.arange(cols)[::-1], tiles)
    stimulus.weight[at_weight] = weights[:, :, ::-1].transpose(0, 2, 1).reshape(-1, rows)
    stimulus.act_valid[at_act] = True
    stimulus.act_swap[at_act] = False
    stimulus.act_swap[[cycles[0] for cycles in act_cycles]] = True
    stimulus.act[at_act] = np.concatenate(activations)
    return stimulus


def idle_before(gaps: np.random.Generator | None, count: int) -> np.ndarray | int:
    """Returns the idle cycles before each of `count` vectors, summed up; many vectors have none."""
    if gaps is None:
        return 0
    return np.cumsum(gaps.integers(1, 4, count) * (gaps.random(count) < 0.3))


def _bus(gaps, length: int, rows: int, width: int, selectors: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a selector [T] (weight column, or swap) and data [T, ROWS]: zeros, or random bits."""
    if gaps is None:
        return np.zeros(length, np.int64), np.zeros((length, rows), np.int64)
    return gaps.integers(0, selectors, length), gaps.integers(0, 2**width, (length, rows))
