"""Computes the integer convolution with NumPy, for benches that run inside a simulator.

Importing PyTorch into a simulator takes longer than most of these benches run. A test compares this
convolution with PyTorch's.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def numpy_convolution(
    activations: np.ndarray, weights: np.ndarray, stride: int, padding: int
) -> np.ndarray:
    """Returns the exact integer convolution, int64 [N, C_out, H', W'].

    activations: integer [N, C_in, H, W]; weights: integer [C_out, C_in, k, k]; stride and padding
    are in pixels. Each output is the product of the weights with one window of the padded map, in
    float64, which is exact, because every product and sum of codes is a whole number far below
    2^53. Raises ValueError if the padded map is smaller than the kernel.
    """
    sides = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
    padded = np.pad(np.asarray(activations, np.float64), sides)
    windows = sliding_window_view(padded, weights.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    sums = np.tensordot(windows, np.asarray(weights, np.float64), ([1, 4, 5], [1, 2, 3]))
    return np.moveaxis(sums, 3, 1).astype(np.int64)
