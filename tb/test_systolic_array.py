"""The array agrees with NumPy for all sizes, widths, extremes, gaps, short tiles and resets."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from tb.components import cover_points
from tb.components.array_schedule import schedule
from tb.components.random_tiles import (
    check_tiles,
    extremes,
    inner_signal,
    random_generator,
    random_tiles,
    watch_zeros,
)
from tb.components.systolic_array_adapter import SystolicArrayAdapter
from tb.modules.pytest_runs import each_run
from tb.sim.errors import BenchError


async def check(bench: SystolicArrayAdapter, weights, activations, **options) -> int:
    """Runs tiles by their schedule and compares every psum; returns the number of cycles."""
    cover_points.watch(cover_points.array, bench.dut)
    bits = (bench.weight_width, bench.act_width)
    playing = bench.driver.play(schedule(weights, activations, bits=bits, **options))
    return await check_tiles(bench, playing, weights, activations)


@cocotb.test()
async def tiles_follow_without_a_bubble(dut):
    """With tiles of COLS pixels or more, every cycle has a psum vector, from first to last."""
    bench = SystolicArrayAdapter(dut)
    await bench.start()
    rng = random_generator()
    lengths = [bench.cols] * 10 + rng.integers(bench.cols, 3 * bench.cols + 1, 20).tolist()
    cycles = await check(bench, *random_tiles(bench, rng, lengths))
    assert cycles == bench.cols + sum(lengths) + bench.latency, "a bubble between tiles"


@cocotb.test()
async def short_tiles_wait_for_their_weights(dut):
    """Tiles of fewer than COLS pixels lose nothing; each waits until its weights are loaded."""
    bench = SystolicArrayAdapter(dut)
    await bench.start()
    rng = random_generator()
    lengths = rng.integers(1, bench.cols + 1, 30).tolist()
    cycles = await check(bench, *random_tiles(bench, rng, lengths))
    assert cycles == bench.cols * len(lengths) + lengths[-1] + bench.latency


async def no_weight_goes_on(bench: SystolicArrayAdapter) -> None:
    """Checks for ever that every weight in the last column has at most one PE still to reach."""
    ends = [inner_signal(bench.dut, r, bench.cols - 1, "hops_west") for r in range(bench.rows)]
    while True:
        await RisingEdge(bench.dut.clk_i)
        hops = [int(end.value) for end in ends]
        assert max(hops) <= 1, f"last column: PEs to reach by row are {hops}, expected at most 1"


@cocotb.test()
async def gaps_anywhere_lose_nothing(dut):
    """Tiles have random lengths, inputs have idle cycles, and idle buses have random bits."""
    bench = SystolicArrayAdapter(dut)
    await bench.start()
    rested = None
    if not hasattr(dut, "gates"):  # the gates of tb/gates have no such signals
        cocotb.start_soon(no_weight_goes_on(bench))
        rested = watch_zeros(dut, bench.rows)
    rng = random_generator()
    lengths = rng.integers(1, 3 * bench.cols + 1, 40).tolist()
    weights, activations = random_tiles(bench, rng, lengths)
    # So many zeros that each row has some, however many bits an activation has
    activations = [acts * (rng.random(acts.shape) < 0.7) for acts in activations]
    await check(bench, weights, activations, gaps=rng)
    if rested is not None and int(dut.ZERO_GATING.value):
        assert all(rested), f"zeros that left a row's operand as it was: {rested}, expected some"


@cocotb.test()
async def extreme_psums_are_exact(dut):
    """All rows have the largest product of either sign, −2^(W−1) included, tile by tile."""
    bench = SystolicArrayAdapter(dut)
    await bench.start()
    codes = extremes(bench)
    weights = np.empty((4, bench.rows, bench.cols), int)
    for tile, weight in enumerate((codes.weight_low, codes.weight_high, codes.weight_low, -1)):
        weights[tile] = weight
    pixels = np.full((bench.cols + 2, bench.rows), codes.act_high)
    pixels[1] = 0
    pixels[2::2] = codes.largest_act
    await check(bench, weights, [pixels] * 4)


@cocotb.test()
async def reset_in_the_middle_leaves_nothing_behind(dut):
    """After a reset while tiles are under way, only the psums of the next tiles come, all right."""
    bench = SystolicArrayAdapter(dut)
    await bench.start()
    rng = random_generator()
    weights, activations = random_tiles(bench, rng, [2 * bench.cols] * 3)
    half = schedule(weights, activations)
    half = type(half)(*(values[: len(half) * 2 // 3] for values in vars(half).values()))
    await bench.driver.play(half)
    await bench.driver.reset()
    await check(bench, *random_tiles(bench, rng, [bench.cols] * 3))


@cocotb.test()
async def one_cycle_of_reset_is_enough(dut):
    """After one cycle of reset no earlier psum comes, and the next tile may follow at once."""
    bench = SystolicArrayAdapter(dut)
    await bench.start()
    rng = random_generator()
    busy = schedule(*random_tiles(bench, rng, [bench.cols, bench.cols + bench.latency]))
    await bench.driver.play(busy)
    for token in (dut.rst_i, dut.weight_valid_i, dut.act_valid_i, dut.act_swap_i):
        token.value = 1
    await RisingEdge(dut.clk_i)
    dut.rst_i.value = 0
    bench.driver.idle()
    await check(bench, *random_tiles(bench, rng, [bench.cols] * 3))


@cocotb.test()
async def a_run_without_outputs_is_not_a_pass(dut):
    """A run with weights and no activations expects nothing, and fails."""
    bench = SystolicArrayAdapter(dut)
    await bench.start()
    weights, activations = random_tiles(bench, random_generator(), [1])
    stimulus = schedule(weights, activations)
    stimulus.act_valid[:] = False
    board, _ = await bench.run(bench.driver.play(stimulus), np.zeros((0, bench.cols), int), str)
    with pytest.raises(BenchError, match="empty comparison"):
        board.finish()


@each_run("tb.test_systolic_array")
def test_systolic_array(run, simulator):
    run.on(simulator)
