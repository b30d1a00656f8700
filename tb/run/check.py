"""Tries an array through its adapter, on random tiles, extreme values and a reset in the middle.

python -m tb.run check --dut my_adapter.py
python -m tb.run check --dut my_adapter.py --sim verilator
"""

import os
from pathlib import Path
from xml.etree import ElementTree

from tabulate import tabulate

from pymodel.support.command import CommandParser, conclude, tell
from pymodel.support.files import temporary_folder
from tb.components.array_adapter import ADAPTER_FILE, OWN, adapter_class
from tb.sim.errors import BenchError
from tb.sim.run_bench import RESULTS_XML, run_bench
from tb.sim.simulators import check_simulator, random_seed

BENCH = "tb.run.array_bench"


def check(path: Path, simulator: str, folder: Path | None = None) -> None:
    """Runs the bench on the adapter in file `path`, in `folder` or in a temporary folder.

    Raises BenchError if a test fails, and InputError if the file is no adapter.
    """
    dut = adapter_class(path)
    run_bench(
        BENCH,
        dut.TOPLEVEL,
        simulator=simulator,
        sources=list(dut.SOURCES),
        parameters=dict(dut.PARAMETERS),
        settings={ADAPTER_FILE: str(path.absolute())},
        variant=path.stem,
        folder=folder,
    )


def main() -> int:
    parser = CommandParser("tb.run check", __doc__)
    parser.add_argument("--dut", type=Path, default=OWN, help="adapter, a Python file")
    parser.add_argument("--sim", default="icarus", help="icarus or verilator")
    arguments = parser.parse_args()

    check_simulator(arguments.sim)
    random_seed()
    failure = None
    with temporary_folder("check") as folder:
        try:
            check(arguments.dut, arguments.sim, folder)
        except BenchError as error:
            failure = error
        if (folder / RESULTS_XML).exists():
            tell("\n" + result_table(folder / RESULTS_XML) + "\n")
    if failure:
        tell(f"For a hint and a waveform: make DUT={os.path.relpath(arguments.dut)} IMAGES=1")
        return conclude(f"FAILED: {failure}", passed=False)
    return conclude("All checks passed. Now the trained layer: make DUT=" + str(arguments.dut))


def result_table(results: Path) -> str:
    """Returns a line for each test of the bench, read from cocotb's results file."""
    rows = []
    for case in ElementTree.parse(results).iter("testcase"):
        wrong = case.find("failure") is not None or case.find("error") is not None
        rows.append([case.get("name").replace("_", " "), "FAILED" if wrong else "right"])
    return tabulate(rows, tablefmt="simple")
