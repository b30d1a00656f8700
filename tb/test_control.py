"""The core's state, counters and error code agree with a model in every cycle."""

from collections import Counter

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from pymodel.hardware.registers import Error
from tb.components.clock import start_clock
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run

INPUTS = (
    "rst_i",
    "change_i",
    "start_i",
    "clear_i",
    "error_i",
    "ready_i",
    "wrong_length_i",
    "waiting_i",
    "last_beat_i",
)

# Cycles since the registers changed: the sequencer restarts until the sizes are known, is then
# primed, and a start may come. While a layer runs the count does not pass ENDED.
ENDED, RESTARTED, PRIMED, SETTLED = 3, 5, 8, 9


class Model:
    """The model of control.v: `outputs` returns the outputs of a cycle, `step` ends the cycle."""

    def __init__(self):
        self.state, self.settling = "idle", 0
        self.done = self.error = self.cycles = self.stalls = 0

    def events(self, inputs: dict[str, int]) -> set[str]:
        """Returns the names of the events in this cycle."""
        events = set()
        if inputs["start_i"]:
            if self.state != "idle" or self.settling < SETTLED:
                events.add("busy")
            else:
                events.add("refuse" if inputs["error_i"] else "accept")
        if self.state == "waiting" or "accept" in events:
            events |= (
                {"drop"} if inputs["wrong_length_i"] else {"run"} if inputs["ready_i"] else set()
            )
        if self.state == "running" and inputs["last_beat_i"]:
            events.add("finish")
        return events

    def outputs(self, inputs: dict[str, int]) -> dict[str, int]:
        """Returns all outputs in this cycle."""
        idle, events = self.state == "idle", self.events(inputs)
        return {
            "hold_o": idle and self.settling < SETTLED,
            "load_o": idle,
            "restart_o": idle and self.settling < RESTARTED,
            "prime_o": idle and self.settling == PRIMED,
            "run_o": "run" in events,
            "finish_o": "finish" in events,
            "drop_o": "drop" in events,
            "busy_o": not idle,
            "done_o": self.done,
            "error_o": self.error,
            "cycles_o": self.cycles,
            "stalls_o": self.stalls,
        }

    def step(self, inputs: dict[str, int]) -> None:
        """Goes on to the next cycle."""
        events, idle = self.events(inputs), self.state == "idle"
        limit = SETTLED if idle and "drop" not in events else ENDED
        self.settling = 0 if inputs["change_i"] else min(self.settling + 1, limit)
        if inputs["clear_i"] or "accept" in events:
            self.done, self.error = 0, Error.NONE
        for event, error in (
            ("busy", Error.START_WHILE_BUSY),
            ("refuse", inputs["error_i"]),
            ("drop", Error.PACKET_LENGTH),
        ):
            if event in events:
                self.error = error
        if "accept" in events:
            self.cycles, self.stalls = 1, 0  # the write was a cycle ago
        if "accept" in events or not idle:
            self.cycles += 1
            waits_for_packets = self.state != "running" and "run" not in events
            self.stalls += waits_for_packets or inputs["waiting_i"]
        if "finish" in events:
            self.done = 1
        if {"finish", "drop"} & events:
            self.state = "idle"
        elif "run" in events:
            self.state = "running"
        elif "accept" in events:
            self.state = "waiting"
        if inputs["rst_i"]:
            self.__init__()


class ControlBench:
    """The module `control` with a clock and its model."""

    def __init__(self, dut):
        self.dut = dut
        self.model = Model()
        self.seen = Counter()  # events

    async def start(self) -> None:
        """Starts the clock and resets."""
        start_clock(self.dut.clk_i)
        for name in INPUTS:
            getattr(self.dut, name).value = int(name == "rst_i")
        await RisingEdge(self.dut.clk_i)

    async def cycle(self, compare: bool = True, **inputs: int) -> dict[str, int]:
        """Runs one cycle with these inputs, named without _i, the others 0; returns the outputs.

        With `compare`, the outputs must be those of the model.
        """
        values = {name: inputs.get(name[:-2], 0) for name in INPUTS}
        for name, value in values.items():
            getattr(self.dut, name).value = value
        await ReadOnly()
        events, expected = self.model.events(values), self.model.outputs(values)
        found = {name: int(getattr(self.dut, name).value) for name in expected}
        for name in expected if compare else ():
            text = f"{name}: expected {int(expected[name])}, got {found[name]}"
            high = [name for name, value in values.items() if value]
            width = len(getattr(self.dut, name))
            text += f", {self.model.state}, inputs {high}"
            assert found[name] == expected[name] % 2**width, text
        await RisingEdge(self.dut.clk_i)
        self.seen.update(events)
        self.model.step(values)
        return found

    async def cycles(self, count: int, **inputs: int) -> list[dict[str, int]]:
        """Runs `count` cycles with the same inputs; returns the outputs of each."""
        return [await self.cycle(**inputs) for _ in range(count)]

    async def settle(self) -> None:
        """Runs cycles until a start may come."""
        await self.cycles(SETTLED)

    async def status(self) -> tuple[int, int, Error]:
        """Returns busy, done and error after the last cycle; this takes one more cycle."""
        found = await self.cycle()
        return found["busy_o"], found["done_o"], Error(found["error_o"])

    async def run_layer(self, wait: int = 0, run: int = 1, waiting: int = 0) -> None:
        """Starts a layer, waits for packets for `wait` cycles, and runs it for `run` cycles.

        Before the last beat the layer waits for the output for `waiting` cycles.
        """
        if wait:
            await self.cycle(start=1)
            await self.cycles(wait - 1)
            await self.cycle(ready=1)
        else:
            await self.cycle(start=1, ready=1)
        await self.cycles(run - 1)
        await self.cycles(waiting, waiting=1)
        await self.cycle(last_beat=1)


@cocotb.test()
async def random_inputs(dut):
    """Every output is right in every cycle for random inputs."""
    bench = ControlBench(dut)
    await bench.start()
    rng = random_generator()
    may_write = False
    for _ in range(8000):
        chance = dict(zip(INPUTS, rng.random(len(INPUTS)).tolist(), strict=True))
        state = bench.model.state
        reset = chance["rst_i"] < 0.002
        change = chance["change_i"] < (0.01 if state == "idle" else 0.3)
        packets = int(rng.choice(3, p=(0.85, 0.12, 0.03)))  # 0: missing, 1: right, 2: wrong length
        found = await bench.cycle(
            rst=reset,
            change=change,
            start=may_write and chance["start_i"] < 0.1,
            clear=may_write and chance["clear_i"] < 0.05,
            error=int(rng.integers(1, 11)) if chance["error_i"] < 0.2 else 0,
            ready=packets == 1,
            wrong_length=packets == 2,
            waiting=state == "running" and chance["waiting_i"] < 0.3,
            last_beat=chance["last_beat_i"] < 0.08,
        )
        # Start and clear come from a write in the cycle before, which then wrote no other register.
        may_write = not (found["hold_o"] or change or reset)
    for event in ("accept", "refuse", "busy", "run", "drop", "finish"):
        assert bench.seen[event] > 10, event


async def expect_settling(bench: ControlBench, since: int = 0) -> None:
    """Checks hold, restart and prime; the change was `since` cycles ago."""
    found = await bench.cycles(SETTLED + 3)
    for name, high in (
        ("hold_o", range(SETTLED)),
        ("restart_o", range(RESTARTED)),
        ("prime_o", [PRIMED]),
    ):
        expected = [cycle - since for cycle in high if cycle >= since]
        assert [n for n, outputs in enumerate(found) if outputs[name]] == expected, name


@cocotb.test()
async def settling(dut):
    """The core settles after a reset, after a change, also while settling, and after a layer.

    The layer may have run to its end, or its packets may have been dropped.
    """
    bench = ControlBench(dut)
    await bench.start()
    await expect_settling(bench)
    await bench.cycle(change=1)
    await expect_settling(bench)
    for cycles in range(SETTLED + 1):
        await bench.cycle(change=1)
        await bench.cycles(cycles)
    await bench.cycles(3, change=1)
    await expect_settling(bench)
    await bench.run_layer(run=20)
    await expect_settling(bench, ENDED)
    await bench.cycle(start=1)
    await bench.cycles(5)
    await bench.cycle(wrong_length=1)
    await expect_settling(bench, ENDED)


@cocotb.test()
async def change_while_busy(dut):
    """A change in any cycle before a layer's end settles completely after the layer."""
    bench = ControlBench(dut)
    await bench.start()
    for cycles in range(2 * ENDED):
        await bench.settle()
        await bench.cycle(start=1, ready=1)
        await bench.cycles(10)
        last = cycles == 0
        await bench.cycle(change=1, last_beat=last)
        if not last:
            await bench.cycles(cycles - 1)
            await bench.cycle(last_beat=1)
        await expect_settling(bench, min(cycles, ENDED))


@cocotb.test()
async def start_with_an_error(dut):
    """A start with an error runs no layer and sets the error; counters and done stay."""
    bench = ControlBench(dut)
    await bench.start()
    await bench.settle()
    await bench.run_layer(run=3)
    await bench.settle()
    for error in range(Error.SIZE, Error.PACKET_LENGTH):
        await bench.cycle(start=1, error=error, ready=1)
        assert await bench.status() == (0, 1, error)
    for error in range(Error.SIZE, Error.PACKET_LENGTH):
        await bench.cycle(start=1, clear=1, error=error, wrong_length=1)
        assert await bench.status() == (0, 0, error)
    found = await bench.cycle()
    assert (found["cycles_o"], found["stalls_o"]) == (5, 0)


@cocotb.test()
async def start_while_busy(dut):
    """The start is refused with its error; the layer goes on, and is done at its end."""
    bench = ControlBench(dut)
    await bench.start()
    await bench.settle()
    await bench.cycle(start=1)
    await bench.cycle(start=1)
    assert await bench.status() == (1, 0, Error.START_WHILE_BUSY)
    await bench.cycle(clear=1)
    assert await bench.status() == (1, 0, Error.NONE)
    await bench.cycle(ready=1)
    await bench.cycle(start=1, error=Error.SIZE)
    assert await bench.status() == (1, 0, Error.START_WHILE_BUSY)
    await bench.cycle(last_beat=1, start=1)
    assert await bench.status() == (0, 1, Error.START_WHILE_BUSY)


@cocotb.test()
async def packets_of_another_length(dut):
    """Packets of a wrong length are dropped once; their layer does not run, the next one does."""
    bench = ControlBench(dut)
    await bench.start()
    for wait in range(4):
        await bench.settle()
        starts = [{"start": 1}, {}, {}, {}][: wait + 1]
        starts[-1]["wrong_length"] = 1
        found = [await bench.cycle(**inputs) for inputs in starts]
        assert [outputs["drop_o"] for outputs in found] == [0] * wait + [1]
        assert await bench.status() == (0, 0, Error.PACKET_LENGTH)
        await bench.settle()
        await bench.run_layer()
        assert await bench.status() == (0, 1, Error.NONE)


@cocotb.test()
async def clear(dut):
    """A clear resets done and error; a start that is accepted does so, too."""
    bench = ControlBench(dut)
    await bench.start()
    await bench.settle()
    await bench.run_layer()
    assert await bench.status() == (0, 1, Error.NONE)
    await bench.settle()
    await bench.cycle(start=1, error=Error.MODE)
    assert await bench.status() == (0, 1, Error.MODE)
    await bench.cycle(clear=1)
    assert await bench.status() == (0, 0, Error.NONE)
    await bench.cycle(start=1, error=Error.MODE)
    await bench.cycle(start=1, clear=1)
    assert await bench.status() == (1, 0, Error.NONE)
    await bench.cycle(ready=1)
    await bench.cycle(last_beat=1, clear=1)
    assert await bench.status() == (0, 1, Error.NONE)


@cocotb.test()
async def counters(dut):
    """The counters run from the write of the start to the last beat, waiting times included."""
    bench = ControlBench(dut)
    await bench.start()
    for wait, run, waiting in ((0, 1, 0), (3, 1, 0), (0, 9, 4), (300, 600, 300)):
        await bench.settle()
        await bench.run_layer(wait, run, waiting)
        found = await bench.cycle()
        cycles = 1 + wait + 1 + run + waiting  # beginning with the write of the start
        every = 2 ** int(dut.COUNTER_WIDTH.value)
        assert (found["cycles_o"], found["stalls_o"]) == (cycles % every, (wait + waiting) % every)
    if every <= 2**14:  # narrow counters overflow, so that every carry is seen
        await bench.settle()
        await bench.run_layer(every, 10, every)


@cocotb.test()
async def reset_in_every_state(dut):
    """After one cycle of reset the state is the initial one, whatever comes with the reset."""
    bench = ControlBench(dut)
    await bench.start()
    for steps, last in (
        ([], {}),
        ([], {"start": 1, "ready": 1}),
        ([], {"start": 1, "error": Error.SIZE}),
        ([{"start": 1}], {}),
        ([{"start": 1}], {"ready": 1}),
        ([{"start": 1}], {"wrong_length": 1}),
        ([{"start": 1, "ready": 1}], {"waiting": 1}),
        ([{"start": 1, "ready": 1}], {"last_beat": 1}),
        ([{"start": 1, "ready": 1}, {"last_beat": 1}], {}),
    ):
        await bench.settle()
        for inputs in steps:
            await bench.cycle(**inputs)
        await bench.cycle(rst=1, **last)
        await expect_settling(bench)
        assert await bench.status() == (0, 0, Error.NONE)
        found = await bench.cycle()
        assert (found["cycles_o"], found["stalls_o"]) == (0, 0)


@cocotb.test()
async def a_start_waits_for_its_tile(dut):
    """A start soon after a layer's end runs with a tile that was primed after that end.

    The start may also be refused, because a layer was running. The registers take a write in the
    first cycle without hold, and the start comes a cycle later. What control knows about packets is
    a cycle old: wrong packets still seem to be there a cycle after they were dropped, and must not
    be dropped twice.
    """
    bench = ControlBench(dut)
    await bench.start()
    wrong = {"wrong_length": 1}
    for before, end, after in (
        ([{"start": 1, "ready": 1}, {}], {"last_beat": 1}, {"ready": 1}),
        ([{"start": 1}, {}], wrong, wrong),
        ([], {"start": 1} | wrong, wrong),  # no layer ran, so the tile is still there
    ):
        for delay in range(4):
            await bench.cycle(rst=1, compare=False)
            await bench.settle()
            for inputs in before:
                await bench.cycle(**inputs)
            primed, start, runs, drops = not before, None, 0, 0
            for number in range(3 * SETTLED):
                inputs = (end, after)[number] if number < 2 else {"ready": 1}
                inputs = inputs | ({"start": 1} if number == start else {})
                found = await bench.cycle(compare=False, **inputs)
                if start is None and number >= delay and not found["hold_o"]:
                    start = number + 1
                assert primed or not found["run_o"], f"runs without a tile, {delay=} after {end}"
                primed |= found["prime_o"]
                runs += found["run_o"]
                drops += found["drop_o"]
            assert drops == ("wrong_length" in end), f"dropped {drops} times, {delay=} after {end}"
            assert runs <= 1, f"runs twice, {delay=} after {end}"
            error = Error.NONE if runs else Error.START_WHILE_BUSY
            assert found["error_o"] == error, f"{runs=}, {delay=} after {end}"


@each_run("tb.test_control")
def test_control(run, simulator):
    run.on(simulator)
