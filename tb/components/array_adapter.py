"""Connects an array to the checks: how to reset it, load a tile, stream activations, read psums.

docs/own-array.md explains the adapter of another array; the adapter of this project's array is in
`tb/components/systolic_array_adapter.py`. Arrays that are not weight stationary have base classes
of their own, in `tb/components/dataflow_adapters.py`.
"""

import importlib.util
import inspect
import json
import os
import re
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject, ValueObjectBase
from cocotb.task import Task
from cocotb.triggers import RisingEdge, SimTimeoutError, with_timeout
from cocotb.types import LogicArray
from cocotb.utils import get_sim_steps, get_sim_time
from vcd.gtkw import GTKWSave

from pymodel.support.compiled_files import SourceLoader, forget_compiled
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from pymodel.support.old_names import new_path
from tb.components.clock import start_clock
from tb.components.packing import pack, unpack
from tb.components.scoreboard import Scoreboard
from tb.sim.errors import BenchError
from tb.sim.files_read import compiler_options
from tb.sim.result_about import Subject
from tb.sim.waves import CLOCK_PERIOD_NS, Watch, trace_top

# Environment: the parameters of the Verilog module that the user asks for, as JSON
ASKED_SIZES = "SYSTOLIC_SIZES"
OWN = ROOT / "tb" / "components" / "systolic_array_adapter.py"
ADAPTER_FILE = "SYSTOLIC_DUT"  # environment: the adapter's file, for a bench of any array
FOUND_FILE = "SYSTOLIC_CHECK_FOUND"  # environment: the file that takes what the array can hold
UNKNOWN = "X or Z"  # value of a column that holds an X or Z
# Seconds between two lines of a long run, from which tb/run/array_run.py draws a bar, and without
# which tb.sim.process would give it up
TELL_SECONDS = 2.0
SIZES = ("rows", "cols", "act_width", "weight_width", "psum_width", "latency", "patience")


class ArrayAdapter(ABC):
    """Connects one array under test; a subclass has TOPLEVEL, SOURCES and the methods below.

    These are `reset`, `load`, `stream` and `psums`. Each tile is a matrix weight[row][col], each
    activation vector has one number for each row, and each psum vector one number for each column:
    psum[col] = Σ over rows of activation[row] · weight[row][col]. An array that adds the psums of
    several tiles inside sets `depth` to None, and then a tile has as many rows as a layer has taps.
    """

    TOPLEVEL: str  # the Verilog module
    SOURCES: Sequence[str | Path]  # the Verilog files, relative to the adapter's folder
    PARAMETERS: Mapping[str, int] = {}  # the module's parameters that are not at their defaults
    # Macros that the sources are compiled with, by name; "": a macro without a value
    DEFINES: Mapping[str, str | int] = {}
    # Folders of files that the sources include, beside the sources' own, relative as SOURCES are
    INCLUDES: Sequence[str | Path] = ()
    CLOCK = "clk_i"  # the clock port
    # Variables of make, or of the environment, that the adapter reads
    VARIABLES: Sequence[str] = ()
    # Whether the adapter uses the module's ports and parameters alone; then Verilator is faster.
    PORTS_ONLY = False

    # The sizes of a tile, and the bits of its numbers. An adapter may also set them in `__init__`.
    rows = 8
    cols = 8
    act_width = 4
    act_signed = False  # whether activations are two's complement; else they are unsigned
    weight_width = 4  # two's complement
    psum_width = 16  # two's complement
    # Cycles from an activation vector at the input to its psums. After the last activation vector
    # a run waits twice as long for psums.
    latency = 15
    # A run is given up when no psum has come for `patience` times rows · cols + pixels + latency
    # cycles, which is one tile at one weight and one pixel per cycle.
    patience = 20

    # What leaves the array, in one word of messages
    shows = "psum"

    def __init__(self, dut: HierarchyObject):
        self.dut = dut
        self.clock = getattr(dut, self.CLOCK)
        self.board: Scoreboard | None = None  # the scoreboard of the latest run
        self.watch: Watch | None = None
        self.clock_steps = (0, 0)  # simulator steps: the end of cycle 0, the clock period

    @classmethod
    def design(cls) -> dict[str, Any]:
        """Returns the Verilog design, as the keyword arguments that `run_bench` takes for it."""
        return {
            "toplevel": cls.TOPLEVEL,
            "sources": list(cls.SOURCES),
            "parameters": dict(cls.PARAMETERS),
            "includes": list(cls.INCLUDES),
            "defines": dict(cls.DEFINES),
            "ports_only": cls.PORTS_ONLY,
        }

    @classmethod
    def options(cls) -> list[str]:
        """Returns the options with which the design is compiled, as `files_read` takes them."""
        return compiler_options(cls.SOURCES, cls.INCLUDES, cls.DEFINES)

    @classmethod
    def subject(cls, *modules: str, simulator: str, path: Path, **more: Any) -> Subject:
        """Returns what a result of `modules` on this design is about; `path` is the adapter's.

        `more` are further arguments of Subject.
        """
        settings = {"sources": list(cls.SOURCES), "options": cls.options()}
        given = {"adapter": path, "variables": cls.variables()}
        return Subject(*modules, **settings, **given, simulator=simulator, **more)

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Returns the values of those of VARIABLES that are given."""
        return {name: os.environ[name] for name in cls.VARIABLES if name in os.environ}

    @classmethod
    def changed(cls, **attributes: Any) -> type["ArrayAdapter"]:
        """Returns the same adapter of a design of which attributes, such as SOURCES, are others."""
        return type(cls.__name__, (cls,), {**attributes, "__module__": cls.__module__})

    @abstractmethod
    async def reset(self) -> None:
        """Brings the array to rest; the clock runs already."""

    async def load(self, weights: np.ndarray) -> None:
        """Loads one tile, int [rows, cols]; returns when activations may follow."""
        raise NotImplementedError

    async def stream(self, activations: np.ndarray) -> None:
        """Streams a tile's activations, int [pixels, rows]; returns when the next tile may load."""
        raise NotImplementedError

    @abstractmethod
    def psums(self) -> Any | None:
        """Returns the psum vector that leaves the array at this clock edge, or None.

        It is called at every rising edge, before the adapter's coroutines go on; values read are
        those before the edge. A vector is either the value of a bus that holds all columns, column
        0 in the lowest bits, or a list of one value for each column, None where that column has
        none at this edge: column by column, the n-th values belong together. X or Z in the vector
        fails the run, as does a ValueError from this method: int() of a value with X or Z raises
        one.
        """

    async def play(self, weights: np.ndarray, activations: Sequence[np.ndarray]) -> None:
        """Loads and streams tile after tile. An array that overlaps the two overrides this method.

        weights: [tiles, rows, cols]; activations: for each tile [pixels, rows].
        """
        for tile, vectors in zip(weights, activations, strict=True):
            await self.load(tile)
            await self.stream(vectors)

    def expected(self, weights: np.ndarray, activations: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the vectors that must leave the array for tiles of `play`, int [n, cols]."""
        return np.concatenate([a @ w for a, w in zip(activations, weights, strict=True)])

    def trace(self, save: GTKWSave) -> None:
        """Adds the signals that waveform viewers show first to `save`; here the top module's."""
        trace_top(save, self.dut, self.CLOCK)

    def pe(self, row: int, col: int) -> Mapping[str, ValueObjectBase]:
        """Returns the signals of one PE that `make report` shows, by name; by default none.

        The names are "act", "weight" (in use), "shadow" (the next tile's weight), "psum", and
        "swap", which is 1 in the cycle in which the shadow weight becomes the one in use.
        """
        return {}

    async def start(self) -> None:
        """Starts the clock, resets the array, and writes the viewers' files if there is a waveform.

        Raises InputError if a size of the array is no integer or too small, and BenchError if
        `reset` does not return.
        """
        for name in SIZES:
            value = getattr(self, name)
            if not isinstance(value, int) or value < (name != "latency"):
                expected = "0 or more" if name == "latency" else "1 or more"
                raise InputError(
                    f"{type(self).__name__}.{name} is {value!r}, expected an integer, {expected}"
                )
        self._check_asked()
        self.watch = Watch.of_this_run()
        if self.watch:
            self.watch.write_save_file(self.trace)
        start_clock(self.clock)
        limit = self.limit(1, self.rows)
        try:
            with _blaming(type(self)):
                await with_timeout(self.reset(), limit * CLOCK_PERIOD_NS, "ns")
        except SimTimeoutError:
            path = inspect.getfile(type(self))
            raise BenchError(
                f"{path}: reset() had not returned after {limit} cycles, expected it to return"
            ) from None

    def _check_asked(self) -> None:
        """Raises InputError unless the array has the parameters of adapter and user."""
        asked = json.loads(os.environ.get(ASKED_SIZES, "{}"))
        for name, value in (dict(self.PARAMETERS) | asked).items():
            # Icarus runs on without a parameter that the module lacks.
            handle = getattr(self.dut, name, None)
            if handle is None or int(handle.value) % 2**32 != value % 2**32:
                found = "no such parameter" if handle is None else int(handle.value)
                raise InputError(
                    f"{name} is {value}, but {self.TOPLEVEL} has {found}, expected a module whose "
                    "parameter takes the value"
                )
        for name, value in asked.items():
            found = int(getattr(self, name.lower()))
            if found != value:
                raise InputError(
                    f"{name} is {value}, but {type(self).__name__}.{name.lower()} is {found}, "
                    f"expected a module with a parameter {name}, from which the adapter's "
                    "__init__ takes it"
                )

    @property
    def depth(self) -> int | None:
        """Returns the number of rows of a tile; None: any number, all taps of a layer at once."""
        return self.rows

    @classmethod
    def tile_size(cls) -> tuple[int | None, int]:
        """Returns `depth` and `cols` as far as the class knows them, before any simulation."""
        return (cls.rows if isinstance(cls.depth, property) else cls.depth), cls.cols

    @property
    def act_range(self) -> tuple[int, int]:
        """Returns the smallest and the largest activation that the array has bits for."""
        low = -(2 ** (self.act_width - 1)) if self.act_signed else 0
        return low, low + 2**self.act_width - 1

    def check_fit(
        self, weights: np.ndarray, activations: Sequence[np.ndarray], expected: np.ndarray
    ) -> None:
        """Raises InputError if a number needs more bits than the array has for it.

        weights and activations are those of `play`; expected: the psums, int [n, cols].
        """
        weight_max, psum_max = 2 ** (self.weight_width - 1) - 1, 2 ** (self.psum_width - 1) - 1
        flat = np.concatenate(activations)
        for what, least, most, width, lowest, highest in (
            ("activations", flat.min(), flat.max(), "act_width", *self.act_range),
            ("weights", weights.min(), weights.max(), "weight_width", -weight_max - 1, weight_max),
            ("psums", expected.min(), expected.max(), "psum_width", -psum_max - 1, psum_max),
        ):
            if least < lowest or most > highest:
                raise InputError(
                    f"{self.TOPLEVEL} is too narrow: {what} are {least} to {most} in this run, its "
                    f"{width} {getattr(self, width)} holds {lowest} to {highest}"
                )

    async def run(
        self,
        playing: Awaitable,
        expected: np.ndarray,
        place: Callable[[int], str],
        first_channel: Callable[[int], int] = lambda index: 0,
        longest: int = 1,
        deepest: int = 0,
    ) -> tuple[Scoreboard, int]:
        """Awaits `playing` and compares every psum with `expected`, int [n, cols].

        `place(index)` names the psum vector at `index`, and `first_channel(index)` is the output
        channel of its column 0. The longest tile has `longest` pixels, and the deepest `deepest`
        rows, which are those of the array by default. Returns the scoreboard, whose `finish` the
        caller has still to call, and the number of cycles from the first input to the last output.
        Cycle 0 is the first one of `playing`. Raises BenchError for X or Z, for an extra output,
        and when no psum comes for too long.
        """

        def difference(index: int, wanted: int, found: int) -> str:
            wanted, found = unpack([wanted, found], self.cols, self.psum_width)
            column = int(np.flatnonzero(wanted != found)[0])
            channel = first_channel(index) + column
            return f"channel {channel}: expected {wanted[column]}, got {found[column]}"

        board = self.board = Scoreboard(pack(expected, self.psum_width), place, difference)
        player = cocotb.start_soon(self._blamed(playing))  # starts when `_watch` awaits its edge
        try:
            await self._watch(board, player, self.limit(longest, deepest or self.rows))
        finally:
            player.cancel()
        return board, board.cycles[-1] + 1 if board.cycles else 0

    def vectors(self, board: Scoreboard) -> np.ndarray:
        """Returns the words that a scoreboard received, as int64 [n, cols]."""
        if not board.received:
            return np.zeros((0, self.cols), np.int64)
        return unpack(board.received, self.cols, self.psum_width)

    def limit(self, longest: int, deepest: int) -> int:
        """Returns the number of cycles without a psum after which a run is given up.

        The arguments are those of `run`. A tile of more rows than the array is as long as several.
        """
        tiles = -(-deepest // self.rows)
        return self.patience * (tiles * (self.rows * self.cols + longest) + self.latency)

    def arrived(self) -> Iterator[Any]:
        """Yields the psum vectors that leave the array at this clock edge: one, or none."""
        vector = self.psums()
        if vector is not None:
            yield vector

    async def _blamed(self, playing: Awaitable) -> None:
        """Awaits `playing`; whatever it raises becomes a BenchError."""
        with _blaming(type(self)):
            await playing

    async def _watch(self, board: Scoreboard, player: Task, limit: int) -> None:
        """Hands every psum vector to the scoreboard until the last; raises BenchError as `run`."""
        edge = RisingEdge(self.clock)
        # Values of columns whose vector is not complete yet
        waiting = [deque() for _ in range(self.cols)]
        cycle = last = 0
        told = time.monotonic()
        # Cycles after the last input in which an extra output is looked for
        left = 2 * self.latency + 2
        while left:
            await edge
            left -= player.done()
            if self.watch and self.watch.stop and cycle > self.watch.stop:
                board.fail(f"stopped after {self.watch.stop} cycles")
            if cycle == 0:
                period = get_sim_steps(CLOCK_PERIOD_NS, "ns")
                self.clock_steps = int(get_sim_time("step")), period
            try:
                with _blaming(type(self), ValueError):
                    vectors = list(self.arrived())
            except ValueError as error:
                board.fail(f"X or Z at cycle {cycle}: {error}")
            for vector in vectors:
                last = cycle
                if time.monotonic() > told + TELL_SECONDS:
                    told = time.monotonic()
                    came, total = len(board.received), len(board.expected)
                    cocotb.log.info("cycle %d: %d of %d psum vectors", cycle, came, total)
                with _blaming(type(self)):
                    word = self._word(vector, waiting)
                if word:
                    board.receive(cycle, *word)
            came = len(board.received)
            if came + max(map(len, waiting)) > len(board.expected):
                column = max(range(self.cols), key=lambda c: len(waiting[c]))
                board.fail(f"extra output at cycle {cycle}, in column {column}")
            if cycle - last > limit:
                board.fail(
                    f"gave up at cycle {cycle}: no psum for {limit} cycles, {came} of "
                    f"{len(board.expected)} had come; does the adapter wait for a signal that "
                    "never comes? If the array is that slow, raise the adapter's `patience`"
                )
            cycle += 1

    def _word(self, vector: Any, waiting: list[deque]) -> tuple[int, list[int]] | None:
        """Returns a psum vector as one integer, column 0 lowest, and the columns with X or Z.

        Returns None while a column's value is still to come. Raises BenchError for a vector of
        another size than the array's.
        """
        width, bits = self.psum_width, self.cols * self.psum_width
        if not isinstance(vector, list):
            number = isinstance(vector, int)
            found = vector.bit_length() if number else len(vector)
            if found > bits or (found < bits and not number) or (number and vector < 0):
                raise BenchError(
                    f"psums() returned {found} bits, expected cols · psum_width = {bits}"
                )
            with suppress(ValueError):
                return int(vector), []
            lanes = [LogicArray(str(vector)[end - width : end]) for end in range(bits, 0, -width)]
            values = [_known(lane, signed=True) for lane in lanes]
        else:
            values = [None if value is None else _known(value) for value in vector]
        if len(values) != self.cols or any(
            isinstance(value, int) and not -(1 << width - 1) <= value < 1 << width
            for value in values
        ):
            raise BenchError(
                f"psums() returned {values}, expected cols = {self.cols} values of psum_width = "
                f"{width} bits"
            )
        for column, value in zip(waiting, values, strict=True):
            if value is not None:
                column.append(value)
        if not all(waiting):
            return None
        words = [column.popleft() for column in waiting]
        unknown = [column for column, value in enumerate(words) if value == UNKNOWN]
        known = [0 if value == UNKNOWN else value for value in words]
        return pack([known], width)[0], unknown


def _known(value: Any, *, signed: bool = False) -> int | str:
    """Returns the value as an integer, or UNKNOWN if a bit is X or Z.

    Raises BenchError for a number that is no whole one.
    """
    if isinstance(value, float) and not value.is_integer():
        raise BenchError(f"psums() returned {value}, expected whole numbers")
    try:
        return value.to_signed() if signed else int(value)
    except ValueError:
        return UNKNOWN


def connect(path: Path, dut: HierarchyObject) -> ArrayAdapter:
    """Returns the adapter of file `path` on the running simulation.

    Raises BenchError if the adapter's constructor fails, and InputError as `adapter_class` does.
    """
    chosen = adapter_class(path)
    with _blaming(chosen):
        return chosen(dut)


def adapter_class(path: Path = OWN) -> type[ArrayAdapter]:
    """Returns the one adapter that file `path` defines; its SOURCES are absolute paths afterwards.

    Raises InputError if the file is missing, does not load, holds no adapter or several, or if the
    adapter lacks a method or attribute, or names sources that are not there.
    """
    path = new_path(path.absolute())
    if not path.is_file():
        raise InputError(f"{path}: not found, expected a Python file with an adapter")
    forget_compiled(path)  # of modules beside the adapter, which it may import
    name = f"adapter_{path.stem}"
    loader = SourceLoader(name, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    sys.modules[name] = module  # where inspect and dataclasses look for it
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"{path}: does not load: {_one_line(error)}") from None
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, ArrayAdapter) and value.__module__ == name
    ]
    if len(found) != 1:
        names = ", ".join(c.__name__ for c in found) or "none"
        raise InputError(f"{path}: defines {names}, expected one subclass of ArrayAdapter")
    (chosen,) = found
    where = f"{path}: {chosen.__name__}"
    missing = [name for name in ("TOPLEVEL", "SOURCES") if not hasattr(chosen, name)]
    missing += sorted(chosen.__abstractmethods__)
    if chosen.play is ArrayAdapter.play:
        missing += [n for n in ("load", "stream") if getattr(chosen, n) is vars(ArrayAdapter)[n]]
    if missing:
        raise InputError(f"{where} lacks {', '.join(missing)}")
    for name in ("reset", "load", "stream", "play", "matmul", "run_layer"):
        if not inspect.iscoroutinefunction(getattr(chosen, name, chosen.reset)):
            raise InputError(f"{where}.{name} is not a coroutine, expected 'async def {name}'")
    if inspect.iscoroutinefunction(chosen.psums):
        raise InputError(f"{where}.psums is a coroutine, expected 'def psums', without async")
    if isinstance(chosen.SOURCES, str | Path) or not chosen.SOURCES:
        raise InputError(f"{where}.SOURCES is {chosen.SOURCES!r}, expected a list of Verilog files")
    chosen.SOURCES = [_beside(chosen, "SOURCES") / source for source in chosen.SOURCES]
    for source in chosen.SOURCES:
        if not source.is_file():
            raise InputError(f"{where}.SOURCES names {source}, which is not there")
    if isinstance(chosen.INCLUDES, str | Path):
        raise InputError(f"{where}.INCLUDES is {chosen.INCLUDES!r}, expected a list of folders")
    chosen.INCLUDES = [_beside(chosen, "INCLUDES") / one for one in chosen.INCLUDES]
    for one in chosen.INCLUDES:
        if not one.is_dir():
            raise InputError(f"{where}.INCLUDES names {one}, expected a folder that is there")
    if not isinstance(chosen.DEFINES, Mapping):
        raise InputError(f"{where}.DEFINES is {chosen.DEFINES!r}, expected a dictionary")
    if isinstance(chosen.VARIABLES, str):
        raise InputError(f"{where}.VARIABLES is {chosen.VARIABLES!r}, expected a list of names")
    for name, value in chosen.DEFINES.items():
        if not re.fullmatch(r"[A-Za-z_]\w*", str(name)) or not isinstance(value, str | int):
            raise InputError(
                f"{where}.DEFINES has {name!r}: {value!r}, expected the name of a macro and its "
                "value, text or an integer"
            )
    return chosen


def _beside(adapter: type[ArrayAdapter], name: str) -> Path:
    """Returns the folder of the file whose class gives `adapter` the attribute `name`."""
    owner = next(base for base in adapter.__mro__ if name in vars(base))
    return Path(inspect.getfile(owner)).parent


@contextmanager
def _blaming(adapter: type[ArrayAdapter], *passed: type[Exception]) -> Iterator[None]:
    """Turns errors of an adapter into a BenchError with file and line, except those in `passed`."""
    try:
        yield
    except (BenchError, InputError, SimTimeoutError, *passed):
        raise
    except Exception as error:
        path = inspect.getfile(adapter)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == path]
        place = f"{path}, line {lines[-1]}" if lines else path
        raise BenchError(f"{place}: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    """Returns the type of an error and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}".removesuffix(": ")
