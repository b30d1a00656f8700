"""Computes how many cycles a layer takes on the core without stalls, in closed form.

The sequencer streams, for each output tile, input tile, kernel row ky and kernel column kx, one
activation vector per output pixel whose input lies inside the map. A tile of fewer pixels than COLS
waits until the next tile's weights have been loaded. With

    in, out                                     numbers of input tiles and of output tiles
    rows(ky)                                    output rows for which row ky lies inside the map
    cols(kx)                                    output columns for which column kx lies inside it
    p(ky, kx) = images · rows(ky) · cols(kx)    output pixels that kernel position (ky, kx) reaches
    P = images · H' · W'                        all output pixels, H' × W' for each image
    m(n) = max(n, COLS), but m(0) = 0           cycles of a tile that streams n pixels

and with the final kernel position f, whose row and column equal the padding, and which streams all
P pixels in the last tile of each output tile,

    cycles = 2 + COLS                                                   start; first weights
           + out · in · Σ m(p(ky, kx)) + out · (m(P) − m(p(f)))         tiles
           − m(P) + P                                                   no tile follows the last
           + latency                                                    last result

The cycles count from the write that starts the layer to the last accepted beat, both included.
"""

from pymodel.hardware.core import Core, Layer


def cycles(layer: Layer, core: Core) -> int:
    """Returns the cycles of one job, as the register CYCLES counts them.

    >>> cycles(Layer(4, 4, 8, 8), Core())
    136
    """
    input_tiles, output_tiles = layer.tiles(core)
    rows, cols = layer.reach()
    pixels = layer.images * layer.output_size[0] * layer.output_size[1]
    final = layer.images * rows[layer.padding] * cols[layer.padding]

    def slots(streamed: int) -> int:
        # The sequencer leaves out a kernel position that reaches no pixel.
        return max(streamed, core.cols) if streamed else 0

    positions = sum(slots(layer.images * r * c) for r in rows for c in cols)
    tiles = output_tiles * (input_tiles * positions + slots(pixels) - slots(final))
    return 2 + core.cols + tiles - slots(pixels) + pixels + core.latency


def limit_cycles(layer: Layer, core: Core) -> int:
    """Returns the cycles that streaming alone would take, one for each tap inside the map.

    A tap is a pair of an output pixel and a kernel position. It lies inside the map if the input
    that they need is no padding. Each pair of an input tile and an output tile streams all taps.
    """
    input_tiles, output_tiles = layer.tiles(core)
    rows, cols = layer.reach()
    return output_tiles * input_tiles * layer.images * sum(rows) * sum(cols)


def dense_limit_cycles(layer: Layer, core: Core) -> float:
    """Returns the cycles of all taps, with those in the padding, at ROWS · COLS MACs a cycle."""
    return layer.macs() / (core.rows * core.cols)
