"""Drives `systolic_array`, and connects it to the checks by an adapter."""

from collections.abc import Sequence

import numpy as np
from cocotb.handle import HierarchyObject, ValueObjectBase
from cocotb.triggers import ClockCycles, RisingEdge
from cocotb.types import LogicArray
from vcd.gtkw import GTKWSave

from tb.components.array_adapter import ArrayAdapter
from tb.components.array_schedule import Stimulus, schedule
from tb.components.packing import pack
from tb.sim.sources import RTL
from tb.sim.waves import trace_array


class ArrayDriver:
    """Plays a stimulus onto the input buses, one packed integer for each bus and cycle."""

    def __init__(self, dut: HierarchyObject, weight_width: int, act_width: int):
        self.dut = dut
        self.weight_width = weight_width
        self.act_width = act_width

    async def reset(self) -> None:
        """Holds reset for two cycles with all inputs at rest."""
        self.idle()
        self.dut.rst_i.value = 1
        await ClockCycles(self.dut.clk_i, 2)
        self.dut.rst_i.value = 0
        await RisingEdge(self.dut.clk_i)

    def idle(self) -> None:
        """Offers no weight and no activation in this cycle."""
        self.dut.weight_valid_i.value = 0
        self.dut.act_valid_i.value = 0
        self.dut.act_swap_i.value = 0

    async def play(self, stimulus: Stimulus) -> None:
        """Drives every cycle of `stimulus`; returns after its last one."""
        dut = self.dut
        columns = (
            (dut.weight_valid_i, stimulus.weight_valid.astype(int).tolist()),
            (dut.weight_col_i, stimulus.weight_col.tolist()),
            (dut.weight_i, pack(stimulus.weight, self.weight_width)),
            (dut.act_valid_i, stimulus.act_valid.astype(int).tolist()),
            (dut.act_swap_i, stimulus.act_swap.astype(int).tolist()),
            (dut.act_i, pack(stimulus.act, self.act_width)),
        )
        handles = [handle for handle, _ in columns]
        edge = RisingEdge(dut.clk_i)
        before: tuple = (None,) * len(handles)
        for values in zip(*(values for _, values in columns), strict=True):
            for handle, value, old in zip(handles, values, before, strict=True):
                if value != old:
                    handle.value = value
            before = values
            await edge
        self.idle()


class SystolicArrayAdapter(ArrayAdapter):
    """Connects `systolic_array`, which loads the next tile while one computes."""

    TOPLEVEL = "systolic_array"
    SOURCES = sorted(RTL.glob("*.v"))

    @classmethod
    def of_size(
        cls, rows: int, cols: int, act_width: int, weight_width: int, act_signed: bool = False
    ) -> type["SystolicArrayAdapter"]:
        """Returns the adapter of an array of this size, with numbers of at least these widths."""
        act_width, weight_width = max(act_width, cls.act_width), max(weight_width, cls.weight_width)
        sizes = (rows, cols, act_width, weight_width)
        if sizes == (cls.rows, cls.cols, cls.act_width, cls.weight_width) and not act_signed:
            return cls
        # Σ act ≤ rows · (2^A − 1), times a weight of at least −2^(W − 1); signed activations add up
        # to −rows · 2^(A − 1), and times that weight to a positive psum
        most = rows * 2 ** (act_width - 1) if act_signed else rows * (2**act_width - 1) - 1
        sum_width = most.bit_length() + weight_width
        psum_width = max(sum_width, act_width + weight_width, cls.psum_width)
        names = ("ROWS", "COLS", "ACT_WIDTH", "WEIGHT_WIDTH", "PSUM_WIDTH", "ACT_SIGNED")
        values = (*sizes, psum_width, int(act_signed))
        parameters = dict(zip(names, values, strict=True))
        return cls.changed(PARAMETERS=parameters)

    def __init__(self, dut: HierarchyObject):
        super().__init__(dut)
        self.rows = int(dut.ROWS.value)
        self.cols = int(dut.COLS.value)
        self.act_width = int(dut.ACT_WIDTH.value)
        self.act_signed = bool(int(dut.ACT_SIGNED.value))
        self.weight_width = int(dut.WEIGHT_WIDTH.value)
        self.psum_width = int(dut.PSUM_WIDTH.value)
        self.latency = self.rows + self.cols - 1
        self.driver = ArrayDriver(dut, self.weight_width, self.act_width)

    async def reset(self) -> None:
        """Holds reset for two cycles with all inputs at rest."""
        await self.driver.reset()

    async def play(self, weights: np.ndarray, activations: Sequence[np.ndarray]) -> None:
        """Plays the tiles in the fewest cycles that the contract allows."""
        await self.driver.play(schedule(weights, activations))

    def trace(self, save: GTKWSave) -> None:
        """Adds the signals by row and column to `save`."""
        trace_array(save, self.rows, self.cols)

    def pe(self, row: int, col: int) -> dict[str, ValueObjectBase]:
        """Returns the signals of one PE; "hops" are the PEs that a weight still passes."""
        pe = self.dut.g_row[row].g_col[col].pe
        return {
            "act": pe.act_i,
            "weight": pe.weight,
            "shadow": pe.shadow,
            "psum": pe.psum_o,
            "swap": pe.swap_i,
            "hops": pe.weight_hops_i,
        }

    def psums(self) -> LogicArray | None:
        """Returns all columns if valid is high, else None; raises ValueError if valid is X or Z."""
        valid = self.dut.psum_valid_o.value
        try:
            return self.dut.psum_o.value if int(valid) else None
        except ValueError:
            raise ValueError(f"psum_valid_o is {valid}") from None
