"""Runs the clock of a design."""

from cocotb.clock import Clock
from cocotb.handle import LogicObject

from tb.sim.waves import CLOCK_PERIOD_NS


def start_clock(signal: LogicObject) -> None:
    """Lets `signal` toggle until the simulation ends; the first rising edge is after half a period.

    The simulator's side of cocotb drives the clock, not a Python coroutine, which takes up to a
    third of a simulation's time. A bench sees no difference: what a bench writes after an edge
    arrives when the registers have taken their inputs.
    """
    Clock(signal, CLOCK_PERIOD_NS, unit="ns", impl="gpi").start(start_high=False)
