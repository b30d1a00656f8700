"""Runs the course's whole sequence on one reconfigurable array, in one simulation.

The squeezed layer of 2-bit activations runs weight stationary, then output stationary; the array is
reset; the layer of 4-bit activations runs in both dataflows. In each mode the layer's first image
comes from tile text files, which are written and read back first.

python -m tb.course                      # table, build/results/course.json, a waveform
python -m tb.course --sim verilator --all --data FOLDER    # all 10,000 test images, too
"""

import json
import os
from argparse import Namespace
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

from pymodel.checkpoint import SHIPPED, SHIPPED_2BIT
from pymodel.images import load_images
from pymodel.reference.layer_data import MAX_ABS_ERROR
from pymodel.support.command import CommandParser, conclude, quiet, tell, whole_number
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT, publish, temporary_folder
from pymodel.support.result_files import file_digest, remove_results, write_results
from tb.components.array_adapter import adapter_class
from tb.components.tile_run import Record
from tb.course.course_bench import ADAPTER, CourseJob, Found, Phase, read_layer
from tb.course.mode_files import ModeFiles, write_and_read
from tb.host.simulate import PROGRAM
from tb.run.array_run import ArrayRun
from tb.run.layer import choose_layer
from tb.run.sweep import check_workers, cluster, hardware_identity, libraries, spread
from tb.sim.errors import BenchError
from tb.sim.kept_results import code
from tb.sim.result_about import Subject
from tb.sim.run_bench import keep_logs_quiet, run_bench
from tb.sim.simulators import check_simulator, leave_out_settings, random_seed
from tb.sim.sources import RTL, check_sources
from tb.sim.wave_window import check_waveform
from tb.sim.waves import WAVES, Watch
from training.data import folder_at_hand, load_test_images

RESULTS_FILE = RESULTS / "course.json"
FILES = ROOT / "build" / "course"  # the text files, a folder for each mode
WAVEFORM = WAVES / "course.fst"
DEFAULT_IMAGES = 16
# What a comparison of a phase's text files adds to its results
OF_FILES = (
    "file_psums_checked",
    "file_psum_mismatches",
    "file_outputs_checked",
    "file_output_mismatches",
)
SHARD = 250  # images of a simulation of --all
BENCH = "tb.course.course_bench"
CODE = code("tb.course.whole_sequence", PROGRAM)  # hash of the code that this process has loaded


def main() -> int:
    parser = CommandParser("tb.course", __doc__)
    parser.add_argument("--sim", default="icarus", help="icarus or verilator")
    parser.add_argument("--images", help=f"number of shipped images; default {DEFAULT_IMAGES}")
    parser.add_argument(
        "--two-bit", default=str(SHIPPED_2BIT), help="checkpoint of 2-bit activations"
    )
    parser.add_argument("--four-bit", default=str(SHIPPED), help="checkpoint of 4-bit activations")
    parser.add_argument("--all", action="store_true", help="run all 10,000 test images, too")
    parser.add_argument("--data", help="folder of cifar-10-batches-py; default $CIFAR10_ROOT")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes of --all")
    parser.add_argument("--fresh", action="store_true", help="run again, even if a result was kept")
    parser.add_argument("--rtl", type=Path, default=RTL, help="folder of the Verilog sources")
    parser.add_argument("--results", type=Path, default=RESULTS_FILE, help="JSON to write")
    arguments = parser.parse_args()

    check_simulator(arguments.sim)
    check_workers(arguments.workers)
    leave_out_settings("COCOTB_TEST_FILTER")
    shipped = load_images()
    images = DEFAULT_IMAGES
    if arguments.images is not None:
        images = whole_number("IMAGES", arguments.images, 1, len(shipped))
    phases = phases_of(arguments.two_bit, arguments.four_bit)
    every = all_test_images(arguments.data) if arguments.all else None
    random_seed()
    keep_logs_quiet()
    checkpoints = arguments.two_bit, arguments.four_bit
    about = {"simulator": arguments.sim, "rtl": arguments.rtl, "checkpoint": checkpoints}
    subject = Subject("tb.course.whole_sequence", BENCH, **about)
    remove_results(arguments.results)  # results of an earlier run
    failures: list[str] = []
    with temporary_folder("course") as folder:
        np.save(folder / "images.npy", shipped.images[:images].numpy())
        found = one_simulation(folder, phases, arguments.sim, arguments.rtl, failures)
    if every is not None and not failures:
        try:
            add_all(found, phases, every.numpy(), arguments)
        except BenchError as error:
            failures.append(str(error))
    result = {"simulator": arguments.sim, "phases": found}
    write_results(arguments.results, result, passed=not failures, about=subject.unchanged())
    tell(result_table(result))
    if WAVEFORM.exists():
        tell(f"Waveform: {os.path.relpath(WAVEFORM)}; open it with: make gtkwave WAVE=course")
    if failures:
        tell(*hints(failures, phases))
        return conclude("\n".join(f"FAILED: {line}" for line in failures), passed=False)
    return conclude(
        "Every psum and sum equals PyTorch's and the files'. "
        f"Results: {os.path.relpath(arguments.results)}"
    )


def all_test_images(data: str | None) -> Tensor:
    """Returns all test images, uint8 [10000, 3, 32, 32]; raises InputError if they are not here."""
    if folder_at_hand(data) is None:
        raise InputError(
            "--all: the 10,000 test images are not at hand, expected their folder in DATA or "
            "$CIFAR10_ROOT"
        )
    return load_test_images(data).images


def phases_of(two_bit: str, four_bit: str) -> list[Phase]:
    """Returns the phases of the sequence; raises InputError for a checkpoint of other widths."""
    phases = []
    for bits, option, checkpoint in ((2, "--two-bit", two_bit), (4, "--four-bit", four_bit)):
        layer = choose_layer(checkpoint, None)
        if layer.bits != (bits, 4):
            raise InputError(
                f"{option} {checkpoint}: {layer.layer} has activations of {layer.bits[0]} bits and "
                f"weights of {layer.bits[1]}, expected {bits} and 4"
            )
        path = str(Path(checkpoint).absolute())
        for dataflow in ("ws", "os"):
            reset = bits == 4 and dataflow == "ws"
            name = f"{bits}bit-{dataflow}"
            phases.append(Phase(name, bits == 2, dataflow == "os", path, reset))
    return phases


def one_simulation(
    folder: Path, phases: list[Phase], simulator: str, rtl: Path, failures: list[str]
) -> list[dict]:
    """Runs all phases, on the images in `folder`, in one simulation, with a waveform if possible.

    Returns what each phase found that was reached, and adds a line to `failures` for each thing
    that is wrong.
    """
    dut = adapter_class(ADAPTER)
    given = torch.from_numpy(np.load(folder / "images.npy"))
    texts: dict[str, ModeFiles] = {}
    (folder / "tiles").mkdir()
    ready = []
    try:
        for phase in phases:
            layer = read_layer(phase.checkpoint, given[:1])
            mode = phase.halves, phase.output_stationary
            texts[phase.name] = write_and_read(FILES / phase.name, layer, *mode, dut.cols)
            tiles = folder / "tiles" / f"{phase.name}.npz"
            texts[phase.name].layer.run.save(tiles)
            ready.append(replace(phase, tiles=str(tiles)))
    except BenchError as error:
        failures.append(str(error))
        return []
    job = CourseJob(ready, str(folder / "images.npy"), str(folder / "course.json"))
    dut = dut.changed(SOURCES=check_sources(rtl))
    simulation = ArrayRun(BENCH, job, simulator, dut, "course")
    try:
        check_simulator(simulator, waves=True)
        watch = Watch(str(WAVEFORM))
    except InputError as error:  # the machine cannot write waveforms
        tell(f"No waveform: {error}")
        watch = None
    failure = simulation.start(folder, watch)
    waveform = simulation.waveform(folder)
    if waveform.exists():
        check_waveform(waveform)
    publish(waveform, WAVEFORM)
    written = folder / "course.json"
    found = json.loads(written.read_text()) if written.exists() else []
    if failure:
        failures.append(str(failure))
    for phase, row in zip(ready, found, strict=False):
        record = job.record(phase)
        whole = record.exists() and Record.load(record)
        if whole and len(whole.received) == whole.run.expected[..., 0].size:
            compared, wrong = texts[phase.name].compare(whole)
            row |= {name: compared[name] for name in OF_FILES}
            failures += [f"{phase.name}: {line}" for line in wrong]
    reached = [row["phase"] for row in found if OF_FILES[0] in row]
    if not failures and reached != [phase.name for phase in phases]:
        failures.append("the simulation ended without the results of all phases")
    return found


def add_all(
    found: list[dict], phases: list[Phase], images: np.ndarray, arguments: Namespace
) -> None:
    """Runs all phases on `images`, uint8 [N, 3, 32, 32], and puts what that finds into `found`.

    Each shard is a simulation of the whole sequence, and its result is kept. Raises BenchError for
    the first shard that fails.
    """
    settings = {
        "phases": [replace(phase, tiles="") for phase in phases],
        "simulator": arguments.sim,
        "rtl": str(arguments.rtl.absolute()),
    }
    decided = hardware_identity(arguments.sim, arguments.rtl) | {
        "code": CODE,
        "libraries": libraries(),
        "checkpoints": [file_digest(phase.checkpoint) for phase in phases],
    }
    totals = [Found() for _ in phases]
    with (
        cluster(None, arguments.workers) as client,
        tqdm(total=len(images), unit="image", desc="all modes", disable=quiet() or None) as bar,
    ):
        shards = spread(client, run_shard, images, SHARD, settings, decided, arguments.fresh)
        for _, result, _ in shards:
            for total, numbers in zip(totals, result["found"], strict=True):
                total.add(Found.of(numbers.tolist()))
            bar.update(int(result["found"][0][0]))
    for row, total in zip(found, totals, strict=True):
        row |= asdict(total)


def run_shard(
    inputs: np.ndarray, phases: list[Phase], simulator: str, rtl: str
) -> dict[str, np.ndarray]:
    """Returns what each phase found on some images, [phases, fields of Found]; runs in a worker.

    Raises BenchError if anything is wrong.
    """
    keep_logs_quiet()
    dut = adapter_class(ADAPTER).changed(SOURCES=check_sources(Path(rtl)), PORTS_ONLY=True)
    with temporary_folder("course") as folder:
        np.save(folder / "images.npy", inputs)
        job = CourseJob(phases, str(folder / "images.npy"), str(folder / "course.json"))
        run_bench(
            BENCH,
            **dut.design(),
            simulator=simulator,
            waves=False,
            settings=job.settings(),
            variant="course",
            folder=folder,
        )
        rows = json.loads((folder / "course.json").read_text())
    names = [field.name for field in fields(Found)]
    return {"found": np.array([[row[name] for name in names] for row in rows], np.float64)}


def hints(failures: list[str], phases: list[Phase]) -> list[str]:
    """Returns the commands that give a hint and a waveform for the phases that failed."""
    return [
        f"For a hint and a waveform: make DUT={os.path.relpath(ADAPTER)} "
        f"MODE={phase.name.partition('-')[0]} DATAFLOW={phase.name.partition('-')[2]} "
        f"MODEL={os.path.relpath(phase.checkpoint)}"
        for phase in phases
        if any(phase.name in line for line in failures)
    ]


def result_table(result: dict) -> str:
    """Returns the closing table, a column for each phase (the keys of course.json)."""

    def files(row: dict) -> str:
        if "file_outputs_checked" not in row:
            return ""
        return f"{row['file_psums_checked'] + row['file_outputs_checked']:,}"

    def differ(row: dict) -> str:
        if "file_outputs_checked" not in row:
            return ""
        return f"{row['file_psum_mismatches'] + row['file_output_mismatches']:,}"

    lines = {
        "array": lambda row: f"{row['rows']} × {row['cols']}",
        "values in text files": files,
        "that differ": differ,
        "images": lambda row: f"{row['images']:,}",
        "psums or sums checked": lambda row: f"{row['psums_checked']:,}",
        "mismatches": lambda row: f"{row['psum_mismatches']:,}",
        "outputs checked": lambda row: f"{row['outputs_checked']:,}",
        f"largest error (limit {MAX_ABS_ERROR:g})": lambda row: f"{row['max_abs_error']:.1e}",
        "dead channels": lambda row: ", ".join(map(str, row["dead_channels"])) or "none",
        "cycles": lambda row: f"{row['cycles']:,}",
        "MACs per cycle": lambda row: (
            f"{row['macs'] / max(1, row['cycles']):.1f} of {row['rows'] * row['cols']}"
        ),
        "begins at, ns": lambda row: f"{row['begins_ns']:,}",
    }
    table = [[title, *map(cell, result["phases"])] for title, cell in lines.items()]
    headers = [result["simulator"], *(row["phase"] for row in result["phases"])]
    return "\n" + tabulate(table, headers, tablefmt="simple", disable_numparse=True) + "\n"
