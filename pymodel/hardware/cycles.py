"""How many cycles a layer takes on the core without stalls, in closed form.

The sequencer streams, for each output tile, input tile, kernel row and kernel column, one
activation per output pixel whose input lies inside the map. A tile of fewer pixels than COLS waits
until the next tile's weights have been loaded. With

    p(ky, kx) = images · rows(ky) · cols(kx)      pixels that kernel position (ky, kx) reaches
    P = images · H' · W'                          all output pixels; so many the final tile visits
    m(n) = max(n, COLS), but m(0) = 0             a tap that reaches nothing is left out

and the final kernel position f, the one whose row and column equal the padding,

    cycles = 2 + COLS                                                   start; first weights
           + out · in · Σ m(p(ky, kx)) + out · (m(P) − m(p(f)))         tiles
           − m(P) + P                                                   none follows the last
           + latency                                                    last result

counted from the write that starts to the last beat that is accepted, both included.
"""

from pymodel.hardware.core import Core, Layer


def cycles(layer: Layer, core: Core) -> int:
    """Cycles of one job, as the register CYCLES counts them.

    >>> cycles(Layer(4, 4, 8, 8), Core())
    136
    """
    input_tiles, output_tiles = layer.tiles(core)
    rows, cols = layer.reach()
    pixels = layer.images * layer.output_size[0] * layer.output_size[1]
    centre = layer.images * rows[layer.padding] * cols[layer.padding]

    def slots(pixels: int) -> int:
        return max(pixels, core.cols) if pixels else 0  # a tap that reaches nothing is left out

    taps = sum(slots(layer.images * r * c) for r in rows for c in cols)
    tiles = output_tiles * (input_tiles * taps + slots(pixels) - slots(centre))
    return 2 + core.cols + tiles - slots(pixels) + pixels + core.latency


def limit_cycles(layer: Layer, core: Core) -> int:
    """Taps inside the map, one a cycle: what streaming alone would take."""
    input_tiles, output_tiles = layer.tiles(core)
    rows, cols = layer.reach()
    return output_tiles * input_tiles * layer.images * sum(rows) * sum(cols)


def dense_limit_cycles(layer: Layer, core: Core) -> float:
    """All taps, those in the padding too, at ROWS · COLS multiplications a cycle."""
    return layer.macs() / (core.rows * core.cols)
