"""A mistake about the data or the device gets one line, exit code 2, and leaves nothing behind."""

import pytest
import torch

import training.evaluate
import training.train


@pytest.mark.parametrize("main", [training.evaluate.main, training.train.main])
def test_data_folder_missing(refused, main, tmp_path):
    refused(main, "--data", tmp_path / "none", words=["data_batch_1: not found", "CIFAR10_ROOT"])


@pytest.mark.parametrize("main", [training.evaluate.main, training.train.main])
def test_data_file_damaged(refused, main, tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"not a pickle")
    monkeypatch.chdir(tmp_path)
    refused(main, "--data", tmp_path, words=["data_batch_1: damaged", "MD5"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cifar-10-batches-py"]


def test_data_absent_and_no_network(refused, tmp_path, monkeypatch):
    def no_network(*arguments, **options):
        raise OSError("no network")

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIFAR10_ROOT", raising=False)
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", no_network)
    refused(training.evaluate.main, words=["build/data", "put the Python version", "no network"])


def test_too_few_epochs(refused):
    refused(training.train.main, "--epochs", "4", words=["--epochs is 4", "5 or more"])


def test_device(refused, monkeypatch):
    monkeypatch.setattr(training.train, "load_cifar10", lambda *a, **k: None)
    refused(
        training.train.main, "--device", "tpu", words=["--device is 'tpu'", "auto, cpu or cuda"]
    )
    if not torch.cuda.is_available():
        refused(training.train.main, "--device", "cuda", words=["no CUDA device"])
