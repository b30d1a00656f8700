"""Holds a layer as tile text files describe it, and computes its psums and sums with PyTorch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from pymodel.reference.integer_convolution import integer_convolution, raster_psums


@dataclass(frozen=True)
class FileLayer:
    """A convolution as an array streams it: K kernel positions, Q streamed pixels, P outputs."""

    streams: np.ndarray  # int8 [K, I, Q]: the activations that each kernel position streams
    weights: np.ndarray  # int8 [K, O, I]
    pixels: np.ndarray  # int64 [K, P]: the streamed pixel that counts for an output at a position
    output_size: tuple[int, int]  # rows and columns of the outputs, whose product is P
    padded: np.ndarray | None  # int8 [I, H, W], the map with its padding; None if it is not known
    stride: int = 1  # pixels

    @property
    def channels(self) -> tuple[int, int]:
        """Numbers of output and input channels."""
        return self.weights.shape[1], self.weights.shape[2]

    @property
    def kernel(self) -> int:
        """Rows of the kernel, as many as its columns."""
        return round(len(self.weights) ** 0.5)

    def psums(self, inputs: slice = slice(None)) -> np.ndarray:
        """Returns the psums of some input channels, int64 [K, Q, O], by PyTorch."""
        streams, weights = self.streams[:, inputs], self.weights[:, :, inputs]
        if self.padded is None:
            products = torch.from_numpy(weights).double() @ torch.from_numpy(streams).double()
            return products.to(torch.int64).transpose(1, 2).numpy()
        kernels = torch.from_numpy(self._kernels()[:, inputs])
        return raster_psums(torch.from_numpy(self.padded[inputs]), kernels).numpy()

    @cached_property
    def sums(self) -> np.ndarray:
        """The sums of the outputs before any ReLU, int64 [P, O], by PyTorch's convolution."""
        if self.padded is None:  # the windows are there already: the convolution is one product
            windows = torch.from_numpy(self.streams).flatten(0, 1).double()
            kernels = torch.from_numpy(self.weights).transpose(0, 1).flatten(1).double()
            return (kernels @ windows).to(torch.int64).T.numpy()
        padded, kernels = torch.from_numpy(self.padded), torch.from_numpy(self._kernels())
        return integer_convolution(padded[None], kernels, self.stride, 0)[0].flatten(1).T.numpy()

    def add_up(self, psums: np.ndarray) -> np.ndarray:
        """Returns the sums [P, O] of psums [K, Q, O] over the kernel positions."""
        return psums[np.arange(len(psums))[:, None], self.pixels].sum(0)

    def _kernels(self) -> np.ndarray:
        """Returns the weights as PyTorch has them, int8 [O, I, k, k]."""
        side = self.kernel
        return self.weights.transpose(1, 2, 0).reshape(*self.channels, side, side)


def map_layer(padded: np.ndarray, weights: np.ndarray, stride: int = 1) -> FileLayer:
    """Returns the layer whose whole padded map, int8 [I, H, W], is streamed at each position.

    weights: int8 [K, O, I], kernel position ky · k + kx.
    """
    channels, rows, columns = padded.shape
    side = round(len(weights) ** 0.5)
    height, width = ((n - side) // stride + 1 for n in (rows, columns))
    y, x = np.divmod(np.arange(height * width), width)
    ky, kx = np.divmod(np.arange(side * side)[:, None], side)
    pixels = (y * stride + ky) * columns + x * stride + kx
    stream = padded.reshape(channels, -1)
    streams = np.broadcast_to(stream, (len(weights), *stream.shape))
    return FileLayer(streams, weights, pixels, (height, width), padded, stride)


def window_layer(windows: np.ndarray, weights: np.ndarray) -> FileLayer:
    """Returns the layer of which only the windows of some outputs are known, int8 [K, I, P]."""
    count = windows.shape[2]
    pixels = np.broadcast_to(np.arange(count), (len(windows), count))
    return FileLayer(windows, weights, pixels, (1, count), None)
