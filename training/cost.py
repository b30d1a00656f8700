"""Measures what the presets cost on this machine: the time of a step in each of their phases.

    python -m training.cost              # make cost
    python -m training.cost --steps 20

The steps are real steps on random images. The minutes of a preset follow from the times of its
steps; the times of starting, evaluating and saving are left out.
"""

import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from tabulate import tabulate
from tqdm import tqdm

from pymodel.images import ImageSet, normalise
from pymodel.lsq_quantiser import initialise_scales, set_quantising
from pymodel.support.command import CommandParser, conclude, quiet, run_command, tell, whole_number
from pymodel.support.files import RESULTS
from pymodel.support.result_files import write_results
from training.recipe import PRESETS, Recipe, teacher_of
from training.train import CALIBRATION_IMAGES, build, place_model, setup
from training.training_step import DeviceImages, Place, Step, make_optimisers

RESULTS_FILE = RESULTS / "cost.json"
TRAIN_IMAGES = 50_000
# Number of steps before the timed ones. They allocate memory and compile, and on a GPU the last of
# them is recorded.
FIRST_STEPS = 4


class Phase(NamedTuple):
    """A phase of a training: all that the time of a step depends on."""

    # Recipe with epochs and sizes removed, because recipes that differ only in these have the same
    # steps
    recipe: Recipe
    size: int  # image side, pixels
    quantised: bool  # whether the quantisers work
    taught: bool  # whether a teacher teaches


def phases(recipe: Recipe) -> Counter[Phase]:
    """Returns the number of epochs of each phase: first those of the teacher, then of `recipe`."""
    return Counter(
        Phase(
            replace(each, epochs=0, sizes=()),
            each.size(epoch),
            each.quantised(epoch),
            each.taught(epoch),
        )
        for each in (teacher_of(recipe), recipe)
        if each
        for epoch in range(each.epochs)
    )


class Float32(Place):
    """A place that multiplies in float32, even where bfloat16 saves time."""

    dtype = torch.float32


def measure(phase: Phase, place: Place, steps: int) -> tuple[float, float]:
    """Returns the median seconds of a step, and of the part that Muon takes, 0 without Muon."""
    recipe = phase.recipe
    torch.manual_seed(0)
    count = max(recipe.batch_size, CALIBRATION_IMAGES)
    images = torch.randint(0, 256, (count, 3, 32, 32)).byte()
    train_set = ImageSet(images, torch.arange(count) % 10, torch.arange(count))
    train_images = DeviceImages(train_set, place.device)
    model = place_model(build(recipe), place)
    optimisers = make_optimisers(model, recipe, place)
    if phase.quantised:
        initialise_scales(model, normalise(train_images.images[:CALIBRATION_IMAGES]))
    set_quantising(model, phase.quantised)
    teacher = None
    if phase.taught:
        teacher = place_model(build(teacher_of(recipe)), place).eval().requires_grad_(False)
    model.train()
    step = Step(model, optimisers, train_images, recipe, place, phase.size, teacher)
    batch = torch.arange(recipe.batch_size, device=place.device)

    def seconds(work) -> float:
        began = time.perf_counter()
        work()
        if place.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    def one_step() -> None:
        step(batch, (slice(0), slice(0)), 1e-3)

    for _ in range(FIRST_STEPS):
        seconds(one_step)
    whole = statistics.median(seconds(one_step) for _ in range(steps))
    muon = statistics.median(seconds(optimisers[-1].step) for _ in range(steps))
    return whole, muon if recipe.muon_lr else 0.0


def rows(place: Place, steps: int) -> Iterator[dict]:
    """Yields a row for each phase of each preset, a dictionary for JSON.

    A phase that several presets have is measured once.
    """
    single = Float32(place.device, place.rank, place.world, place.compiled)
    of_preset = {name: phases(recipe) for name, recipe in PRESETS.items()}
    times = {}
    bar = tqdm(set().union(*of_preset.values()), unit="phase", disable=quiet() or None)
    for phase in bar:
        whole, muon = measure(phase, place, steps)
        plain = whole if place.dtype is single.dtype else measure(phase, single, steps)[0]
        times[phase] = {"step_seconds": whole, "muon_seconds": muon, "float32_step_seconds": plain}
    for preset, found in of_preset.items():
        for phase, epochs in found.items():
            yield {
                "preset": preset,
                "network": phase.recipe.architecture,
                "size": phase.size,
                "quantised": phase.quantised,
                "taught": phase.taught,
                "epochs": epochs,
                **times[phase],
                "minutes": epochs
                * (TRAIN_IMAGES // phase.recipe.batch_size)
                * times[phase]["step_seconds"]
                / 60,
            }


def table(found: list[dict]) -> str:
    """Returns a text table: a line per phase, with milliseconds, and the minutes of each preset."""
    lines = []
    for preset in PRESETS:
        for row in (row for row in found if row["preset"] == preset):
            lines.append(
                [
                    preset,
                    row["network"],
                    row["size"],
                    "4-bit" if row["quantised"] else "float",
                    "yes" if row["taught"] else "",
                    row["epochs"],
                    f"{1000 * row['step_seconds']:.0f}",
                    f"{1000 * row['muon_seconds']:.0f}" if row["muon_seconds"] else "",
                    f"{row['float32_step_seconds'] / row['step_seconds']:.1f}",
                    f"{row['minutes']:.0f}",
                ]
            )
        whole = sum(row["minutes"] for row in found if row["preset"] == preset)
        lines.append([preset, *[""] * 8, f"{whole:.0f}"])
    headers = [
        "preset",
        "network",
        "px",
        "phase",
        "taught",
        "epochs",
        "ms a step",
        "ms of Muon",
        "float32 takes ×",
        "minutes",
    ]
    return tabulate(lines, headers, tablefmt="simple", disable_numparse=True)


def main() -> int:
    """Runs the command, and returns its exit code. Raises InputError for a mistake of the user."""
    parser = CommandParser("training.cost", __doc__)
    parser.add_argument("--steps", default="5", help="number of steps that are timed in each phase")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    arguments = parser.parse_args()
    steps = whole_number("--steps", arguments.steps, 1, 1000)
    with setup(arguments.device) as place:
        found = list(rows(place, steps))
    write_results(RESULTS_FILE, found, passed=True, about={})
    tell(table(found))
    return conclude(f"Results: {os.path.relpath(RESULTS_FILE)}")


if __name__ == "__main__":
    run_command(main)
