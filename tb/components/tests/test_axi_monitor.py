"""The monitor finds each breach of AXI's rules, an X and a hang, and nothing else.

No simulator runs: the ports are plain objects, and a clock cycle is a step of the monitor's tasks.
"""

import re
from dataclasses import replace

import pytest
from cocotb.types import LogicArray

from pymodel.hardware.core import Core, Layer
from pymodel.hardware.registers import Mode
from tb.components import axi_monitor
from tb.components.axi_monitor import CoreMonitor
from tb.sim.errors import BenchError

# 9 tiles of weights and 10 pixels, so that the core hangs after 5000 + 3 · 10 · 9 cycles
CORE = Core(cols=2, sum_width=8, weight_words=18, pixels=10)
LONGEST = 5270
LAYER = Layer(2, 3, in_channels=1, out_channels=4, images=2)  # 12 beats for each output tile
CHANNELS = {
    "m_axis_t": {"data": 16, "keep": 2, "last": 1},
    "s_axil_b": {"resp": 2},
    "s_axil_r": {"data": 32, "resp": 2},
}


class Port:
    """A port of the core, with the properties of cocotb's handle that the monitor reads."""

    def __init__(self, name: str, width: int):
        self._name = name
        self.width = width
        self.value = LogicArray(0, width)

    def __len__(self) -> int:
        return self.width


class Cycles:
    """Waits for steps of the bench, as cocotb's RisingEdge and ClockCycles wait for cycles."""

    def __init__(self, clock: Port, count: int = 1):
        assert clock._name == "clk_i"
        self.count = count

    def __await__(self):
        for _ in range(self.count):
            yield


class Ports:
    """The ports of a core that is not there."""

    def __init__(self):
        self.add("clk_i", 1)
        self.add("rst_i", 1)
        for prefix, payload in CHANNELS.items():
            for name, width in ({"valid": 1, "ready": 1} | payload).items():
                self.add(f"{prefix}{name}", width)

    def add(self, name: str, width: int) -> None:
        setattr(self, name, Port(name, width))

    def set(self, prefix: str = "", **values: int | str) -> None:
        """Sets ports to a number, or to their bits."""
        for name, value in values.items():
            port = getattr(self, f"{prefix}{name}")
            port.value = LogicArray(value, port.width)


class Bench:
    """A monitor on ports, and its tasks."""

    def __init__(self, monkeypatch):
        self.ports = Ports()
        self.tasks = []
        monkeypatch.setattr(axi_monitor.cocotb, "start_soon", self.tasks.append)
        monkeypatch.setattr(axi_monitor, "RisingEdge", Cycles)
        monkeypatch.setattr(axi_monitor, "ClockCycles", Cycles)
        self.monitor = CoreMonitor(self.ports, CORE)
        self.cycle()  # to the first clock edge

    def cycle(self, prefix: str = "", **values: int | str) -> None:
        """Sets ports and lets a clock edge come."""
        self.ports.set(prefix, **values)
        for task in self.tasks:
            task.send(None)

    def beats(self, count: int, **values: int) -> None:
        """Lets beats of results leave the core."""
        for _ in range(count):
            self.cycle("m_axis_t", valid=1, ready=1, **({"data": 3, "last": 0} | values))


@pytest.fixture
def bench(monkeypatch):
    made = Bench(monkeypatch)
    yield made
    for task in made.tasks:
        task.close()


@pytest.mark.parametrize("prefix", CHANNELS)
def test_a_stalled_beat_stays_until_it_is_taken(bench, prefix):
    """The next beat may differ, and valid may fall, once ready was high."""
    ones = dict.fromkeys(CHANNELS[prefix], 1)
    for _ in range(3):
        bench.cycle(prefix, valid=1, ready=0, **ones)
    bench.cycle(prefix, ready=1)
    bench.cycle(prefix, **dict.fromkeys(ones, 0))
    bench.cycle(prefix, valid=0, ready=0)
    bench.cycle(prefix, **ones)
    assert bench.monitor.taken == 2


@pytest.mark.parametrize("ready", [0, 1])
@pytest.mark.parametrize(
    ("prefix", "name"),
    [(prefix, name) for prefix, payload in CHANNELS.items() for name in ("valid", *payload)],
)
def test_a_stalled_beat_that_changes(bench, prefix, name, ready):
    """A change is found after a reset and several cycles, also if the changed beat is taken."""
    bench.cycle(rst_i=1)
    bench.cycle(rst_i=0)
    for _ in range(3):
        bench.cycle(prefix, valid=1, ready=0, **dict.fromkeys(CHANNELS[prefix], 1))
    with pytest.raises(BenchError, match=f"^{prefix}valid or its payload changed while ready was"):
        bench.cycle(prefix, **{name: 0, "ready": ready})


def test_a_reset_drops_a_stalled_beat(bench):
    """While reset is high anything may stand on the ports, and nothing counts."""
    bench.cycle("m_axis_t", valid=1, ready=0, data=5)
    bench.ports.set(rst_i=1)
    bench.cycle("m_axis_t", valid="X", ready="Z", data=6)
    bench.cycle("m_axis_t", valid=1, ready=1, data=7)
    bench.ports.set(rst_i=0)
    bench.cycle("m_axis_t", valid=0)
    bench.cycle("m_axis_t", valid=1, ready=0, data=8)
    assert bench.monitor.taken == 0


@pytest.mark.parametrize(
    ("prefix", "values", "words"),
    [
        ("m_axis_t", {"valid": "X"}, "X or Z on m_axis_tvalid: X"),
        ("m_axis_t", {"valid": 1, "ready": "Z"}, "X or Z on m_axis_tready: Z"),
        ("m_axis_t", {"valid": 1, "data": f"{'0' * 15}Z"}, f"X or Z on m_axis_tdata: {'0' * 15}Z"),
        ("m_axis_t", {"valid": 1, "keep": "0X"}, "X or Z on m_axis_tkeep: 0X"),
        ("s_axil_b", {"valid": 1, "resp": "X0"}, "X or Z on s_axil_bresp: X0"),
        ("s_axil_r", {"valid": 1, "data": "X" * 32}, f"X or Z on s_axil_rdata: {'X' * 32}"),
    ],
)
def test_an_unknown_bit_is_told_with_its_port(bench, prefix, values, words):
    with pytest.raises(BenchError, match=f"^{words}$"):
        bench.cycle(prefix, **values)


def test_the_bits_of_a_wide_port_are_not_told(bench):
    bench.ports.add("wide", 33)
    bench.ports.set(wide="X" * 33)
    bench.monitor.layer = LAYER
    assert bench.monitor.unknown("", 0, [bench.ports.rst_i, bench.ports.wide]) == "X or Z on wide"


def test_nothing_is_read_of_a_channel_without_a_valid_beat(bench):
    bench.cycle("m_axis_t", valid=0, ready="X", data="X" * 16, last="Z")


@pytest.mark.parametrize("packets", [0, 1, 2])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    ("mode", "bits", "channel"),
    [
        (Mode.SUMS, f"{'0' * 8}{'X' * 8}", 2),
        (Mode.SUMS, f"{'0' * 7}Z{'1' * 8}", 3),
        (Mode.RELU, f"X{'0' * 15}", 3),
        (Mode.CODES, f"{'0' * 12}X000", 2),
        (Mode.CODES, f"{'0' * 11}X{'0' * 4}", 3),
    ],
)
def test_an_unknown_result_is_told_with_its_place(bench, packets, reset, mode, bits, channel):
    """Beats count from 0 in each packet and after a reset; one that is stalled counts once."""
    bench.monitor.layer = layer = replace(LAYER, mode=mode)
    if reset:
        bench.beats(5)
        bench.cycle(rst_i=1)
        bench.cycle(rst_i=0, m_axis_tvalid=0)
    for _ in range(packets):
        bench.beats(23)
        bench.beats(1, data=0, last=1)
    bench.beats(19)
    bench.cycle("m_axis_t", valid=0)
    bench.cycle("m_axis_t", valid=1, ready=0, data=7)
    bench.cycle("m_axis_t", ready=0)
    bench.cycle("m_axis_t", ready=1)
    place = f"output tile 1, image 1, pixel (0, 2), channel {channel}, {layer}"
    with pytest.raises(BenchError, match=f"^{re.escape(f'X or Z on m_axis_tdata: {place}')}$"):
        bench.cycle("m_axis_t", data=bits)


def hang(bench, prefix: str, busy: set[int]) -> tuple[int, str]:
    """Returns cycle and message of a hang; beats come at `prefix` in the cycles `busy`."""
    for cycle in range(1, 4 * LONGEST):
        try:
            bench.cycle(prefix, valid=int(cycle in busy), ready=1)
        except BenchError as error:
            return cycle, str(error)
    raise AssertionError("no hang was found")


def test_a_core_from_which_nothing_comes_hangs(bench):
    """The limit follows from the sizes of the memories, and the message states it."""
    words = f"the core hangs: nothing has left it for {LONGEST:,} cycles"
    assert hang(bench, "m_axis_t", set()) == (LONGEST // 4 * 4, words)


@pytest.mark.parametrize("prefix", CHANNELS)
def test_a_core_hangs_only_if_nothing_comes_on_any_channel(bench, prefix):
    """A beat in the third quarter of the wait lets it begin again."""
    quarter = LONGEST // 4
    cycle, _ = hang(bench, prefix, {quarter // 2, 3 * quarter - 1})
    assert cycle == 7 * quarter


def test_a_core_hangs_also_after_many_beats(bench):
    bench.beats(300)
    cycle, _ = hang(bench, "m_axis_t", set())
    assert cycle == LONGEST // 4 * 5 - 300
