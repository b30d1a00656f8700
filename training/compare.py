"""Compares trained networks: a table of their accuracies, and a figure with the training curves.

python -m training.compare
python -m training.compare build/quick-0 build/quick-1 build/full-float --figure build/networks.svg

Without folders, the command compares the runs that ship; training/README.md has their figures.
"""

import csv
import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from tabulate import tabulate

from pymodel.support.command import CommandParser, conclude, run_command, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, replacing
from pymodel.support.result_files import write_results
from training.recipe import NETWORKS

RUNS = Path(__file__).parent / "shipped" / "runs"
RESULTS_FILE = RESULTS / "compare.json"
COLOURS = dict(zip(NETWORKS, ("#1f62b5", "#a3274f", "#19794a", "#b4530a", "#6b3fa0"), strict=True))
SAME = {"preset", "epochs", "settings", "images"}  # keys whose values all compared runs share
KEYS = SAME | {"network", "accuracy", "seed", "seconds"}
COLUMNS = {"epoch", "train_accuracy", "test_accuracy_1000", "quantised"}


@dataclass(frozen=True)
class Run:
    """What a training left in its folder: `result.json` and the rows of `log.csv`."""

    result: dict
    log: list[dict]

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Returns the run of a folder.

        Raises InputError if a file is missing, or is not what training.train writes.
        """
        path = folder / "result.json"
        try:
            result = json.loads(path.read_text())
            if not (
                set(result) >= KEYS
                and result["network"] in NETWORKS
                and 0 <= result["accuracy"] <= 1
            ):
                raise ValueError
            path = folder / "log.csv"
            with path.open(newline="") as file:
                log = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
            if len(log) != result["epochs"] or not all(set(row) >= COLUMNS for row in log):
                raise ValueError
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}, expected a finished training") from None
        except (ValueError, TypeError):
            raise InputError(
                f"{path}: not what training.train writes, expected result.json and log.csv of one "
                "finished training"
            ) from None
        return cls(result, log)


def read_runs(folders: Sequence[Path]) -> dict[str, list[Run]]:
    """Returns the runs of each network, in the order of NETWORKS and of their seeds.

    Raises InputError if there are no runs, or if they differ in more than network and seed.
    """
    if not folders:
        raise InputError(f"{RUNS}: no runs, expected the folders of some trainings")
    runs = {folder: Run.read(folder) for folder in folders}
    for key in sorted(SAME):
        values = {folder: run.result[key] for folder, run in runs.items()}
        first, *others = values
        for other in others:
            if values[other] != values[first]:
                raise InputError(
                    f"{other}: {key} is {values[other]}, expected {values[first]} as in {first}"
                )
    ordered = sorted(runs.values(), key=lambda run: run.result["seed"])
    by_network = {name: [r for r in ordered if r.result["network"] == name] for name in NETWORKS}
    return {name: found for name, found in by_network.items() if found}


def summary(runs: Sequence[Run]) -> dict:
    """Returns a summary of one network's runs, a dictionary for JSON.

    `seeds` and `accuracies` (0..1) have a value for each run. `mean` and `deviation` are the mean
    and the standard deviation of the accuracies, the latter None for a single run. `seconds` is the
    mean time of a training.
    """
    shares = [run.result["accuracy"] for run in runs]
    return {
        "seeds": [run.result["seed"] for run in runs],
        "accuracies": shares,
        "mean": statistics.mean(shares),
        "deviation": statistics.stdev(shares) if len(shares) > 1 else None,
        "seconds": statistics.mean(run.result["seconds"] for run in runs),
    }


def table(summaries: dict[str, dict]) -> str:
    """Returns a text table with a line per network."""
    rows = []
    for name, found in summaries.items():
        spread = "" if found["deviation"] is None else f"±{found['deviation'] * 100:.2f}"
        each = ", ".join(f"{share:.2%}" for share in found["accuracies"])
        minutes = f"{found['seconds'] / 60:.0f} min"
        rows.append([name, f"{found['mean']:.2%}", spread, each, minutes])
    headers = ["network", "accuracy", "deviation", "of each seed", "training"]
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)


def draw(runs: dict[str, list[Run]]) -> Figure:
    """Returns a figure: the accuracy of each run, and the curves of each network's first seed."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    accuracies, curves = figure.subplots(1, 2, width_ratios=(1, 1.5))
    images = next(iter(runs.values()))[0].result["images"]
    for position, (name, found) in enumerate(runs.items()):
        shares = [100 * run.result["accuracy"] for run in found]
        accuracies.plot(shares, [position] * len(shares), "o", color=COLOURS[name], alpha=0.7)
        mean = statistics.mean(shares)
        accuracies.annotate(
            f"{mean:.2f}", (mean, position), (0, 7), textcoords="offset points", ha="center"
        )
        log = found[0].log
        epochs = [row["epoch"] for row in log]
        for key, style in (("train_accuracy", "-"), ("test_accuracy_1000", ":")):
            curves.plot(epochs, [100 * row[key] for row in log], style, color=COLOURS[name])
    accuracies.set_yticks(range(len(runs)), list(runs))
    accuracies.set_ylim(len(runs) - 0.5, -0.7)
    accuracies.margins(x=0.15)
    accuracies.set_xlabel(f"accuracy on the {images} images, %")
    quantised = [
        row["epoch"] for found in runs.values() for row in found[0].log if row["quantised"]
    ]
    if quantised:
        curves.axvline(min(quantised) - 0.5, color="#5a6675", linewidth=0.8)
        curves.annotate(
            " 4 bits", (min(quantised) - 0.5, 0), ha="left", va="bottom", fontsize="small"
        )
    curves.set_xlabel("epoch")
    curves.set_ylabel("accuracy, %")
    for name, style in (("training images, as augmented", "-"), (f"1,000 {images} images", ":")):
        curves.plot([], [], style, color="#5a6675", label=name)
    curves.legend(framealpha=1, edgecolor="none", loc=(0.42, 0.12), fontsize="small")
    curves.set_ylim(0, 100)
    for axes in (accuracies, curves):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e1e5ea")
        axes.set_axisbelow(True)
    return figure


def main() -> int:
    """Runs the command, and returns its exit code. Raises InputError for a mistake of the user."""
    parser = CommandParser("training.compare", __doc__)
    parser.add_argument(
        "runs", type=Path, nargs="*", help="folders of finished trainings; default: those that ship"
    )
    parser.add_argument(
        "--figure", type=Path, default=RESULTS / "networks.svg", help="SVG file to write"
    )
    arguments = parser.parse_args()
    runs = read_runs(arguments.runs or sorted(RUNS.glob("*/")))
    summaries = {name: summary(found) for name, found in runs.items()}
    with replacing(arguments.figure) as temporary, matplotlib.rc_context({"svg.hashsalt": ""}):
        # Without a date and random names, the same runs give the same bytes.
        draw(runs).savefig(temporary, format="svg", metadata={"Date": None})
    write_results(RESULTS_FILE, summaries, passed=True, about={})
    tell(table(summaries))
    return conclude(
        f"Written: {os.path.relpath(arguments.figure)}, {os.path.relpath(RESULTS_FILE)}"
    )


if __name__ == "__main__":
    run_command(main)
