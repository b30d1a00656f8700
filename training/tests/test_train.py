"""Training is repeatable, resumable and works in several processes."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

import training.evaluate
import training.train
import training.training_step
from pymodel.checkpoint import SHIPPED, load_checkpoint
from pymodel.images import ImageSet
from pymodel.lsq_quantiser import initialise_scales
from pymodel.support.checksummed_tensors import read_sealed
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from pymodel.vgg import VGG16
from training.evaluate import edge_distance, predict, with_integer_layer
from training.recipe import NETWORKS
from training.tests import tiny


@pytest.fixture(autouse=True)
def save_after_each_epoch(monkeypatch):
    """Makes a training save after each epoch, however short the epoch is."""
    monkeypatch.setattr(training.train, "SAVE_SECONDS", 0)


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns folder and weights of an uninterrupted run."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("run")
    return folder, tiny.run(folder)


def test_same_seed_same_weights_and_another_seed_others(trained, tmp_path):
    assert same(tiny.run(tmp_path / "again"), trained[1])
    assert not same(tiny.run(tmp_path / "other", seed=4), trained[1])


@pytest.mark.parametrize(
    "stop_at",
    [pytest.param(1, marks=pytest.mark.verify), 3, pytest.param(5, marks=pytest.mark.verify)],
)
def test_interrupted_and_resumed_equals_uninterrupted(trained, tmp_path, monkeypatch, stop_at):
    """Ctrl-C comes in the middle of an epoch, which has two steps; the last one is quantised."""
    steps = 0
    augment = training.training_step.augment

    def interrupting(*arguments):
        nonlocal steps
        steps += 1
        if steps == stop_at + 1:
            raise KeyboardInterrupt
        return augment(*arguments)

    monkeypatch.setattr(training.training_step, "augment", interrupting)
    if stop_at == 1:  # nothing is saved yet, so there is nothing to resume
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


@pytest.mark.verify
def test_scales_rest_in_the_float_phase_and_learn_in_the_last_third(tmp_path, monkeypatch):
    def scales(model):
        state = model.state_dict()
        return {name: state[name].clone() for name in state if name.endswith(".scale")}

    recorded = []

    def recording(model, images):
        recorded.append(scales(model))
        initialise_scales(model, images)
        recorded.append(scales(model))

    monkeypatch.setattr(training.train, "initialise_scales", recording)
    final = tiny.run(tmp_path)
    before, initial = recorded  # initialise_scales was called once
    assert len(before) == 24
    for name, scale in before.items():
        assert (scale == 1).all(), name
        assert not torch.equal(initial[name], scale), name
        assert not torch.equal(final[name], initial[name]), name


@pytest.mark.verify
def test_dead_channels_start_anew_once_on_full_images(tmp_path, monkeypatch, capsys):
    seen = []

    def recycling(model, images, seed):
        seen.append((tuple(images.shape), seed, model.features[27].quantising))
        return [1, 6]

    monkeypatch.setattr(training.train, "recycle", recycling)
    tiny.run(tmp_path, recipe=replace(tiny.RECIPE, recycle=0.7))
    assert seen == [((32, 3, 32, 32), 3, True)]
    assert (
        capsys.readouterr().out.count("dead channels of features.27 get fresh weights: 1, 6\n") == 1
    )


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


@pytest.mark.verify
def test_two_processes(tmp_path):
    """Under torchrun each process sees other images, and all end with the same weights."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "training.tests.tiny",
        str(tmp_path),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            _, errors = process.communicate(timeout=1800)
        finally:
            process.terminate()  # torchrun ends its processes, each of which has its own session
    assert process.returncode == 0, errors
    first, second = (load_file(tmp_path / f"weights-{rank}.safetensors") for rank in (0, 1))
    parameters = [name for name, _ in VGG16().named_parameters()]
    assert all(torch.equal(first[name], second[name]) for name in parameters)
    # BatchNorm's averages are each process's own after the last step.
    assert not torch.equal(first["features.1.running_mean"], second["features.1.running_mean"])


@pytest.fixture
def tiny_data(monkeypatch, tmp_path):
    """Gives training 256 random images and evaluation 32, and both `tmp_path` for their results."""
    generator = torch.Generator().manual_seed(1)
    random = torch.randint(0, 256, (256, 3, 32, 32), generator=generator).byte()
    random = ImageSet(random, torch.arange(256) % 10, torch.arange(256))
    for module, count in ((training.train, 256), (training.evaluate, 32)):
        monkeypatch.setattr(module, "load_cifar10", lambda *_, n=count, **__: random.first(n))
        monkeypatch.setattr(module, "RESULTS_FILE", tmp_path / f"{module.__name__}.json")
    monkeypatch.setattr(training.train, "compiler_works", lambda device: False)
    return tmp_path


@pytest.mark.verify
def test_from_training_to_evaluation(tiny_data, command, monkeypatch):
    """The two commands agree: checkpoint, its metadata, tables, JSON."""
    run = tiny_data / "run"
    code, out, _ = command(training.train.main, "--epochs", 5, "--run", run, "--seed", 7)
    assert code == 0
    assert "test accuracy" in out
    _, metadata = load_checkpoint(run / "vgg16_w4a4.safetensors")
    assert metadata["seed"] == "7"
    assert metadata["command"] == f"python -m training.train --epochs 5 --run {run} --seed 7"
    result = json.loads((tiny_data / "training.train.json").read_text())
    assert result == json.loads((run / "result.json").read_text())
    assert set(result) == {
        "accuracy",
        "images",
        "preset",
        "network",
        "bits",
        "activation_bits",
        "squeeze",
        "epochs",
        "settings",
        "seed",
        "seconds",
        "teacher_seconds",
        "checkpoint",
    }
    assert (result["images"], result["network"]) == ("test", "squeezed-4bit")
    assert f"{result['accuracy']:.4f}" == metadata["accuracy"]

    monkeypatch.setattr(training.evaluate, "load_cifar10", training.train.load_cifar10)
    code, out, _ = command(training.evaluate.main, "--model", run / "vgg16_w4a4.safetensors")
    assert code == 0
    assert f"{result['accuracy']:.2%}" in out
    result = json.loads((tiny_data / "training.evaluate.json").read_text())
    assert result["images"] == 256
    assert f"{result['accuracy']:.4f}" == metadata["accuracy"]
    assert {"accuracy_integer_layer", "predictions_differing"} < set(result)


@pytest.mark.verify
@pytest.mark.parametrize("network", [name for name in NETWORKS if name != "squeezed-4bit"])
def test_networks_to_compare(network, tiny_data, command, monkeypatch):
    """The same code trains the other networks, and with --hold-out saves no checkpoint.

    The widths are those of the network.
    """
    monkeypatch.setattr(training.train, "hold_out", lambda images: (images, images.first(32)))
    run = tiny_data / "run"
    words = ("--epochs", 5, "--network", network, "--hold-out", "--run", run)
    assert command(training.train.main, *words)[0] == 0
    result = json.loads((run / "result.json").read_text())
    assert (result["network"], result["images"], result["checkpoint"]) == (
        network,
        "held out",
        None,
    )
    assert not list(run.glob("vgg*"))
    with (run / "log.csv").open() as file:
        quantised = [row["quantised"] for row in csv.DictReader(file)]
    assert ("1" in quantised) == network.endswith("bit")
    state = load_file(run / "state.safetensors")
    squeezed = {"squeezed-2bit": 16, "squeezed-float": 8}
    channels = squeezed.get(network, 512)
    assert state["model.features.27.weight"].shape[:2] == (channels, channels)
    assert result["squeeze"] == squeezed.get(network)
    assert result["activation_bits"] == (2 if network == "squeezed-2bit" else 4)


def test_interrupting_the_command(tiny_data, command, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(training.train, "save_state", interrupt)
    with tiny.narrow():
        code, _, err = command(training.train.main, "--epochs", 5, "--run", tiny_data / "run")
    assert (code, err) == (130, "interrupted\n")  # nothing to resume from yet


@pytest.mark.verify
def test_a_training_that_diverges_stops_and_keeps_the_state_before(tiny_data, command, monkeypatch):
    """Of the shares 30 %, 60 %, 35 %, 10 % only the last is less than half of the best."""
    shares = iter((0.3, 0.6, 0.35, 0.1))
    monkeypatch.setattr(training.train, "run_epoch", lambda *_: (2.3, next(shares)))
    run = tiny_data / "run"
    code, out, _ = command(training.train.main, "--epochs", 5, "--run", run)
    assert code == 1
    assert "FAILED: epoch 4 has 10.00% of the training images right, epoch 2 had 60.00%" in out
    _, metadata = read_sealed(run / "state.safetensors")
    assert len(json.loads(metadata["rows"])) == 3
    assert not (run / "result.json").exists()


def test_integer_layer_predicts_the_same(shipped, images):
    """With an integer layer the network predicts the same, unless a code lies at an edge."""
    fake = predict(shipped, images.images)
    integer = predict(with_integer_layer(shipped), images.images)
    if (fake != integer).any():
        assert edge_distance(shipped, images.images) < 1e-4
    assert (fake == images.labels).float().mean() > 0.8


def test_evaluation_fails_on_differences_that_no_edge_explains(tiny_data, command, monkeypatch):
    """Evaluation fails where predictions differ and no code does, or a code far from an edge."""
    predictions = [torch.arange(32) % 10, (torch.arange(32) + 1) % 10]
    for distance in (None, 0.2):
        answers = iter(predictions)
        monkeypatch.setattr(training.evaluate, "predict", lambda *a, answers=answers: next(answers))
        monkeypatch.setattr(training.evaluate, "edge_distance", lambda *a, d=distance: d)
        code, out, _ = command(training.evaluate.main)
        assert code == 1
        assert "FAILED" in out


def test_evaluation_fails_if_the_checkpoint_states_another_accuracy(
    tiny_data, command, monkeypatch
):
    monkeypatch.setattr(training.evaluate, "TEST_IMAGES", 32)
    code, out, _ = command(training.evaluate.main)  # on random images
    assert code == 1
    assert f"FAILED: {SHIPPED}: the accuracy is " in out
    assert "± 0.20%, as the checkpoint states" in out
