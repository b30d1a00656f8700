"""An adapter's defaults, its limits and what it makes of psums, without a simulator."""

import inspect
import itertools
import json
import logging
import re
from collections import deque
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from cocotb.triggers import SimTimeoutError
from cocotb.types import LogicArray

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from tb.components import array_adapter
from tb.components.array_adapter import SIZES, ArrayAdapter
from tb.components.scoreboard import Scoreboard
from tb.sim.errors import BenchError
from tb.sim.waves import CLOCK_PERIOD_NS, Watch


class Adapter(ArrayAdapter):
    """An adapter without an array."""

    TOPLEVEL = "mine"

    def __init__(self, **sizes):
        vars(self).update({"rows": 2, "cols": 3, "psum_width": 8} | sizes)

    async def reset(self):
        raise AssertionError("the sizes are checked before anything else")

    def psums(self):
        return None


def test_defaults_are_those_of_the_guide():
    text = (ROOT / "docs" / "own-array.md").read_text()
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| .* \| (.*) \|$", text, re.MULTILINE)
    told = {}
    for names, values in rows:
        names, values = re.findall(r"`(\w+)`", names), re.findall(r"\w+", values)
        told |= dict(zip(names, values, strict=True))
    assert set(SIZES) | {"act_signed"} == told.keys()
    assert {name: str(getattr(ArrayAdapter, name)) for name in told} == told
    assert dict(ArrayAdapter.PARAMETERS) == {}
    assert ArrayAdapter.CLOCK == "clk_i"


@pytest.mark.parametrize("name", SIZES)
def test_a_size_must_be_a_whole_number_that_is_large_enough(name):
    least = 0 if name == "latency" else 1
    for value in (least - 1, -5, 2.0, "3", None):
        words = f"Adapter.{name} is {value!r}, expected an integer, {least} or more"
        with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
            Adapter(**{name: value}).start().send(None)


@pytest.mark.parametrize(
    ("parameters", "asked", "found", "words"),
    [
        ({"P": 4}, {}, {"P": 4}, ""),
        ({"P": -1}, {}, {"P": 2**32 - 1}, ""),
        ({"P": 4}, {}, {"P": 3}, "P is 4, but mine has 3, expected a module whose parameter"),
        ({"P": 4}, {}, {"P": 5}, "P is 4, but mine has 5"),
        ({"P": 4}, {}, {}, "P is 4, but mine has no such parameter"),
        ({}, {"ROWS": 2}, {"ROWS": 2}, ""),
        ({"ROWS": 9}, {"ROWS": 2}, {"ROWS": 2}, ""),
        ({}, {"ROWS": 2}, {"ROWS": 8}, "ROWS is 2, but mine has 8"),
        ({}, {"ROWS": 1}, {"ROWS": 1}, "ROWS is 1, but Adapter.rows is 2, expected a module with"),
        ({}, {"ROWS": 3}, {"ROWS": 3}, "ROWS is 3, but Adapter.rows is 2"),
    ],
)
def test_parameters_that_the_array_does_not_have(monkeypatch, parameters, asked, found, words):
    monkeypatch.setenv(array_adapter.ASKED_SIZES, json.dumps(asked))
    handles = {name: SimpleNamespace(value=value) for name, value in found.items()}
    adapter = Adapter(PARAMETERS=parameters, dut=SimpleNamespace(**handles))
    with pytest.raises(InputError, match=f"^{words}") if words else nullcontext():
        adapter._check_asked()


def test_psums_that_do_not_fit():
    adapter = Adapter(act_width=4, weight_width=4)
    weights, activations = np.array([0]), [np.array([0])]
    adapter.check_fit(weights, activations, np.array([-128, 127]))
    for psum in (-129, 128):
        words = f"psums are {psum} to {psum} in this run, its psum_width 8 holds -128 to 127"
        with pytest.raises(InputError, match=f"^mine is too narrow: {words}$"):
            adapter.check_fit(weights, activations, np.array([psum]))


def test_when_a_run_is_given_up():
    """One tile is rows · cols weights and its pixels, and the latency comes after it."""
    assert Adapter(patience=5, latency=11).limit(7, 2) == 5 * (2 * 3 + 7 + 11)


def word(adapter, vector, waiting=None):
    """Returns the word of a vector and its unknown columns."""
    waiting = [deque() for _ in range(adapter.cols)] if waiting is None else waiting
    return adapter._word(vector, waiting)


def test_a_bus_and_a_list_are_the_same_vector():
    """Column 0 lies lowest; a negative psum is two's complement; a list may be unsigned."""
    bus = LogicArray("00000101" + "10000000" + "11111111")  # columns 2, 1, 0
    expected = (0x0580FF, [])
    assert word(Adapter(), bus) == expected
    assert word(Adapter(), [-1, -128, 5]) == expected
    assert word(Adapter(), [255, 128, 5]) == expected
    assert word(Adapter(), 0x0580FF) == expected
    assert word(Adapter(), 0) == (0, [])


def test_unknown_bits_are_told_by_column():
    assert word(Adapter(), LogicArray("000001X1" + "00000010" + "11111111")) == (0x0002FF, [2])
    assert word(Adapter(), [LogicArray("X" * 8), 3, LogicArray("Z" * 8)]) == (0x000300, [0, 2])


def test_psums_of_one_bit_are_told_by_column():
    adapter = Adapter(psum_width=1)
    assert word(adapter, LogicArray("1X0")) == (0b100, [1])
    assert word(adapter, LogicArray("X01")) == (0b001, [2])


def test_an_array_may_have_many_columns():
    adapter = Adapter(cols=300)
    found, unknown = word(adapter, [3] * 300)
    assert (found, unknown) == (int("03" * 300, 16), [])


def test_columns_that_come_one_after_another_belong_together():
    adapter, waiting = Adapter(), [deque() for _ in range(3)]
    assert word(adapter, [1, None, None], waiting) is None
    assert word(adapter, [4, 2, None], waiting) is None
    assert word(adapter, [None, 5, 3], waiting) == (0x030201, [])
    assert word(adapter, [None, None, 6], waiting) == (0x060504, [])


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        (LogicArray("0" * 23), "23 bits, expected cols · psum_width = 24"),
        (LogicArray("0" * 25), "25 bits, expected cols · psum_width = 24"),
        (1 << 24, "25 bits, expected"),
        (-1, "bits, expected"),
        ([1, 2.5, 3], r"psums\(\) returned 2.5, expected whole numbers"),
        ([1, 2], "expected cols = 3 values of psum_width = 8 bits"),
        ([1, 2, 3, 4], "expected cols = 3 values of psum_width = 8 bits"),
        ([1, 2, 256], "expected cols = 3 values of psum_width = 8 bits"),
        ([1, 2, 257], "expected cols = 3 values of psum_width = 8 bits"),
        ([1, 2, -129], "expected cols = 3 values of psum_width = 8 bits"),
    ],
)
def test_vectors_of_another_size_are_refused(vector, words):
    with pytest.raises(BenchError, match=words):
        word(Adapter(), vector)


def test_what_was_received_as_numbers():
    board = Scoreboard([0x0580FF, 1], str, lambda *_: "")
    assert Adapter().vectors(board).shape == (0, 3)
    board.receive(4, 0x0580FF, [])
    found = Adapter().vectors(board)
    assert found.tolist() == [[-1, -128, 5]]
    assert found.dtype == np.int64


class Cycles:
    """Waits for a step of the run, as cocotb's RisingEdge waits for a clock edge."""

    def __init__(self, clock):
        assert clock == "the clock"

    def __await__(self):
        yield


class Running:
    """A coroutine that cocotb would have started."""

    def __init__(self, coroutine):
        self.coroutine = coroutine
        self.ended = False

    def step(self) -> None:
        """Lets the coroutine go on to its next edge."""
        try:
            self.coroutine.send(None)
        except StopIteration:
            self.ended = True

    def done(self) -> bool:
        return self.ended

    def cancel(self) -> None:
        self.coroutine.close()
        self.ended = True


class Played(Adapter):
    """An adapter of an array whose vectors of psums, by cycle, are given."""

    def __init__(self, vectors, **settings):
        super().__init__(latency=3, patience=2, **settings)
        self.vectors_by_cycle = vectors
        self.clock = "the clock"
        self.watch = None
        self.cycle = -1

    def psums(self):
        self.cycle += 1
        vector = self.vectors_by_cycle.get(self.cycle)
        if isinstance(vector, Exception):
            raise vector
        return vector


EXPECTED = np.array([[1, 2, 3], [4, 5, 6]])
FIRST, SECOND = 0x030201, 0x060504


@pytest.fixture
def played(monkeypatch):
    """Returns a function that runs an adapter on the expected psums, and returns what it does."""
    tasks = []
    monkeypatch.setattr(array_adapter, "RisingEdge", Cycles)
    monkeypatch.setattr(array_adapter, "get_sim_steps", lambda *given: given)
    monkeypatch.setattr(array_adapter, "get_sim_time", lambda unit: {"step": now()}[unit])
    cycles = [-1]

    def now() -> int:
        return 7 + 10 * cycles[0]

    def start_soon(coroutine):
        tasks.append(Running(coroutine))
        return tasks[-1]

    monkeypatch.setattr(array_adapter.cocotb, "start_soon", start_soon)

    async def playing(length):
        for _ in range(length):
            await Cycles("the clock")

    def run(adapter, length=2, expected=EXPECTED, **options):
        coroutine = adapter.run(playing(length), expected, "pixel {}".format, **options)
        try:
            for cycle in itertools.count(-1):
                cycles[0] = cycle
                coroutine.send(None)
                for task in tasks:
                    if not task.done():
                        task.step()
        except StopIteration as end:
            return end.value
        finally:
            tasks.clear()

    return run


@pytest.mark.parametrize("last", [4, 5, 6])
def test_the_cycles_of_a_run(played, last):
    """The cycles of a run end with the last psum; the end of cycle 0 and the period are noted."""
    adapter = Played({2: FIRST, last: SECOND})
    board, cycles = played(adapter)
    board.finish()
    assert (board.cycles, cycles) == ([2, last], last + 1)
    assert adapter.clock_steps == (7, (CLOCK_PERIOD_NS, "ns"))


def test_a_run_without_a_psum_has_no_cycles(played):
    """The run ends when no psum can come any more, and the scoreboard says what is missing."""
    adapter = Played({})
    board, cycles = played(adapter)
    assert (board.cycles, cycles) == ([], 0)
    assert adapter.cycle == 2 + 2 * 3 + 2 - 1  # the inputs, and twice the latency and two more
    with pytest.raises(BenchError, match="missing output: 2 of 2"):
        board.finish()


@pytest.mark.parametrize(
    ("options", "channel"), [({}, 1), ({"first_channel": lambda index: 8 * index}, 9)]
)
def test_a_wrong_psum_is_told_with_its_channel(played, options, channel):
    board, _ = played(Played({1: FIRST, 2: 0x067F04}), **options)
    words = rf"mismatch: pixel 1, cycle 2, channel {channel}: expected 5, got 127$"
    with pytest.raises(BenchError, match=words):
        board.finish()


@pytest.mark.parametrize(("cycle", "fails"), [(3, True), (9, True), (10, False)])
def test_an_output_too_many(played, cycle, fails):
    """An extra output is found up to twice the latency and two cycles after the last input."""
    adapter = Played({1: FIRST, 2: SECOND, cycle: FIRST})
    if not fails:
        board, _ = played(adapter)
        board.finish()
        return
    with pytest.raises(BenchError, match=f"^extra output at cycle {cycle}: all 2 expected ones"):
        played(adapter)


def test_a_value_too_many_in_one_column(played):
    """An extra value in one column is found before the other columns have their values."""
    adapter = Played({cycle: [None, 1, None] for cycle in range(1, 4)})
    with pytest.raises(BenchError, match=r"^extra output at cycle 3, in column 1$"):
        played(adapter)


def test_a_column_may_come_early_but_not_too_often(played):
    """Three whole vectors came of four, and a column may have one value more."""
    psums = np.array([[1, 2, 3]] * 4)
    vectors = {1: FIRST, 2: FIRST, 3: FIRST, 4: [1, None, None]}
    played(Played(vectors | {5: [None, 2, 3]}), expected=psums)[0].finish()
    with pytest.raises(BenchError, match=r"^extra output at cycle 5, in column 0$"):
        played(Played(vectors | {5: [1, None, None]}), expected=psums)


class Raises(Played):
    """An adapter with an error three calls deep in its file, and one in a library below."""

    def psums(self):
        return self.first()

    def first(self):
        return self.second()

    def second(self):
        return re.compile(5)


def test_an_error_of_the_adapter_is_told_with_its_file_and_line(played):
    """The line is the last one of the adapter's file."""
    lines, start = inspect.getsourcelines(Raises.second)
    words = f"{__file__}, line {start + len(lines) - 1}: TypeError: first argument must be string"
    with pytest.raises(BenchError, match=f"^{re.escape(words)}"):
        played(Raises({}))


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, 2 * (6 + 1 + 3)),
        ({"longest": 5}, 28),
        ({"longest": 5, "deepest": 2}, 28),
        ({"longest": 5, "deepest": 5}, 2 * (3 * (6 + 5) + 3)),
    ],
)
def test_a_run_is_given_up(played, options, limit):
    """A run is given up `limit` cycles after the last psum; the message says how many had come."""
    words = f"^gave up at cycle {limit + 3}: no psum for {limit} cycles, 1 of 2 had come; "
    with pytest.raises(BenchError, match=words):
        played(Played({2: FIRST}), length=100, **options)


def test_an_unknown_value_is_told_with_its_cycle(played):
    with pytest.raises(BenchError, match=r"^X or Z at cycle 2: bits that are not known$"):
        played(Played({2: ValueError("bits that are not known")}))


def test_a_run_stops_after_the_waveform_is_long_enough(played):
    adapter = Played({1: FIRST})
    adapter.watch = Watch("some.fst", stop=4)
    with pytest.raises(BenchError, match=r"^stopped after 4 cycles$"):
        played(adapter, length=100)
    assert adapter.cycle == 4
    adapter = Played({1: FIRST, 2: SECOND})
    adapter.watch = Watch("some.fst")
    played(adapter, length=10)[0].finish()


def test_a_long_run_tells_how_far_it_is(played, monkeypatch, caplog):
    """A run prints its progress when a psum comes more than two seconds after the last line."""
    seconds = iter((10.0, 11.9, 12.0, 12.1, 12.2, 14.1, 14.3, 14.4, 15.0))
    monkeypatch.setattr(array_adapter.time, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(array_adapter.cocotb, "log", logging.getLogger("cocotb"), raising=False)
    caplog.set_level("INFO", "cocotb")
    vectors = {}
    for number, psum in enumerate(EXPECTED.flatten().tolist()):
        vectors[number + 1] = [psum if column == number % 3 else None for column in range(3)]
    played(Played(vectors))[0].finish()
    assert caplog.messages == [f"cycle {n}: {n // 4} of 2 psum vectors" for n in (3, 5)]
    assert next(seconds, None) is None


def test_tiles_are_played_one_after_another():
    """Each tile has its weights and its activations."""
    done = []

    class Plays(Adapter):
        async def load(self, weights):
            done.append(("load", weights))

        async def stream(self, activations):
            done.append(("stream", activations))

    with pytest.raises(StopIteration):
        Plays().play(np.arange(2), [5, 6]).send(None)
    assert done == [("load", 0), ("stream", 5), ("load", 1), ("stream", 6)]
    with pytest.raises(ValueError, match="shorter"):
        Plays().play(np.arange(3), [5, 6]).send(None)


@pytest.mark.parametrize("returns", [True, False])
def test_a_reset_must_return(returns, monkeypatch):
    """A reset may take as many cycles as a run of one-pixel tiles may have without a psum."""
    waited = []

    class Resets(Adapter):
        async def reset(self):
            pass

    async def with_timeout(reset, time, unit):
        waited.append((time, unit))
        await reset
        if not returns:
            raise SimTimeoutError

    monkeypatch.setattr(array_adapter, "with_timeout", with_timeout)
    monkeypatch.setattr(array_adapter, "start_clock", lambda clock: waited.append(clock))
    adapter = Resets(patience=5, latency=0)
    adapter.clock = "the clock"
    limit = 5 * (2 * 3 + 1)
    words = rf"reset\(\) had not returned after {limit} cycles, expected it to return$"
    expected = pytest.raises(StopIteration) if returns else pytest.raises(BenchError, match=words)
    with expected:
        adapter.start().send(None)
    assert waited == ["the clock", (limit * CLOCK_PERIOD_NS, "ns")]
    assert adapter.watch is None
