"""Tries an array through its adapter, on random tiles, extreme values and resets at any cycle.

python -m tb.run check --dut my_adapter.py
python -m tb.run check --dut my_adapter.py --sim verilator
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tabulate import tabulate

from pymodel.checkpoint import SHIPPED, SHIPPED_2BIT, load_checkpoint
from pymodel.layer_capture import DEFAULT_LAYER, find_layer
from pymodel.support.command import CommandParser, conclude, tell
from pymodel.support.files import temporary_folder
from tb.components.array_adapter import ADAPTER_FILE, FOUND_FILE, OWN, ArrayAdapter, adapter_class
from tb.components.array_size import add_size_options, asked_size, make_variables, sized
from tb.sim.errors import BenchError
from tb.sim.results_xml import planned_tests
from tb.sim.run_bench import RESULTS_XML, run_bench
from tb.sim.simulators import STARTS, check_simulator, random_seed

BENCH = "tb.run.array_bench"


@dataclass(frozen=True)
class Verdict:
    """The outcome of the checks: the first failure, if any, and which tests passed."""

    failure: BenchError | None
    passed: dict[str, bool]  # by the test's name in words; {} if the run did not get that far
    limits: str = ""  # what the array's widths cannot hold, "" if there is nothing
    left_out: int = 0  # number of tests that COCOTB_TEST_FILTER leaves out
    # The codes that the array takes: smallest and largest activation, smallest and largest weight;
    # () if the run did not get that far
    codes: tuple[int, ...] = ()

    def summary(self) -> str:
        """Returns one cell of a table: how many tests passed, or which failed, and the limits."""
        failed = [name for name, right in self.passed.items() if not right]
        words = f"{len(self.passed)} tests passed" if self.passed else "FAILED"
        if failed:
            words = f"FAILED: {', '.join(failed)}"
        left_out = f"COCOTB_TEST_FILTER leaves out {self.left_out}" if self.left_out else ""
        return "; ".join(one for one in (words, left_out, self.limits) if one)


def check(
    path: Path,
    simulator: str,
    dut: type[ArrayAdapter] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Verdict:
    """Runs the bench on the adapter in file `path`.

    `dut` is that adapter with the design to compile, by default as in the file; `settings` are
    further environment variables. Raises InputError if the file is no adapter.
    """
    dut = dut or adapter_class(path)
    failure = None
    with temporary_folder("check") as folder:
        told = folder / "found.json"
        given = {ADAPTER_FILE: str(path.absolute()), FOUND_FILE: str(told)}
        # A register that nothing sets is wrong with some of these, if it matters.
        starts = STARTS if simulator == "verilator" else STARTS[-1:]
        try:
            for start in starts:
                run_bench(
                    BENCH,
                    **dut.design(),
                    simulator=simulator,
                    waves=False,
                    settings=given | dict(settings or {}),
                    variant=path.stem,
                    folder=folder,
                    start=start,
                )
        except BenchError as error:
            failure = error
        found = json.loads(told.read_text()) if told.exists() else {"limits": "", "codes": ()}
        return Verdict(
            failure,
            passed_tests(folder / RESULTS_XML),
            found["limits"],
            len(planned_tests(BENCH, "")) - len(planned_tests(BENCH)),
            tuple(found["codes"]),
        )


def main() -> int:
    parser = CommandParser("tb.run check", __doc__)
    parser.add_argument("--dut", type=Path, default=OWN, help="adapter, a Python file")
    parser.add_argument("--sim", default="icarus", help="icarus or verilator")
    add_size_options(parser)
    arguments = parser.parse_args()

    check_simulator(arguments.sim)
    random_seed()
    dut, asked = adapter_class(arguments.dut), asked_size(arguments)
    dut = sized(arguments.dut, (dut.act_width, dut.weight_width), 0, asked)
    subject = dut.subject(BENCH, simulator=arguments.sim, path=arguments.dut)
    verdict = check(arguments.dut, arguments.sim, dut, asked.settings())
    subject.unchanged()
    narrow = too_narrow(verdict.codes)
    if verdict.passed:
        tell("\n" + result_table(verdict, narrow) + "\n")
    if verdict.failure:
        tell(f"For a hint and a waveform: make {make_variables(arguments, dut)} IMAGES=1")
        return conclude(f"FAILED: {verdict.failure}", passed=False)
    if verdict.left_out:
        return conclude(f"No failure, but {verdict.summary()}.")
    variables = make_variables(arguments, dut)
    if not narrow:
        return conclude(f"All checks passed. Now the trained layer: make {variables}")
    if fitting := shipped_that_fits(verdict.codes):
        variables += f" MODEL={os.path.relpath(fitting)}"
        return conclude(f"All checks passed. Now a trained layer that fits: make {variables}")
    return conclude(f"All checks passed. Now your layer: make {variables} MODEL=exported.file")


def too_narrow(codes: tuple[int, ...]) -> str:
    """Returns in words which layers an array can run if those of the shipped network are too wide.

    `codes` are those of a Verdict. The result is "" if the array takes all codes of the shipped
    network, or if nothing is known.
    """
    if not codes or fits(SHIPPED, codes):
        return ""
    needed, (low, high, lowest, highest) = codes_of(SHIPPED), codes
    return (
        f"those with activations {low} to {high} and weights {lowest} to {highest}; the shipped "
        f"network's are {needed[0]} to {needed[1]} and {needed[2]} to {needed[3]} (make export "
        "writes layers of your network)"
    )


def codes_of(checkpoint: Path) -> tuple[int, int, int, int]:
    """Returns the codes of a network's squeezed layer, from the smallest to the largest.

    The first two are of activations, the others of weights, of which the quantiser leaves out −2^(n
    − 1).
    """
    layer = find_layer(load_checkpoint(checkpoint)[0], DEFAULT_LAYER)
    largest = 2 ** (layer.weight_quantiser.bits - 1) - 1
    return 0, 2**layer.activation_quantiser.bits - 1, -largest, largest


def fits(checkpoint: Path, codes: tuple[int, ...]) -> bool:
    """Returns whether an array that takes `codes`, those of a Verdict, takes a network's layer."""
    needed, (low, high, lowest, highest) = codes_of(checkpoint), codes
    return low <= needed[0] and high >= needed[1] and lowest <= needed[2] and highest >= needed[3]


def shipped_that_fits(codes: tuple[int, ...]) -> Path | None:
    """Returns the checkpoint of a shipped network for an array that takes `codes`, if one fits."""
    found = (path for path in (SHIPPED, SHIPPED_2BIT) if codes and fits(path, codes))
    return next(found, None)


def passed_tests(results: Path) -> dict[str, bool]:
    """Returns whether each test passed, by its name in words, from cocotb's results file.

    The result is empty if there is no such file.
    """
    if not results.exists():
        return {}
    return {
        case.get("name").replace("_", " "): case.find("failure") is None
        and case.find("error") is None
        for case in ElementTree.parse(results).iter("testcase")
        if case.find("skipped") is None
    }


def result_table(verdict: Verdict, narrow: str = "") -> str:
    """Returns a line for each test of the bench, and one for what the array cannot hold.

    `narrow` says which layers the array can run, "" if it can run those of the shipped network.
    """
    rows = [[name, "right" if right else "FAILED"] for name, right in verdict.passed.items()]
    rows += [["limits", verdict.limits]] if verdict.limits else []
    rows += [["layers", narrow]] if narrow else []
    return tabulate(rows, tablefmt="simple")
