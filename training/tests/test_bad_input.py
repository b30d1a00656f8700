"""A mistake about the data or the device gets one line, exit code 2, and leaves nothing behind."""

import pytest
import torch

import training.evaluate
import training.train
from training.data import import_torchvision


@pytest.fixture
def no_network(monkeypatch):
    def fail(*arguments, **options):
        raise OSError("no network")

    cifar = import_torchvision().datasets.cifar
    monkeypatch.setattr(cifar, "download_and_extract_archive", fail)


@pytest.mark.parametrize("main", [training.evaluate.main, training.train.main])
def test_data_missing_and_no_network(refused, main, tmp_path, no_network):
    folder = tmp_path / "some" / "where"
    refused(
        main,
        "--data",
        folder,
        words=["cifar-10-batches-py: not found", "no network", f"into {folder}", "CIFAR10_ROOT"],
    )
    assert not list(tmp_path.iterdir())


def test_data_file_missing(refused, tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    refused(training.evaluate.main, "--data", tmp_path, words=["data_batch_1: not found", "--data"])


@pytest.mark.parametrize("main", [training.evaluate.main, training.train.main])
def test_data_file_damaged(refused, main, tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"not a pickle")
    monkeypatch.chdir(tmp_path)
    refused(main, "--data", tmp_path, words=["data_batch_1: damaged", "MD5"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cifar-10-batches-py"]


def test_too_few_epochs(refused):
    refused(training.train.main, "--epochs", "4", words=["--epochs is 4", "5 or more"])


def test_unknown_names(refused, tmp_path):
    main = training.train.main
    refused(main, "--network", "vgg", words=["--network is 'vgg'", "squeezed-4bit"])
    refused(main, "--hold-out", "--output", tmp_path / "x", words=["--output", "squeezed-4bit"])
    refused(main, "--set", "shift=1", "--output", tmp_path / "x", words=["--output", "--set"])
    refused(main, "--network", "full-4bit", "--output", tmp_path / "x", words=["--output"])


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("rate=1", ["'rate'", "peak_lr"]),
        ("peak_lr=fast", ["--set peak_lr", "'fast'", "0.2"]),
        ("peak_lr", ["--set peak_lr", "''"]),
        ("peak_lr=true", ["'true'"]),
        ("shift=1.5", ["'1.5'", "2"]),
        ("sizes=[16, 32]", ["'[16, 32]'", "[[0.0, 16]"]),
        ("epochs=4", ["'4'", "5 or more"]),
        ("batch_size=0", ["'0'", "1 to 10000"]),
        ("peak_lr=0", ["'0'", "above 0"]),
        ("peak_lr=NaN", ["'NaN'", "above 0"]),
        ("peak_lr=Infinity", ["'Infinity'", "above 0"]),
        ("warmup=0", ["'0'", "between 0 and 1"]),
        ("momentum=0", ["'0'", "between 0 and 1"]),
        ("weight_decay=-1e-4", ["'-1e-4'", "0 or more"]),
        ("label_smoothing=1", ["'1'", "below 1"]),
        ("shift=32", ["'32'", "0 to 31"]),
        ("quantised_share=1.1", ["'1.1'", "0 to 1"]),
        ("sizes=[]", ["'[]'", "from 0"]),
        ("sizes=[[0.5, 32]]", ["from 0"]),
        ("sizes=[[0, 16], [1, 32]]", ["rising shares"]),
        ("sizes=[[0, 33]]", ["16 to 32"]),
        ("weight_bits=1", ["'1'", "2 to 8"]),
        ("activation_bits=0", ["'0'", "1 to 8"]),
        ("squeeze=0", ["'0'", "1 to 512"]),
    ],
)
def test_hyperparameters(refused, setting, words):
    refused(training.train.main, "--set", setting, words=words)


def test_device(refused, monkeypatch):
    monkeypatch.setattr(training.train, "load_cifar10", lambda *a, **k: None)
    refused(
        training.train.main, "--device", "tpu", words=["--device is 'tpu'", "auto, cpu or cuda"]
    )
    if not torch.cuda.is_available():
        refused(training.train.main, "--device", "cuda", words=["no CUDA device"])
