"""Training is repeatable, resumable and works in several processes."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import training.train
from pymodel.errors import InputError
from pymodel.quantiser import quantised_layers
from pymodel.sealed import read_sealed
from pymodel.vgg import VGG16
from training.evaluate import edge_distance, predict, with_integer_layer
from training.tests import tiny

ROOT = Path(__file__).parents[2]


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder and weights of an uninterrupted run."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("run")
    return folder, tiny.run(folder)


def test_same_seed_same_weights_and_another_seed_others(trained, tmp_path):
    assert same(tiny.run(tmp_path / "again"), trained[1])
    assert not same(tiny.run(tmp_path / "other", seed=4), trained[1])


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_interrupted_and_resumed_equals_uninterrupted(trained, tmp_path, monkeypatch, stop_at):
    """Ctrl-C in the middle of each epoch, the quantised one included; there are two steps each."""
    steps = 0
    augment = training.train.augment

    def interrupting(*arguments):
        nonlocal steps
        steps += 1
        if steps == stop_at + 1:
            raise KeyboardInterrupt
        return augment(*arguments)

    monkeypatch.setattr(training.train, "augment", interrupting)
    if stop_at == 1:  # nothing is saved yet: start again
        with pytest.raises(KeyboardInterrupt):
            tiny.run(tmp_path)
        assert not list(tmp_path.iterdir())
        return
    with pytest.raises(KeyboardInterrupt):
        tiny.run(tmp_path)
    assert same(tiny.run(tmp_path, resume=True), trained[1])
    assert (tmp_path / "log.csv").read_text().count("\n") == 1 + tiny.RECIPE.epochs


def test_resuming_a_finished_run_changes_nothing(trained):
    assert same(tiny.run(trained[0], resume=True), trained[1])


def test_log(trained):
    with (trained[0] / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["epoch"] for r in rows] == ["1", "2", "3"]
    assert [r["quantised"] for r in rows] == ["0", "0", "1"]
    assert set(rows[0]) == set(training.train.CSV_COLUMNS)


def test_float_phase_leaves_the_scales_alone_and_the_last_third_learns_them(trained):
    initial = VGG16().state_dict()
    for name in quantised_layers(VGG16()):
        for quantiser in ("weight_quantiser", "activation_quantiser"):
            key = f"{name}.{quantiser}.scale"
            assert not torch.equal(trained[1][key], initial[key])


def test_a_run_is_not_overwritten(trained):
    with pytest.raises(InputError, match="--resume"):
        tiny.run(trained[0])


def test_resume_refuses_what_it_cannot_go_on_from(trained, tmp_path):
    with pytest.raises(InputError, match="not found"):
        tiny.run(tmp_path, resume=True)
    with pytest.raises(InputError, match="seed is 3, expected 9"):
        tiny.run(trained[0], resume=True, seed=9)
    with pytest.raises(InputError, match="recipe is"):
        tiny.run(trained[0], resume=True, recipe=replace(tiny.RECIPE, peak_lr=0.5))


def test_two_processes(trained, tmp_path):
    """torchrun: the same images in the same steps. BatchNorm sees half a batch each, so the weights
    are close to those of one process, not equal."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        "-m", "training.tests.tiny", str(tmp_path),
    ]  # fmt: skip
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr
    tensors, _ = read_sealed(tmp_path / "state.safetensors")
    for name in ("features.0.weight", "features.27.weight", "classifier.weight"):
        alone, together = trained[1][name], tensors[f"model.{name}"]
        start = torch.nn.functional.cosine_similarity(alone.flatten(), together.flatten(), dim=0)
        assert start > 0.98, name
        assert not torch.equal(alone, together)


def test_integer_layer_predicts_the_same(shipped, images):
    """On the shipped images: `make evaluate` in small."""
    fake = predict(shipped, images.images)
    integer = predict(with_integer_layer(shipped), images.images)
    differing = fake != integer
    if differing.any():
        assert 0 < edge_distance(shipped, images.images[differing]) < 1e-4
    assert (fake == images.labels).float().mean() > 0.8
