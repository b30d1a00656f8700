"""Turns a recording into what the report page shows of it, cycle by cycle, with words."""

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from tb.report.recording import Recording, number


def shown_cycles(recording: Recording, own: bool) -> dict:
    """Returns what the page's script needs of a recording; `own` says whether the array is ours.

    `captions` are what happens in each cycle in words, `starts` the cycles in which a tile starts,
    `signals` the bits and the values, in hexadecimal, of each signal. `leaving` has the psum
    vectors that leave in each cycle, and `edges` what is at the edges of our array.
    """
    leaving: list[list] = [[] for _ in range(len(recording))]
    starts = []
    seen: set[int] = set()
    for one in recording.left:
        if one.cycle < len(recording):
            leaving[one.cycle].append({"place": one.place, "values": one.values})
            if one.tile not in seen:
                starts.append(one.cycle)
        seen.add(one.tile)
    edges = None
    if own:
        act = recording.lanes("act_i", recording.act_width, recording.act_signed)
        psum = recording.lanes("psum_o", recording.psum_width, True)
        entering, left = recording.flags("act_valid_i"), recording.flags("psum_valid_o")
        starts = [cycle for cycle, swap in enumerate(recording.flags("act_swap_i")) if swap]
        edges = {"act": act, "psum": psum, "act_valid": entering, "psum_valid": left}
    return {
        "rows": recording.rows,
        "cols": recording.cols,
        "pe": recording.pe,
        "edges": edges,
        "starts": starts,
        "captions": list(own_captions(recording) if own else captions(recording)),
        "leaving": leaving,
        "signals": {
            name: {"bits": len(texts[0]), "values": [hexadecimal(text) for text in texts]}
            for name, texts in recording.signals.items()
        },
    }


def captions(recording: Recording) -> Iterator[dict[str, str]]:
    """Yields what happens in each cycle, in words, of any array."""
    leaving = Counter(one.cycle for one in recording.left)
    left, shows = 0, recording.shows
    for cycle in range(len(recording)):
        left += leaving[cycle]
        where = f"{left:,} of {len(recording.left):,} vectors of {shows}s have left"
        plural = "s" * (leaving[cycle] != 1)
        yield {"where": where, "south": f"{leaving[cycle] or 'no'} vector{plural}"}


def own_captions(recording: Recording) -> Iterator[dict[str, str]]:
    """Yields what happens in each cycle of our array, in words that follow from its signals."""
    pixels, tiles = recording.pixels, recording.tiles
    names = ("act_valid_i", "act_swap_i", "weight_valid_i", "weight_col_i", "psum_valid_o")
    # The column's number is unknown before the first weight.
    control = {n: [number(text, False) for text in recording.signals[n]] for n in names}

    def of_pixel(vector: int) -> str:
        tile, pixel = divmod(vector, pixels)
        return f"tile {tile}, pixel {divmod(pixel, recording.width)}"

    entered = list(accumulate(control["act_valid_i"], initial=0))
    loaded = list(accumulate(control["weight_valid_i"], initial=0))
    left = list(accumulate(control["psum_valid_o"], initial=0))
    for cycle in range(len(recording)):
        west, weights, swap, south = "nothing enters", "none enter", "none", "nothing leaves"
        if control["act_valid_i"][cycle]:
            west = f"activations of {of_pixel(entered[cycle])} enter"
            west += ", with the swap" * bool(control["act_swap_i"][cycle])
        if control["weight_valid_i"][cycle]:
            tile, column = loaded[cycle] // recording.cols, control["weight_col_i"][cycle]
            weights = f"those of column {column} for tile {tile} enter"
        if travelling := sum(hops > 0 for hops in recording.pe["hops"][cycle]):
            weights += f"; {travelling} on their way"
        waves = Counter(
            sum(divmod(pe, recording.cols))
            for pe, token in enumerate(recording.pe["swap"][cycle])
            if token
        )
        if waves:
            swap = " and ".join(f"{count} on diagonal {wave}" for wave, count in waves.items())
            swap += " take over their shadow weights"
        if control["psum_valid_o"][cycle]:
            south = f"psums of {of_pixel(left[cycle])} leave"
        if entered[cycle + 1] == 0:
            where = "before the first tile"
        elif entered[cycle + 1] == entered[-1] and not control["act_valid_i"][cycle]:
            where = "all activations are in"
        else:
            tile = (entered[cycle + 1] - 1) // pixels
            where = f"tile {tile} of {recording.of_tiles:,}, {tiles[tile]}"
        yield {"where": where, "west": west, "weights": weights, "swap": swap, "south": south}


def extent(recording: Recording) -> str:
    """Returns how much of its image was recorded, in words."""
    tiles, pixels = f"{len(recording.tiles)} tiles", f"{recording.pixels} pixels"
    cycles = f"{len(recording)} cycles"
    if len(recording.tiles) < recording.of_tiles:
        tiles = f"the first {len(recording.tiles)} of {recording.of_tiles:,} tiles"
    if recording.pixels < recording.of_pixels:
        pixels = f"the first {recording.pixels} of {recording.of_pixels:,} pixels"
    if len(recording) < recording.of_cycles:
        cycles = f"the first {len(recording):,} of {recording.of_cycles:,} cycles"
    if recording.shows != "psum":
        return f"{pixels}, {cycles}"
    return f"{tiles}, in each {pixels}, {cycles}"


def hexadecimal(bits: str) -> str:
    """Returns binary digits as hexadecimal ones; a digit with X or Z among its bits is x."""
    whole = bits.zfill(-(-len(bits) // 4) * 4)
    groups = (whole[start : start + 4] for start in range(0, len(whole), 4))
    return "".join(f"{int(four, 2):x}" if set(four) <= {"0", "1"} else "x" for four in groups)
