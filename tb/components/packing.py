"""Packs vectors of lanes into one integer per bus, lane 0 in the lowest bits, and unpacks them.

Writing one integer to a bus in each cycle makes a bench fast: a slice of a LogicArray for each lane
costs many times as much.
"""

import numpy as np


def pack(vectors: np.ndarray, width: int) -> list[int]:
    """Returns integers [n, lanes], signed or not, of `width` bits each, as n packed integers."""
    return [int.from_bytes(row.tobytes(), "little") for row in octets(vectors, width)]


def unpack(words: list[int], lanes: int, width: int) -> np.ndarray:
    """Returns n packed integers as int64 [n, lanes]; a lane has `width` bits, two's complement."""
    size = -(-lanes * width // 8)
    packed = np.frombuffer(b"".join(w.to_bytes(size, "little") for w in words), np.uint8)
    return lanes_of(packed.reshape(len(words), size), lanes, width)


def octets(vectors: np.ndarray, width: int) -> np.ndarray:
    """Returns integers [n, lanes], signed or not, as uint8 [n, bytes], the lowest byte first.

    Each lane has `width` bits.
    """
    bits = (np.asarray(vectors)[..., None] >> np.arange(width)) & 1
    flat = bits.reshape(len(vectors), np.shape(vectors)[1] * width).astype(np.uint8)
    return np.packbits(flat, axis=1, bitorder="little")


def lanes_of(octets: np.ndarray, lanes: int, width: int) -> np.ndarray:
    """Returns bytes, uint8 [n, bytes] as of `octets`, as int64 [n, lanes] in two's complement."""
    bits = np.unpackbits(octets, axis=1, count=lanes * width, bitorder="little")
    place = 1 << np.arange(width, dtype=np.int64)
    place[-1] = -place[-1]
    return bits.reshape(len(octets), lanes, width) @ place
