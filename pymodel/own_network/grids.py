"""Defines grids of values, and finds the one on which the values of a tensor lie."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pymodel.support.limits import MOST_BITS

TOLERANCE = 1e-3  # largest distance of a value from its grid, in steps
MOST_LEVELS = 256  # largest number of levels of a grid that is found from values
LEAST_CHANNELS = 4  # least number of channels from which zero points are inferred
LEAST_VALUES = 8  # least number of values of a channel from which its own scale is inferred


@dataclass(frozen=True, eq=False)
class Grid:
    """Values (code − zero_point) · scale of whole codes from `low` to `high`."""

    scale: Tensor  # float, of any shape with one value, or with one for each channel
    zero_point: Tensor  # whole numbers or halves, of the shape of the scale or of one value
    low: int
    high: int
    found: bool = False  # whether it was found from the values, and no quantiser stated it
    widened: bool = False  # whether its steps were halved, because no code stood for 0
    # Whether the scale is computed from the input, so that another input has another scale
    anew: bool = False
    ends: bool = False  # whether only its smallest and largest code occur, as in ±1

    @property
    def bits(self) -> int:
        """Returns the number of bits of a code."""
        if self.low < 0:
            return max(self.high, -1 - self.low).bit_length() + 1
        return max(1, self.high.bit_length())

    @property
    def levels(self) -> int:
        """Returns the number of values."""
        return 2 if self.ends else self.high - self.low + 1

    def times(self, factor: float) -> "Grid | None":
        """Returns the grid of the values times a number; None if the number is not positive."""
        return replace(self, scale=self.scale * factor) if factor > 0 else None

    def codes(self, values: Tensor) -> tuple[Tensor, float]:
        """Returns the codes of values, float64 whole numbers, and the largest distance, in steps.

        `values` has its channels in dimension 0 where the grid has several scales. The distance is
        infinite if a code lies outside the range, or if a scale cannot be used.
        """
        scale, zero = (self._shaped(part, values) for part in (self.scale, self.zero_point))
        if not (torch.isfinite(scale) & (scale > 0)).all():
            return torch.zeros_like(values, dtype=torch.float64), torch.inf
        exact = values.double() / scale + zero
        codes = exact.round()
        distance = (exact - codes).abs().max().item()
        if not distance <= 0.5 or codes.min() < self.low or codes.max() > self.high:
            distance = torch.inf  # also for NaN
        return codes, distance

    def _shaped(self, part: Tensor, values: Tensor) -> Tensor:
        """Returns scales or zero points in float64, so that they broadcast against `values`."""
        part = part.detach().double().flatten()
        return part if part.numel() == 1 else part.reshape(-1, *[1] * (values.ndim - 1))


def requantising_fault(values: Tensor, codes: Tensor, grid: Grid) -> str:
    """Returns why the codes that an operation made are not those of its `values`, or nothing.

    A code may be off by 1 where the rounding of float32 moves a value over the edge between two
    codes. The grid has one scale and one zero point.
    """
    exact = values.double() / grid.scale.double() + grid.zero_point.double()
    far = (codes.double() - exact.clamp(grid.low, grid.high)).abs().max().item()
    return (
        f"its codes are up to {far:.3g} steps away from those of its values" if far > 0.51 else ""
    )


def grid_of(
    values: Tensor, stated: tuple[Grid, ...], *, per_channel: bool, weights: bool = False
) -> tuple[Grid, Tensor] | None:
    """Returns a grid on which all values lie within TOLERANCE of a step, and their codes.

    If all values lie on one of the grids `stated` by quantisers, the first such grid is returned.
    Otherwise the coarsest grid is found from the values: one for the whole tensor or, with
    `per_channel`, one for each index of dimension 0.

    For `weights`, the grid that needs fewer bits is returned. A grid that is found for weights may
    have zero points: halves if the values are odd multiples of half the scale alone; whole numbers
    if the codes would need more than 8 bits otherwise, or if every channel uses the whole range of
    a smaller number of bits. Returns None if no grid has at most MOST_LEVELS levels.
    """
    channels = len(values)
    for grid in stated:
        if grid.scale.numel() == 1 or (per_channel and grid.scale.numel() == channels):
            codes, distance = grid.codes(values)
            if distance <= TOLERANCE:
                return grid, codes
    found = []
    if (scale := coarsest_scale(values)) is not None:
        found.append(_found(values, scale, weights))
    wanted = weights and values[0].numel() >= LEAST_VALUES
    if per_channel and (wanted or not any(found)):
        alive = values.flatten(1).any(1)  # a channel of zeros lies on any grid
        scales = [coarsest_scale(one) for one in values[alive]]
        if scales and None not in scales:
            scale = torch.stack(scales).max().repeat(channels, 1)
            scale[alive] = torch.stack(scales)
            found.append(_found(values, scale, weights))
    return min(filter(None, found), key=lambda one: one[0].bits, default=None)


def _found(values: Tensor, scale: Tensor, weights: bool) -> tuple[Grid, Tensor] | None:
    """Returns the grid with a scale, or with one for each index of dimension 0, and the codes.

    Returns None if the values do not lie on it, or if it has more than MOST_LEVELS levels.
    """
    found = Grid(scale, torch.zeros(1), -MOST_LEVELS, MOST_LEVELS, found=True)
    codes, distance = found.codes(values)
    if distance > TOLERANCE:
        return None
    low, high = int(codes.min().item()), int(codes.max().item())
    if weights and high - low > 2 and (codes % 2 == 1).all():
        # Odd codes alone, 2q − (2ⁿ − 1), as DoReFa has them (Zhou et al., 2016, eq. 9)
        found = replace(found, scale=2 * scale, zero_point=torch.full((1,), -0.5))
        codes, low, high = (codes - 1) / 2, (low - 1) // 2, (high - 1) // 2
    elif weights:
        rows = codes.flatten(1) if scale.numel() > 1 else codes.reshape(1, -1)
        lows, channels = rows.amin(1), codes.flatten(1)
        span = int((rows.amax(1) - lows).max().item())
        bits, signed = max(2, span.bit_length()), max(high, -1 - low).bit_length() + 1
        # Every channel has codes from one end to the other, as smallest and largest value give them
        spans = (channels.amax(1) - channels.amin(1))[channels.any(1)]
        full = len(spans) >= LEAST_CHANNELS and bool((spans == 2**bits - 1).all())
        if span < MOST_LEVELS and bits < signed and (full or signed > MOST_BITS):
            codes = codes - lows.reshape(-1, *[1] * (codes.ndim - 1))
            return replace(found, zero_point=-lows, low=0, high=2**bits - 1), codes
    if high - low >= MOST_LEVELS:
        return None
    found = replace(found, ends=low == -high and bool((codes.abs() == high).all()))
    # A code −high has a place in every format that has one for high, so the range is symmetric.
    return replace(found, low=min(low, -high) if low < 0 else 0, high=max(high, -low - 1)), codes


def coarsest_scale(values: Tensor) -> Tensor | None:
    """Returns the largest scale of which all values are whole multiples, float64 [1], or None.

    A multiple is at most MOST_LEVELS − 1, and a value is at most TOLERANCE of a step beside it.
    """
    levels = values.detach().double().flatten().unique()
    if not torch.isfinite(levels).all() or not levels.any():
        return None
    largest = levels.abs().max()
    if len(levels) > 64 * MOST_LEVELS:  # too many, even with rounding in float32
        return None
    numbers = torch.arange(1, MOST_LEVELS, dtype=torch.float64)
    for first in range(0, MOST_LEVELS, 16):
        some = numbers[first : first + 16, None]
        exact = levels / largest * some
        far = (exact - exact.round()).abs().amax(1)
        if (fits := (far <= TOLERANCE).nonzero()).numel():
            return (largest / some[fits[0, 0]]).reshape(1)
    return None
