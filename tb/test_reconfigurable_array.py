"""The reconfigurable array agrees with NumPy in all modes, through all changes of mode."""

import itertools

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from pymodel.support.errors import InputError
from tb.components import cover_points
from tb.components.random_tiles import random_generator, watch_zeros
from tb.components.reconfigurable import ReconfigurableAdapter
from tb.components.reconfigurable_schedule import Piece, most_steps, schedule
from tb.modules.pytest_runs import each_run
from tb.sim.errors import BenchError

MODES = list(itertools.product((False, True), repeat=2))  # (halves, output stationary)


class Bench:
    """The array with its adapter, and the pieces that it runs."""

    def __init__(self, dut):
        self.array = ReconfigurableAdapter(dut)
        self.sizes = self.array.driver.sizes
        self.rng = random_generator()
        self.latency = self.array.latency

    async def start(self):
        """Starts the clock and resets the array."""
        await self.array.start()
        cover_points.watch(cover_points.reconfigurable_array, self.array.dut)

    def codes(self, halves):
        """Returns the largest activation, and the smallest and the largest weight."""
        bits = self.sizes.act_width // (1 + halves)
        weight = 2 ** (self.sizes.weight_width - 1)
        return 2**bits - 1, -weight, weight - 1

    def piece(self, mode, length, pixels=0):
        """Returns a random tile of `length` pixels, or a block of `length` steps.

        The block has `pixels`, by default as many as the array has rows.
        """
        halves, output_stationary = mode
        act, low, high = self.codes(halves)
        lanes = 1 + halves
        depth = (length if output_stationary else self.sizes.rows) * lanes
        pixels = (pixels or self.sizes.rows) if output_stationary else length
        return Piece(
            halves,
            output_stationary,
            self.rng.integers(low, high + 1, (depth, self.sizes.cols)),
            self.rng.integers(0, act + 1, (pixels, depth)),
        )

    def steps(self, low, high, halves=False):
        """Returns a random number of steps of a block whose sums fit."""
        return int(self.rng.integers(low, high + 1)) % most_steps(self.sizes, halves) + 1

    async def check(self, pieces, **options) -> int:
        """Plays pieces, compares every psum and sum; returns the number of cycles."""
        expected = np.concatenate([piece.activations @ piece.weights for piece in pieces])
        at = [(n, p) for n, piece in enumerate(pieces) for p in range(len(piece.activations))]
        board, cycles = await self.array.run(
            self.array.play_pieces(pieces, **options),
            expected,
            lambda index: "piece {}, pixel {}".format(*at[index]),
            longest=max(max(piece.activations.shape) for piece in pieces),
        )
        board.finish()
        return cycles


@cocotb.test()
async def tiles_follow_without_a_bubble(dut):
    """Weight stationary, with tiles of COLS pixels or more, every cycle has a psum vector."""
    bench = Bench(dut)
    await bench.start()
    cols = bench.sizes.cols
    for halves in (False, True):
        lengths = [cols] * 5 + bench.rng.integers(cols, 3 * cols + 1, 10).tolist()
        cycles = await bench.check([bench.piece((halves, False), n) for n in lengths])
        assert cycles == cols + sum(lengths) + bench.latency, "a bubble between tiles"


@cocotb.test()
async def blocks_follow_without_a_bubble(dut):
    """Output stationary, with blocks of ROWS steps or more, operands come in every cycle."""
    bench = Bench(dut)
    await bench.start()
    rows = bench.sizes.rows
    for halves in (False, True):
        most = most_steps(bench.sizes, halves)
        if most < rows:
            continue
        steps = [rows] * 5 + bench.rng.integers(rows, min(3 * rows, most) + 1, 10).tolist()
        cycles = await bench.check([bench.piece((halves, True), n) for n in steps])
        # The last vector is ROWS − 1 cycles behind the block's first one.
        assert cycles == sum(steps) + bench.latency + rows - 1, "a bubble between blocks"


@cocotb.test()
async def short_tiles_and_blocks_wait(dut):
    """Short tiles wait for their weights, and short blocks for the sums before; nothing is lost."""
    bench = Bench(dut)
    await bench.start()
    rows, cols = bench.sizes.rows, bench.sizes.cols
    for halves in (False, True):
        lengths = bench.rng.integers(1, cols + 1, 20).tolist()
        cycles = await bench.check([bench.piece((halves, False), n) for n in lengths])
        assert cycles == cols * len(lengths) + lengths[-1] + bench.latency
        steps = [bench.steps(0, rows - 1, halves) for _ in range(20)]
        steps = [min(n, rows) for n in steps]
        cycles = await bench.check([bench.piece((halves, True), n) for n in steps])
        assert cycles == steps[0] + rows * (len(steps) - 1) + bench.latency + rows - 1


@cocotb.test()
async def a_change_of_mode_costs_less_than_rows_plus_cols(dut):
    """After each of all changes of mode, the next activations enter ROWS + COLS − 2 cycles later.

    Weights of a tile are loaded while the piece before is under way.
    """
    bench = Bench(dut)
    await bench.start()
    rows, cols = bench.sizes.rows, bench.sizes.cols
    for before, after in itertools.permutations(MODES, 2):
        lengths = [bench.steps(rows + cols, 2 * (rows + cols), True) for _ in range(2)]
        if any(n > most_steps(bench.sizes, False) for n in lengths):
            lengths = [1, 1]
        pieces = [bench.piece(mode, n) for mode, n in zip((before, after), lengths, strict=True)]
        valid = schedule(pieces, bench.sizes).act_valid
        first, second = np.flatnonzero(valid)[[0, lengths[0]]]
        idle = second - first - lengths[0]
        assert idle == rows + cols - 2, (before, after)
        await bench.check(pieces)


@cocotb.test()
async def all_modes_in_any_order_with_gaps(dut):
    """Tiles and blocks of random length and mode follow; idle buses and control bits are random."""
    bench = Bench(dut)
    await bench.start()
    rested = None
    if not hasattr(dut, "gates"):  # the gates of tb/gates have no such signals
        rested = watch_zeros(dut, bench.sizes.rows, halves=2)
    for gaps in (None, bench.rng):
        pieces = []
        for _ in range(40):
            mode = MODES[bench.rng.integers(4)]
            if mode[1]:
                length = bench.steps(0, 3 * bench.sizes.rows, mode[0])
            else:
                length = int(bench.rng.integers(1, 3 * bench.sizes.cols + 1))
            pieces.append(bench.piece(mode, length, int(bench.rng.integers(bench.sizes.rows)) + 1))
        await bench.check(pieces, gaps=gaps)
    if rested is not None and int(dut.ZERO_GATING.value):
        assert all(rested), f"zeros that left a row's operand as it was: {rested}, expected some"


@cocotb.test()
async def extreme_psums_and_sums_are_exact(dut):
    """All rows or steps have the largest product of either sign, in each mode."""
    bench = Bench(dut)
    await bench.start()
    pieces = []
    for mode in MODES:
        act, low, high = bench.codes(mode[0])
        length = most_steps(bench.sizes, mode[0]) if mode[1] else bench.sizes.cols + 2
        for weight in (low, high, low, -1):
            piece = bench.piece(mode, length)
            piece.weights[:] = weight
            piece.activations[:] = act
            if not mode[1]:
                piece.activations[1] = 0
            pieces.append(piece)
    await bench.check(pieces)


@cocotb.test()
async def a_block_whose_sums_may_not_fit_is_refused(dut):
    """The driver refuses a block of one step more than PSUM_WIDTH can hold."""
    bench = Bench(dut)
    await bench.start()
    for halves in (False, True):
        most = most_steps(bench.sizes, halves)
        act, low, _ = bench.codes(halves)
        per_step = act * low * (1 + halves)
        assert most * per_step >= -(2 ** (bench.sizes.psum_width - 1)) > (most + 1) * per_step
        with pytest.raises(InputError, match=f"holds the sums of at most {most * (1 + halves)}"):
            schedule([bench.piece((halves, True), most + 1)], bench.sizes)


@cocotb.test()
async def reset_in_the_middle_leaves_nothing_behind(dut):
    """After a reset at any cycle of any modes, only the next pieces' psums come, all right."""
    bench = Bench(dut)
    await bench.start()
    rows, cols = bench.sizes.rows, bench.sizes.cols
    for mode in MODES:
        steps = min(rows + 1, most_steps(bench.sizes, mode[0]))
        pieces = [bench.piece(mode, steps if mode[1] else cols + 1) for _ in range(3)]
        whole = schedule(pieces, bench.sizes)
        for stop in bench.rng.integers(1, len(whole), 4).tolist():
            await bench.array.driver.play(whole.first(stop))
            for token in ("rst", "weight_valid", "act_valid", "act_start", "act_last"):
                getattr(dut, f"{token}_i").value = 1
            await RisingEdge(dut.clk_i)
            dut.rst_i.value = 0
            bench.array.driver.idle()
            after = MODES[bench.rng.integers(4)]
            length = min(3, most_steps(bench.sizes, after[0]))
            await bench.check([bench.piece(after, length), bench.piece(mode, 1)])


@cocotb.test()
async def a_run_without_outputs_is_not_a_pass(dut):
    """A run with weights and no activations expects nothing, and fails."""
    bench = Bench(dut)
    await bench.start()
    stimulus = schedule([bench.piece((False, False), 1)], bench.sizes)
    stimulus.act_valid[:] = False
    driver, nothing = bench.array.driver, np.zeros((0, bench.sizes.cols), int)
    board, _ = await bench.array.run(driver.play(stimulus), nothing, str)
    with pytest.raises(BenchError, match="empty comparison"):
        board.finish()


@each_run("tb.test_reconfigurable_array")
def test_reconfigurable_array(run, simulator):
    run.on(simulator)
