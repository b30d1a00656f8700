"""Vectors of lanes as one integer per bus, lane 0 in the lowest bits, and back.

One integer a bus and cycle is what makes a bench fast: a slice of a LogicArray per lane costs many
times as much.
"""

import numpy as np


def pack(vectors: np.ndarray, width: int) -> list[int]:
    """Integers [n, lanes], signed or not, of `width` bits each → n integers."""
    return [int.from_bytes(row.tobytes(), "little") for row in octets(vectors, width)]


def unpack(words: list[int], lanes: int, width: int) -> np.ndarray:
    """n integers → int64 [n, lanes], each lane of `width` bits in two's complement."""
    size = -(-lanes * width // 8)
    packed = np.frombuffer(b"".join(w.to_bytes(size, "little") for w in words), np.uint8)
    return lanes_of(packed.reshape(-1, size), lanes, width)


def octets(vectors: np.ndarray, width: int) -> np.ndarray:
    """Integers [n, lanes], signed or not, of `width` bits each → uint8 [n, bytes], lowest first."""
    bits = (np.asarray(vectors)[..., None] >> np.arange(width)) & 1
    flat = bits.reshape(len(vectors), np.shape(vectors)[1] * width).astype(np.uint8)
    return np.packbits(flat, axis=1, bitorder="little")


def lanes_of(octets: np.ndarray, lanes: int, width: int) -> np.ndarray:
    """The inverse: uint8 [n, bytes] → int64 [n, lanes], each in two's complement."""
    bits = np.unpackbits(octets, axis=1, count=lanes * width, bitorder="little")
    place = 1 << np.arange(width, dtype=np.int64)
    place[-1] = -place[-1]
    return bits.reshape(-1, lanes, width) @ place
