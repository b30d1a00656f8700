"""A teacher's file gives back what was written, and its student learns the same as in one run."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

import training.train
from pymodel.checkpoint import SHIPPED
from pymodel.support.checksummed_tensors import read_sealed, write_sealed
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from training.airbench import Airbench
from training.evaluate import accuracy
from training.recipe import TEACHER, Recipe
from training.teacher import load_teacher, save_teacher, teacher_metadata
from training.tests import tiny

SHIPPED_TEACHER = ROOT / "training" / "shipped" / "teacher.safetensors"
RECIPE = replace(tiny.RECIPE, architecture="airbench", quantised_share=0.0)
METADATA = teacher_metadata(RECIPE, 3, 0.5, "test", 60.0)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Returns an untrained network and its file."""
    torch.manual_seed(0)
    model = Airbench().eval()
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_teacher(model, path, METADATA)
    return model, path


def test_what_is_read_is_what_was_written(teacher):
    """What is read equals what was written, to the precision of bf16, the dtype of the file."""
    written, path = teacher
    read, metadata = load_teacher(path, held_out=False)
    assert not read.training
    assert not any(p.requires_grad for p in read.parameters())
    state = read.state_dict()
    for name, first in written.state_dict().items():
        second = state[name]
        assert second.dtype == first.dtype
        tolerance = 2**-8 if first.ndim > 1 else 0
        torch.testing.assert_close(second, first, rtol=tolerance, atol=0, msg=name)
    assert (metadata["accuracy"], metadata["seconds"]) == ("0.5000", "60.0")


def test_the_shipped_teacher_is_of_the_recipe_and_classifies(images):
    """The shipped teacher has the accuracy on all test images that training/README.md states."""
    model, metadata = load_teacher(SHIPPED_TEACHER, held_out=False)
    expected = json.loads(json.dumps(TEACHER.as_dict()))
    recipe = json.loads(metadata["recipe"])
    # The file is older than different bits of weights and activations, and than other
    # hyperparameters, which have their defaults.
    assert recipe.pop("bits") == expected["weight_bits"] == expected["activation_bits"]
    assert Recipe().as_dict() | recipe == expected
    assert accuracy(model, images) >= 0.92
    stated = (ROOT / "training" / "README.md").read_text()
    assert f"it classifies {float(metadata['accuracy']):.2%}" in " ".join(stated.split())


def test_files_that_are_no_teacher_are_refused(teacher, tmp_path):
    tensors, metadata = read_sealed(teacher[1])

    def refused(words, path=tmp_path / "bad.safetensors", held_out=False, **changes):
        if changes:
            write_sealed(changes.pop("tensors", tensors), metadata | changes, path)
        with pytest.raises(InputError, match=words) as error:
            load_teacher(path, held_out=held_out)
        assert str(path) in str(error.value)

    refused("not found")
    refused("format is 'systolic-cosim checkpoint 1', expected", SHIPPED)
    without_seed = tmp_path / "without seed"
    write_sealed(tensors, {key: v for key, v in metadata.items() if key != "seed"}, without_seed)
    refused("metadata has no 'seed', expected format, recipe, seed,", without_seed)
    refused("has seen the held-out images", teacher[1], held_out=True)
    refused("not as training.train writes it", recipe="{}")
    refused("not as training.train writes it", seconds="long")
    other = json.dumps({"architecture": "vgg16"})
    refused("architecture is 'vgg16', expected 'airbench'", recipe=other)
    refused(
        "other tensors than a network 'airbench' has",
        tensors={"classifier.weight": torch.zeros(10, 512)},
    )
    refused("NaN", tensors=tensors | {"bias": torch.full((24,), torch.nan)})


@pytest.mark.verify
def test_a_student_of_the_file_is_the_student_of_the_run(command, refused, tmp_path, monkeypatch):
    """A run trains its teacher and saves it; another starts from the file and ends the same."""
    torch.set_num_threads(1)
    images = tiny.tiny_set()
    monkeypatch.setattr(training.train, "load_cifar10", lambda *arguments, **options: images)
    monkeypatch.setattr(training.train, "RESULTS_FILE", tmp_path / "train.json")
    monkeypatch.setattr(training.train, "compiler_works", lambda device: False)
    monkeypatch.setattr(training.train, "CALIBRATION_IMAGES", 16)
    monkeypatch.setattr(training.train, "teacher_of", lambda recipe: RECIPE)
    words = [
        "--epochs",
        5,
        "--set",
        "distil=0.9",
        "--set",
        "batch_size=16",
        "--set",
        "cutmix=1",
        "--set",
        "sizes=[[0, 16]]",
    ]
    first, second = tmp_path / "first", tmp_path / "second"
    file = first / "teacher" / "teacher.safetensors"
    main = training.train.main
    assert command(main, *words, "--run", first)[0] == 0
    code, out, _ = command(main, *words, "--run", second, "--teacher", file)
    assert code == 0
    assert "teacher.safetensors, classifies" in out
    assert not (second / "teacher").exists()
    assert read_sealed(file)[0]["whitening"].any()  # whitening is set from the training images
    states = [load_file(run / "state.safetensors") for run in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    results = [json.loads((run / "result.json").read_text()) for run in (first, second)]
    assert results[0]["teacher_seconds"] == results[1]["teacher_seconds"] > 0

    save_teacher(Airbench(), tmp_path / "other", METADATA)
    other = ("--teacher", tmp_path / "other")
    refused(main, *words, "--run", first, "--resume", *other, words=["teacher is", "expected"])
    refused(main, "--epochs", 5, *other, words=["--teacher", "distil is 0"])
