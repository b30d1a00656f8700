"""Base classes for adapters of arrays that are not weight stationary, and of whole cores.

docs/own-array.md explains each of them. What they have in common with weight-stationary arrays is
in `tb/components/array_adapter.py`.
"""

import math
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from cocotb.handle import HierarchyObject

from pymodel.convolution import Convolution, pair
from pymodel.support.errors import InputError
from tb.components.array_adapter import ArrayAdapter

# What a core may give, and one of these in words
OUTPUTS = {"sums": "sum", "relu": "ReLU output", "codes": "code"}


class AccumulatingAdapter(ArrayAdapter):
    """Connects a weight-stationary array that adds the psums of tiles inside, and gives sums.

    A layer's taps are cut into tiles of rows × cols. All tiles of an output channel and pixel
    follow one another, and the sums of the pixels leave the array once, after the last tile.
    """

    depth = None
    shows = "sum"
    # Largest number of pixels whose sums the array can hold; None: any number
    accumulators: int | None = None

    @abstractmethod
    async def load(self, weights: np.ndarray) -> None:
        """Loads one tile, int [rows, cols]; returns when activations may follow."""

    @abstractmethod
    async def stream(self, activations: np.ndarray, first: bool, last: bool) -> None:
        """Streams a tile's activations, int [pixels, rows]; returns when the next tile may load.

        The array begins new sums with the `first` of the tiles that are added, and gives the sums
        with the `last`.
        """

    async def play(self, weights: np.ndarray, activations: Sequence[np.ndarray]) -> None:
        """Loads and streams the tiles of each sum, one after another.

        weights: [n, taps, cols]; activations: for each of n [pixels, taps]. Taps that are missing
        to a whole tile are zeros.
        """
        for weight, vectors in zip(weights, activations, strict=True):
            most = self.accumulators or len(vectors)
            tiles = _whole_tiles(weight, self.rows, 0)
            for begin in range(0, len(vectors), most):
                streams = _whole_tiles(vectors[begin : begin + most], self.rows, 1)
                for number, (tile, stream) in enumerate(zip(tiles, streams, strict=True)):
                    await self.load(tile)
                    await self.stream(stream, number == 0, number == len(tiles) - 1)


class MatmulAdapter(ArrayAdapter):
    """Connects a matrix multiplier, or an output-stationary array: C = A · B, product by product.

    A holds activations, a row for each output pixel; B holds weights, a column for each output
    channel; the inner dimension K runs over the taps of a layer, or `depth` of them. Every product
    has exactly `rows` rows, `cols` columns, and `depth` taps if that is not None: what the layer
    does not fill is 0.
    """

    depth: int | None = None  # taps of a product; None: any number, all taps of a layer
    latency = 0  # the results are there when `matmul` returns

    def __init__(self, dut: HierarchyObject):
        super().__init__(dut)
        self._results: deque = deque()

    @property
    def shows(self) -> str:
        """Returns "sum" if a product covers all taps of a layer, else "psum"."""
        return "psum" if self.depth else "sum"

    @abstractmethod
    async def matmul(self, a: np.ndarray, b: np.ndarray) -> Sequence:
        """Multiplies activations, int [rows, K], by weights, int [K, cols]; returns the product.

        The product is an integer array [rows, cols], or a list with one entry for each row, in the
        form in which `psums` of `ArrayAdapter` returns a vector.
        """

    async def play(self, weights: np.ndarray, activations: Sequence[np.ndarray]) -> None:
        """Multiplies each tile's activations by its weights, `rows` pixels at a time.

        weights: [n, K, cols]; activations: for each of n [pixels, K].
        """
        self._results.clear()
        for weight, vectors in zip(weights, activations, strict=True):
            for begin in range(0, len(vectors), self.rows):
                part = vectors[begin : begin + self.rows]
                whole = np.zeros((self.rows, weight.shape[0]), vectors.dtype)
                whole[: len(part)] = part
                product = list(await self.matmul(whole, weight))
                if len(product) != self.rows:
                    raise ValueError(f"matmul() returned {len(product)} rows, expected {self.rows}")
                self._results += map(_as_vector, product[: len(part)])

    def psums(self) -> Any | None:
        """Returns the next row of a product that has come, or None."""
        return self._results.popleft() if self._results else None

    def arrived(self) -> Iterator[Any]:
        """Yields all rows of products that have come since the last clock edge."""
        while (vector := self.psums()) is not None:
            yield vector

    def limit(self, longest: int, deepest: int) -> int:
        """Returns the number of cycles without a psum after which a run is given up."""
        return self.patience * (deepest * (self.rows + self.cols) + self.latency)


@dataclass(frozen=True)
class CoreLayer:
    """A layer that a core computes, of N maps.

    In real numbers, the next layer's code of an output is
    clip(round(sum · scale[c] + offset[c]), 0, 2^code_bits − 1).
    """

    activations: np.ndarray  # integer codes [N, C_in, H, W]
    weights: np.ndarray  # integer codes [C_out, C_in / groups, kh, kw]
    convolution: Convolution  # stride, padding, dilation and groups
    zero: int  # zero point of the activations: the code in the border
    scale: np.ndarray  # float64 [C_out]
    offset: np.ndarray  # float64 [C_out]
    code_bits: int = 4

    @property
    def output_size(self) -> tuple[int, int]:
        """Returns height and width of the output, pixels."""
        return self.convolution.output_size(self.activations.shape[2:], self.weights.shape[2:])

    @property
    def square(self) -> tuple[int, int, int] | None:
        """Returns kernel, stride and padding, pixels, of a layer with the same on both sides.

        Returns None for another layer, and for one with dilation or groups.
        """
        stride, padding, dilation = map(pair, self.convolution[:3])
        numbers = self.weights.shape[2:], stride, padding
        if any(rows != columns for rows, columns in numbers):
            return None
        plain = dilation == (1, 1) and self.convolution.groups == 1
        return tuple(rows for rows, _ in numbers) if plain else None


class CoreAdapter(ArrayAdapter):
    """Connects a whole core, which takes a layer and gives its outputs.

    `rows` and `cols` say how many multipliers the core has, and `latency` and `patience` mean
    nothing here but a limit of time; a core that needs no tiles may leave them as they are.
    """

    depth = None
    latency = 0
    psum_width = 32  # bits of an output, two's complement, as `run_layer` returns it
    outputs = "sums"  # what the core gives: "sums", "relu" (of the sums) or "codes"

    def __init__(self, dut: HierarchyObject):
        super().__init__(dut)
        self._results: deque = deque()

    @property
    def shows(self) -> str:
        """Returns in words what the core gives."""
        return OUTPUTS[self.outputs]

    @abstractmethod
    async def run_layer(self, layer: CoreLayer) -> np.ndarray:
        """Runs a layer on the core; returns its outputs, integers [N, C_out, H', W']."""

    def supports(self, layer: CoreLayer) -> bool:
        """Returns whether the core can run a layer of this geometry; by default each."""
        return True

    def requantise(self, sums: np.ndarray, layer: CoreLayer) -> np.ndarray:
        """Returns the codes that the core's documentation promises for `sums` [N, C_out, H', W'].

        A core whose `outputs` are "codes" has to override this method; `run_layer` gives the core
        the same multipliers, shifts or thresholds.
        """
        name = type(self).__name__
        raise InputError(f"{name} gives codes, expected a method {name}.requantise")

    def promised(self, sums: np.ndarray, layer: CoreLayer) -> np.ndarray:
        """Returns the outputs that the core has to give, int64 of the shape of `sums`.

        Raises InputError if `outputs` is none of OUTPUTS, or if codes have no `requantise`.
        """
        if self.outputs not in OUTPUTS:
            raise InputError(
                f"{type(self).__name__}.outputs is {self.outputs!r}, expected one of "
                f"{', '.join(OUTPUTS)}"
            )
        if self.outputs == "codes":
            return np.asarray(self.requantise(sums, layer)).astype(np.int64)
        return sums.clip(0) if self.outputs == "relu" else sums

    def expected(self, weights: np.ndarray, activations: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the outputs that must come for tiles of `play`, int64 [n, cols]."""
        vectors = []
        for weight, pixels in zip(weights, activations, strict=True):
            layer = self.layer_of_tile(weight, pixels)
            sums = (pixels @ weight).T.reshape(1, -1, *layer.activations.shape[2:])
            maps = self.promised(sums, layer)
            vectors.append(in_vectors(maps, self.cols).reshape(-1, self.cols))
        return np.concatenate(vectors)

    async def play(self, weights: np.ndarray, activations: Sequence[np.ndarray]) -> None:
        """Runs each tile as a layer of one map.

        weights: [n, taps, cols]; activations: for each of n [pixels, taps].
        """
        self._results.clear()
        for weight, vectors in zip(weights, activations, strict=True):
            await self._run(self.layer_of_tile(weight, vectors))

    def layer_of_tile(self, weight: np.ndarray, vectors: np.ndarray) -> CoreLayer:
        """Returns a tile as a layer, with the smallest kernel that the core supports.

        The weights are those at the middle of a kernel of 1, 3, 5 or 7 pixels a side. Raises
        InputError if the core supports none of these kernels.
        """
        # A map as square as possible
        height = next(n for n in range(math.isqrt(len(vectors)), 0, -1) if len(vectors) % n == 0)
        maps = vectors.T.reshape(1, vectors.shape[1], height, -1)
        for side in (1, 3, 5, 7):
            kernel = np.zeros((*weight.T.shape, side, side), weight.dtype)
            kernel[:, :, side // 2, side // 2] = weight.T
            convolution = Convolution(1, side // 2)
            # The codes of most sums spread over 4 bits.
            largest = max(1, int(np.abs(vectors @ weight).max()))
            scale = np.full(weight.shape[1], 15 / largest)
            layer = CoreLayer(maps, kernel, convolution, 0, scale, np.zeros(weight.shape[1]))
            if self.supports(layer):
                return layer
        raise InputError(
            f"{type(self).__name__}.supports() refuses every kernel for {weight.shape[0]} → "
            f"{weight.shape[1]} channels and a map of {len(vectors)} pixels, expected one of "
            "1, 3, 5 or 7 pixels a side"
        )

    async def play_layer(self, layer: CoreLayer) -> None:
        """Runs a layer; its outputs then come as vectors of `cols` channels.

        They come image by image, in groups of `cols` output channels, pixel by pixel.
        """
        self._results.clear()
        await self._run(layer)

    async def _run(self, layer: CoreLayer) -> None:
        """Runs a layer, and adds its outputs to the results. Raises ValueError for another size."""
        outputs = np.asarray(await self.run_layer(layer))
        wanted = (len(layer.activations), len(layer.weights), *layer.output_size)
        if outputs.shape != wanted or not np.issubdtype(outputs.dtype, np.integer):
            raise ValueError(
                f"run_layer() returned {outputs.dtype} {list(outputs.shape)}, expected integers "
                f"{list(wanted)}"
            )
        self._results += map(_as_vector, in_vectors(outputs, self.cols).reshape(-1, self.cols))

    psums = MatmulAdapter.psums
    arrived = MatmulAdapter.arrived

    def limit(self, longest: int, deepest: int) -> int:
        """Returns the number of cycles without an output after which a run is given up."""
        return self.patience * (deepest * (self.cols + longest) + self.latency)


def in_vectors(maps: np.ndarray, cols: int) -> np.ndarray:
    """Returns maps [N, C, H, W] as vectors [N, groups, H · W, cols] of `cols` channels each.

    Channels that are missing to a whole group are 0.
    """
    count, channels, height, width = maps.shape
    groups = -(-channels // cols)
    whole = np.zeros((count, groups * cols, height * width), np.int64)
    whole[:, :channels] = maps.reshape(count, channels, height * width)
    return whole.reshape(count, groups, cols, -1).transpose(0, 1, 3, 2)


def _as_vector(row: Any) -> Any:
    """Returns a row of numbers as a list of integers; anything else as it is."""
    return row.tolist() if isinstance(row, np.ndarray) else row


def _whole_tiles(values: np.ndarray, rows: int, axis: int) -> list[np.ndarray]:
    """Returns values cut along an axis into parts of `rows`, the last of them filled with zeros."""
    missing = -values.shape[axis] % rows
    widths = [(0, missing if number == axis else 0) for number in range(values.ndim)]
    return np.split(np.pad(values, widths), (values.shape[axis] + missing) // rows, axis)
