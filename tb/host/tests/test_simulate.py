"""A sweep fails where the design reports an error, or where nothing sets a register."""

import numpy as np
import pytest

from tb.host.simulate import simulate
from tb.sim.errors import BenchError
from tb.sim.sources import RTL, faulty_rtl

LAYER = {"out_channels": 8, "kernel": 1, "stride": 1, "padding": 0, "mode": 0, "pools": 0}


def run(simulator, rtl):
    """Runs one small layer through the core of folder `rtl`; returns its sums."""
    codes, weights = np.full((1, 8, 2, 2), 9, np.int8), np.ones((8, 8, 1, 1), np.int8)
    (sums,), _ = simulate(simulator, [LAYER], codes, [weights], [None], rtl)
    return sums


@pytest.mark.parametrize(
    "simulator", ["icarus", pytest.param("verilator", marks=pytest.mark.verify)]
)
def test_an_error_that_the_design_reports_is_no_pass(tmp_path, simulator):
    report = "if (!rst_i && act_i == 9) $error;\n    psum_o <= psum_i + product;"
    rtl = faulty_rtl(tmp_path, "pe.v", ("psum_o <= psum_i + product;", report))
    with pytest.raises(BenchError, match=r"the design itself reports: .*pe\.v:\d+:"):
        run(simulator, rtl)


@pytest.mark.verify
def test_sums_that_nothing_clears_begin_with_any_values(tmp_path):
    """Verilator knows no X; with zeros at the beginning, a missing reset would not be seen."""
    fault = "clearing     <= 1'b1;", "clearing     <= 1'b0;"
    assert (run("verilator", RTL) == 72).all()
    assert (run("verilator", faulty_rtl(tmp_path, "accumulator.v", fault)) != 72).any()


@pytest.mark.verify
def test_what_leaves_before_the_first_layer_is_too_much(tmp_path):
    """The pointers of a FIFO that nothing resets differ in the beginning."""
    fault = "write_pointer <= 0;\n      read_pointer  <= 0;", ""
    rtl = faulty_rtl(tmp_path, "output_fifo.v", fault)
    with pytest.raises(BenchError, match=r"\d+ results in \d+ packets came, expected 4 in 1"):
        run("verilator", rtl)
