"""Counts functional coverage from the values of the DUT's signals, not from a test's intention.

A bench calls `watch` once. The monitor then reads the signals of every cycle after the clock has
fallen, when inputs and outputs are settled. It only runs while coverage is measured (tb/coverage).
"""

import itertools
import os
from collections.abc import Callable

import cocotb
from cocotb.handle import HierarchyObject
from cocotb.triggers import FallingEdge, ReadOnly
from cocotb_coverage.coverage import CoverPoint, coverage_db

from pymodel.hardware.registers import Mode
from tb.sim.run_bench import COVERAGE

WEIGHTS, ACTS, SIGNED_ACTS = range(-8, 8), range(16), range(-8, 8)  # the codes of 4 bits
CORNERS = {
    "north-west": (0, 0),
    "north-east": (0, -1),
    "south-west": (-1, 0),
    "south-east": (-1, -1),
}
STREAMS = ("act", "weight", "threshold")

# The states of the core (control.v, core.v). "settle": the registers have just changed; "idle": a
# start may come; "wait": packets are missing. While a layer runs, "load": a tile's weights are
# loaded; "walk": a tile's pixels are walked; "finish": the pixels of an output tile's last tap are
# walked, whose sums leave; "blocked": a finished pixel has no place in the FIFO; "drain": no tile
# is left.
RUNNING = ("load", "walk", "finish", "blocked", "drain")
STATES = ("settle", "idle", "wait", *RUNNING)

# Kernel, stride and padding of every layer that the core takes
LAYERS = [(k, s, p) for k in range(1, 8) for s in (1, 2) for p in range(min(k, 4))]
# The state of the core, and what stalls in it, in each mode. "absent": the stream offers no beat;
# "held": a beat, a result or an answer is offered and not taken.
STALLS_IN_STATES = [
    *itertools.product(STATES, [f"{s} {how}" for s in STREAMS for how in ("absent", "held")]),
    *((state, "result held") for state in RUNNING),
    *itertools.product(STATES, ("write answer held", "read answer held")),
    ("settle", "start held"),
]
STALLS = [(mode, *stall) for mode in Mode.__members__ for stall in STALLS_IN_STATES]
# What may be there although no layer needs it, in which modes and states. "spare": a packet
# of thresholds in a mode without codes; "next": a packet of the next layer; "keep flags": those in
# the registers are not the layer's.
NOT_NEEDED = [
    *itertools.product(
        ("SUMS", "RELU"), STATES, ("spare thresholds", "spare thresholds of another length")
    ),
    *itertools.product(Mode.__members__, STATES, [f"next {stream}s" for stream in STREAMS]),
    *itertools.product(Mode.__members__, STATES, ["register written"]),
    *itertools.product(Mode.__members__, ("idle", "wait", *RUNNING), ["clear"]),
    *itertools.product(Mode.__members__, ("wait", *RUNNING), ["start", "keep flags"]),
]
# The states of a layer that runs and whose codes are pooled
POOLED = list(RUNNING)
NOT_NEEDED_BINS = frozenset(NOT_NEEDED)
BANKS = ("empty", "filling", "one full", "both full")
RESETS = [
    *STATES,
    *(f"{stream} {bank}" for stream in STREAMS for bank in BANKS),
    "accumulator cleared",
    "result pending",
    "write answer pending",
    "read answer pending",
]
# Largest number of idle cycles between two layers that a host starts as soon as it can
NEXT = 16


def point(name: str, bins: list) -> Callable[..., None]:
    """Returns a function that counts its arguments in a cover point with these bins.

    Where a bin is a tuple, the function takes its parts as arguments.
    """
    cover = CoverPoint(name, bins=bins)(lambda *_: None)
    seen = set()

    def sample(*value) -> None:
        if value not in seen:  # the library is slow
            seen.add(value)
            cover(*value)

    return sample


def watch(monitor: Callable[[HierarchyObject], Callable[[], None]], dut: HierarchyObject) -> None:
    """Starts the monitor of a module, `monitor(dut)`, if coverage is measured."""
    if os.environ.get(COVERAGE):
        cocotb.start_soon(_watch(dut, monitor(dut)))


async def _watch(dut: HierarchyObject, cycle: Callable[[], None]) -> None:
    clock = FallingEdge(dut.clk_i)
    try:
        while True:
            await clock
            await ReadOnly()
            cycle()
    finally:  # the test has ended
        coverage_db.export_to_yaml(f"{os.environ[COVERAGE]}.yml")


def pe(dut: HierarchyObject) -> Callable[[], None]:
    """Returns a monitor that counts every weight with every activation.

    Where zeros are told, an activation is 0 while its zero is told, whatever its bits.
    """
    signed = bool(int(dut.ACT_SIGNED.value))
    if signed:
        bins = list(itertools.product(WEIGHTS, SIGNED_ACTS))
        sample = point("pe.weight_signed_activation", bins)
    else:
        sample = point("pe.weight_activation", list(itertools.product(WEIGHTS, ACTS)))
    gated = bool(int(dut.ZERO_GATING.value))
    held = point("pe.weight_held_activation", list(itertools.product(WEIGHTS, ACTS[1:])))
    loaded = known = False

    def cycle() -> None:
        nonlocal loaded, known
        known = known or (loaded and bool(dut.swap_i.value))
        loaded = loaded or bool(dut.weight_hops_i.value)
        if known and not dut.rst_i.value:
            weight, act = dut.weight.value.to_signed(), dut.act_i.value
            if gated and dut.act_zero_i.value:
                if int(act) and not signed:
                    held(weight, int(act))
            else:
                sample(weight, act.to_signed() if signed else int(act))

    return cycle if (len(dut.weight_i), len(dut.act_i)) == (4, 4) else lambda: None


def zero_hold(dut: HierarchyObject) -> Callable[[], None]:
    """Returns a monitor that counts what the first lane does, and did in the cycle before."""
    does = ("rests", "passes zero", "passes a value")
    sample = point("zero_hold.changes", list(itertools.product(does, repeat=2)))
    before = ""

    def cycle() -> None:
        nonlocal before
        if dut.rst_i.value:
            before = ""
            return
        value = int(dut.data_i.value) & 2 ** (len(dut.data_o) // len(dut.zero_o)) - 1
        now = does[2 if value else 0 if int(dut.zero_o.value) & 1 else 1]
        if before:
            sample(before, now)
        before = now

    return cycle


def reconfigurable_pe(dut: HierarchyObject) -> Callable[[], None]:
    """Returns a monitor that counts every weight with every activation, in all modes."""
    flows = ("weight stationary", "output stationary")
    whole = point("reconfigurable_pe.whole", list(itertools.product(flows, WEIGHTS, ACTS)))
    places = itertools.product(flows, ("low", "high"), WEIGHTS, range(4))
    half = point("reconfigurable_pe.halves", list(places))
    # Start, last and drain; a tile has no last step.
    bins = [one for one in itertools.product(flows, *[(0, 1)] * 3) if one[:3:2] != (flows[0], 1)]
    tokens = point("reconfigurable_pe.tokens", bins)
    gated = bool(int(dut.ZERO_GATING.value))
    zeros = point("reconfigurable_pe.zeros", list(itertools.product(flows, range(4))))

    def cycle() -> None:
        if dut.rst_i.value or not dut.weight.value.is_resolvable:
            return
        flow = flows[int(dut.output_stationary_i.value)]
        tokens(flow, *(int(h.value) for h in (dut.start_i, dut.last_i, dut.drain_i)))
        act, pair = int(dut.act_i.value), int(dut.weight.value)
        if gated:
            zeros(flow, int(dut.act_zero_i.value))
            act &= ~sum(3 << 2 * half for half in (0, 1) if int(dut.act_zero_i.value) >> half & 1)
        low, high = ((code & 15) - 2 * (code & 8) for code in (pair, pair >> 4))
        if dut.halves_i.value:
            half(flow, "low", low, act & 3)
            half(flow, "high", high, act >> 2)
        elif low == high:
            whole(flow, low, act)

    return cycle if (len(dut.weight_i), len(dut.act_i)) == (8, 4) else lambda: None


# The modes of reconfigurable_array: its two control bits
RECONFIGURABLE = ("4 bits, WS", "4 bits, OS", "2 bits, WS", "2 bits, OS")


def reconfigurable_array(dut: HierarchyObject) -> Callable[[], None]:
    """Returns a monitor of changes of mode, of what enters in each mode, and of resets."""
    pairs = list(itertools.product(RECONFIGURABLE, repeat=2))
    changes = point("reconfigurable_array.changes", pairs)
    happens = (
        "idle between activations",
        "weights enter",
        "sums of the block before leave",
        "sums leave and are complete",
        "reset while activations are under way",
        "reset while psums or sums leave",
    )
    bins = [
        (mode, what)
        for mode in RECONFIGURABLE
        for what in happens
        if "OS" in mode or not what.startswith("sums")
    ]
    during = point("reconfigurable_array.during", bins)
    rows, cols = int(dut.ROWS.value), int(dut.COLS.value)
    if rows < 2 or cols < 2:
        return lambda: None
    before, since = None, rows + cols  # mode of the last activations, and cycles since then

    def cycle() -> None:
        nonlocal before, since
        enters = bool(dut.act_valid_i.value)
        if dut.rst_i.value:
            if before and since < rows + cols - 1:
                during(before, "reset while activations are under way")
            if before and dut.psum_valid_o.value.is_resolvable and dut.psum_valid_o.value:
                during(before, "reset while psums or sums leave")
            before, since = None, rows + cols
            return
        if enters:
            number = 2 * int(dut.halves_i.value) + int(dut.output_stationary_i.value)
            mode = RECONFIGURABLE[number]
            if before and dut.act_start_i.value:
                changes(before, mode)
            if before == mode and since > 1 and not dut.act_start_i.value:
                during(mode, "idle between activations")
            if dut.weight_valid_i.value:
                during(mode, "weights enter")
            if "OS" in mode and dut.psum_valid_o.value:
                during(mode, "sums of the block before leave")
                if dut.act_last_i.value:
                    during(mode, "sums leave and are complete")
            before, since = mode, 0
        since += 1

    return cycle


def array(dut: HierarchyObject) -> Callable[[], None]:
    """Returns a monitor of pairs of extremes at the four corners, while activations are valid."""
    signed = bool(int(dut.ACT_SIGNED.value))
    acts = SIGNED_ACTS if signed else ACTS
    extremes = itertools.product((WEIGHTS[0], WEIGHTS[-1]), (acts[0], acts[-1]))
    bins = [(corner, *pair) for pair in extremes for corner in CORNERS]
    sample = point("array.signed_corners", bins) if signed else point("array.corners", bins)
    rows, cols = int(dut.ROWS.value), int(dut.COLS.value)
    corners = []
    for name, place in CORNERS.items():
        row, col = (n % size for n, size in zip(place, (rows, cols), strict=True))
        corners.append((name, row + col, dut.g_row[row].g_col[col].pe))

    def cycle() -> None:
        valid = int(dut.valid_taps.value)  # bit n: an activation that entered n cycles ago
        for name, age, corner in corners:
            if valid >> age & 1:
                act = corner.act_i.value
                act = act.to_signed() if signed else int(act)
                sample(name, corner.weight.value.to_signed(), act)

    widths = (int(dut.ACT_WIDTH.value), int(dut.WEIGHT_WIDTH.value))
    return cycle if widths == (4, 4) and rows > 1 < cols else lambda: None


def core_state(dut: HierarchyObject) -> str:
    """Returns which of STATES the core is in; the result is right after the clock has fallen."""
    control, walker = dut.control, dut.address_generator
    if not int(control.state.value):
        return "idle" if control.settled.value else "settle"
    if int(control.state.value) == 1:
        return "wait"
    if dut.waiting.value:
        return "blocked"
    if walker.active.value:
        return "finish" if walker.final_tile.value else "walk"
    return "load" if dut.tile_valid.value else "drain"


def bank_state(dut: HierarchyObject, stream: str) -> str:
    """Returns which of BANKS a stream's memory is in."""
    control = getattr(dut, f"{stream}_stream").bank_control
    full = int(control.full.value).bit_count()
    return BANKS[full + 1] if full else "filling" if int(control.beats.value) else "empty"


def pending(dut: HierarchyObject) -> dict[str, bool]:
    """Returns the other conditions of RESETS by name, and whether each holds now."""
    return {
        "accumulator cleared": bool(dut.accumulator.clearing.value),
        "result pending": bool(dut.m_axis_tvalid.value),
        "write answer pending": bool(dut.s_axil_bvalid.value),
        "read answer pending": bool(dut.s_axil_rvalid.value),
    }


def unneeded(dut: HierarchyObject, mode: str, state: str) -> dict[tuple[str, str, str], bool]:
    """Returns the bins of NOT_NEEDED of this mode and state, and whether each is there now."""
    full, right = bool(dut.thresholds_full.value), bool(dut.thresholds_right.value)
    keeps = [(f"keep_{stream}s", f"set_keep_{stream}s") for stream in STREAMS]
    there = {
        "spare thresholds": full and right,
        "spare thresholds of another length": full and not right,
        **{f"next {stream}s": bank_state(dut, stream) == "both full" for stream in STREAMS},
        "register written": bool(dut.change.value),
        "clear": bool(dut.clear.value),
        "start": bool(dut.start.value),
        "keep flags": any(getattr(dut, a).value != getattr(dut, b).value for a, b in keeps),
    }
    found = {(mode, state, name): value for name, value in there.items()}
    return {name: value for name, value in found.items() if name in NOT_NEEDED_BINS}


def core(dut: HierarchyObject) -> Callable[[], None]:
    """Returns a monitor that counts layers, stalls, resets, pairs of layers and kept packets."""
    layers = point("core.kernel_stride_padding", LAYERS)
    stalls = point("core.stalls", STALLS)
    resets = point("core.resets", RESETS)
    back_to_back = point("core.back_to_back", list(itertools.product(Mode.__members__, repeat=2)))
    kept = point("core.kept_packets", list(itertools.product((0, 1), repeat=3)))
    not_needed = point("core.not_needed", NOT_NEEDED)
    pools = point("core.pooled", POOLED)
    pooling = bool(int(dut.POOL_WIDTH.value))
    keeps = [getattr(dut, f"keep_{stream}s") for stream in STREAMS]
    streams = {
        f"{name} {{}}": (getattr(dut, f"{prefix}valid"), getattr(dut, f"{prefix}ready"))
        for name, prefix in (
            *((stream, f"s_axis_{stream}_t") for stream in STREAMS),
            ("result", "m_axis_t"),
            ("write answer", "s_axil_b"),
            ("read answer", "s_axil_r"),
        )
    }
    scaling = bool(int(dut.OUTPUT_SCALING.value))
    modes = {mode.value: mode.name for mode in Mode if mode != Mode.SCALED or scaling}
    running = False  # out of reset; before the first reset nothing is known
    before, since = None, 0  # mode of the layer before, and number of cycles since its end

    def cycle() -> None:
        nonlocal running, before, since
        state = core_state(dut)
        if dut.rst_i.value:
            if running:
                resets(state)
                for stream in STREAMS:
                    resets(f"{stream} {bank_state(dut, stream)}")
                for name, there in pending(dut).items():
                    if there:
                        resets(name)
            running, before = False, None
            return
        running = True
        since += 1
        if (mode := modes.get(int(dut.mode.value))) is None:
            return  # a layer that is refused
        for name, (valid, ready) in streams.items():
            if not (there := int(valid.value)) or not int(ready.value):
                stalls(mode, state, name.format("held" if there else "absent"))
        if dut.hold.value and dut.s_axil_awvalid.value and dut.registers.write_control.value:
            stalls(mode, state, "start held")
        if pooling and dut.pool.value and state in RUNNING:
            pools(state)
        for what, there in unneeded(dut, mode, state).items():
            if there:
                not_needed(*what)
        if dut.control.accept.value:
            if before is not None and since <= NEXT and dut.run.value:
                back_to_back(before, mode)
            before = None
        if dut.finish.value:
            sizes = dut.kernel, dut.stride2, dut.padding
            kernel, stride2, padding = (int(handle.value) for handle in sizes)
            layers(kernel, 1 + stride2, padding)
            kept(*(int(keep.value) for keep in keeps))
            before, since = mode, 0

    return cycle
