"""Runs are averaged, drawn and refused as they should be; training/README.md has their figures."""

import json
import re
from dataclasses import replace

import pytest

import training.compare
from pymodel.checkpoint import SHIPPED, SHIPPED_2BIT, load_checkpoint
from pymodel.support.files import ROOT
from training.compare import RUNS, Run, read_runs, summary
from training.recipe import NETWORKS, PRESETS
from training.train import CSV_COLUMNS


@pytest.fixture
def run(tmp_path):
    """Returns a function that makes the folder of a training with two epochs."""

    def make(name: str, network: str, accuracy: float, **others):
        folder = tmp_path / name
        folder.mkdir()
        result = {
            "network": network,
            "accuracy": accuracy,
            "preset": "quick",
            "epochs": 2,
            "seed": 0,
            "settings": [],
            "images": "test",
            "seconds": 60.0,
        } | others
        (folder / "result.json").write_text(json.dumps(result))
        rows = [f"{n},16,{n - 1},0.1,1.5,0.4,0.3,30" for n in (1, 2)]
        (folder / "log.csv").write_text("\n".join([",".join(CSV_COLUMNS), *rows]) + "\n")
        return folder

    return make


def test_table_results_and_figure(run, command, tmp_path, monkeypatch):
    monkeypatch.setattr(training.compare, "RESULTS_FILE", tmp_path / "compare.json")
    figure = tmp_path / "networks.svg"
    folders = [
        run("b", "squeezed-4bit", 0.92, seed=1),
        run("a", "squeezed-4bit", 0.90),
        run("c", "full-float", 0.93),
    ]
    code, out, _ = command(training.compare.main, *folders, "--figure", figure)
    assert code == 0
    assert re.search(r"squeezed-4bit +91\.00% +±1\.41 +90\.00%, 92\.00% +1 min", out)
    assert re.search(r"full-float +93\.00% +93\.00% +1 min", out)
    results = json.loads((tmp_path / "compare.json").read_text())
    assert list(results) == ["squeezed-4bit", "full-float"]
    assert results["squeezed-4bit"]["seeds"] == [0, 1]
    assert results["squeezed-4bit"]["accuracies"] == [0.90, 0.92]
    assert results["full-float"]["deviation"] is None
    first = figure.read_bytes()
    assert first.startswith(b"<?xml")
    command(training.compare.main, *folders, "--figure", figure)
    assert figure.read_bytes() == first


def test_refused(run, refused, tmp_path):
    good = run("good", "full-float", 0.9)
    other = run("other", "full-4bit", 0.9, preset="best")
    main = training.compare.main
    refused(main, good, other, words=["other: preset is best, expected quick", "good"])
    refused(main, tmp_path / "none", words=["none/result.json", "No such file", "training"])
    (other / "result.json").write_text("{}")
    refused(main, other, words=["other/result.json: not what training.train writes"])
    (good / "log.csv").write_text("epoch\n1\n2\n")
    refused(main, good, words=["good/log.csv: not what training.train writes"])
    assert not (tmp_path / "compare.json").exists()


def test_the_runs_that_ship_are_of_the_preset_and_in_the_readme():
    """Four networks ship, `squeezed-4bit` with three seeds, and the README has their means."""
    runs = read_runs(sorted(RUNS.glob("*/")))
    assert list(runs) == ["squeezed-4bit", "squeezed-float", "full-4bit", "full-float"]
    assert [run.result["seed"] for run in runs["squeezed-4bit"]] == [0, 1, 2]
    readme = (ROOT / "training" / "README.md").read_text()
    for name, found in runs.items():
        for run in found:
            assert (run.result["preset"], run.result["images"]) == ("quick", "test")
            assert len(run.log) == PRESETS["quick"].epochs
        assert re.search(rf"\| `{name}` \|.*\| {summary(found)['mean']:.2%} \|", readme), name
    deviation = summary(runs["squeezed-4bit"])["deviation"]
    assert f"±{100 * deviation:.2f}" in readme


def test_the_presets_in_the_readme_are_the_runs_that_ship():
    """The README has accuracy and minutes of `quick` (mean of its seeds), `standard` and `best`."""
    quick = summary(read_runs(sorted(RUNS.glob("squeezed-4bit-*")))["squeezed-4bit"])
    standard = Run.read(RUNS.parent / "standard")
    assert (standard.result["preset"], standard.result["network"]) == ("standard", "squeezed-4bit")
    assert len(standard.log) == PRESETS["standard"].epochs
    best = Run.read(SHIPPED.parent)
    assert (best.result["preset"], best.result["network"]) == ("best", "squeezed-4bit")
    _, metadata = load_checkpoint(SHIPPED)
    assert float(metadata["accuracy"]) == best.result["accuracy"]
    of_best = best.result["seconds"] + best.result["teacher_seconds"]
    ours = (ROOT / "training" / "README.md").read_text()
    for preset, accuracy, seconds in (
        ("quick", quick["mean"], quick["seconds"]),
        ("standard", standard.result["accuracy"], standard.result["seconds"]),
        ("best", best.result["accuracy"], of_best),
    ):
        row = rf"\| `{preset}` \|.*\b{accuracy:.2%}.*\| {seconds / 60:.0f} min"
        assert re.search(row, ours), preset


def test_the_network_of_two_bits_in_the_readme_is_the_one_that_ships():
    """Its accuracy and minutes are those of its run, and its recipe is the one of the command."""
    run = Run.read(RUNS.parent / "squeezed-2bit")
    _, metadata = load_checkpoint(SHIPPED_2BIT)
    assert float(metadata["accuracy"]) == run.result["accuracy"]
    assert len(run.log) == run.result["epochs"]
    words = (ROOT / "training" / "README.md").read_text()
    assert f"**{run.result['accuracy']:.2%}** of the 10,000 test images" in words
    assert f"took {run.result['seconds'] / 60:.0f} min on two CPU cores" in words
    command = metadata["command"].partition(" --run ")[0]
    assert command.partition("training.train ")[2] in words
    recipe = replace(PRESETS["standard"], **NETWORKS["squeezed-2bit"], epochs=24)
    assert json.loads(metadata["recipe"]) == json.loads(json.dumps(recipe.as_dict()))
