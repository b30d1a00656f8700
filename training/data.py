"""Loads CIFAR-10 (Krizhevsky, 2009) by torchvision, and augments whole batches of bytes."""

import os
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from pymodel.images import ImageSet, load_images
from pymodel.support.command import tell
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT

ROOT_VARIABLE = "CIFAR10_ROOT"
FOLDER = "cifar-10-batches-py"  # folder of the data set's files, as torchvision names it
# The declarations last only as long as these objects are held
LIBRARIES: list[torch.library.Library] = []


@cache
def import_torchvision() -> ModuleType:
    """Returns `torchvision`, which is imported where a data set is read: that takes seconds."""
    try:
        import torchvision
    except RuntimeError:
        # The wheels of torchvision are compiled against CUDA builds of torch. Beside a CPU build
        # its operators do not load, and its import fails where it gives fake kernels to operators
        # that do not exist. Data sets need none of the operators, so declaring their schemas is
        # enough.
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        LIBRARIES.append(library)
        for name in ("nms", "qnms"):
            schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define(schema)
        import torchvision
    return torchvision


def load_cifar10(root: str | None, *, train: bool) -> ImageSet:
    """Returns the 50,000 training or 10,000 test images in `root`, or else in $CIFAR10_ROOT.

    If the folder (default `build/data`) does not hold the data set, the data set is downloaded into
    it. Every file is checked against torchvision's MD5 before it is read. Raises InputError, which
    names the first missing or damaged file, and if the download fails.
    """
    folder = Path(root or os.environ.get(ROOT_VARIABLE) or ROOT / "build" / "data").expanduser()
    if not (folder / FOLDER).exists():
        _download(folder)
    problem = _problem(folder)
    if problem:
        raise InputError(f"{problem}; {_what_to_do(folder)}")
    return _read(import_torchvision().datasets.CIFAR10(folder, train=train))


def hold_out(images: ImageSet, count: int = 5000) -> tuple[ImageSet, ImageSet]:
    """Returns all but the last `count` images, and the last `count` images.

    Recipes are chosen by these last images of the training set, and not by the test set.
    """
    return images.part(slice(None, -count)), images.part(slice(-count, None))


def folder_at_hand(root: str | None) -> Path | None:
    """Returns the folder of the data set on this machine: `root`, $CIFAR10_ROOT, or `build/data`.

    Returns None if neither of the first two is given and the last does not hold the data set.
    """
    given, own = root or os.environ.get(ROOT_VARIABLE), ROOT / "build" / "data"
    if given:
        return Path(given).expanduser()
    return own if (own / FOLDER).exists() else None


def load_test_images(root: str | None) -> ImageSet:
    """Returns the 10,000 test images if they are on this machine, or else the shipped 100.

    Their folder is `root`, or else $CIFAR10_ROOT, or else `build/data`. Nothing is downloaded.
    Raises InputError if the folder is given by `root` or $CIFAR10_ROOT and does not hold the
    images, and if a file is damaged.
    """
    if folder := folder_at_hand(root):
        if problem := _problem(folder):
            raise InputError(f"{problem}; {_what_to_do(folder)}")
        return load_cifar10(str(folder), train=False)
    tell(
        "The 10,000 test images are not at hand, so the shipped 100 are used; "
        f"name their folder with DATA= or ${ROOT_VARIABLE}."
    )
    return load_images()


def _download(folder: Path) -> None:
    """Downloads the data set, which appears in `folder` only when it is whole."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            import_torchvision().datasets.CIFAR10(temporary, download=True)
            (Path(temporary) / FOLDER).rename(folder / FOLDER)
    except (OSError, RuntimeError) as error:
        for path in made:
            with suppress(OSError):
                path.rmdir()
        raise InputError(
            f"{folder / FOLDER}: not found, and the download failed ({error}); "
            f"{_what_to_do(folder)}"
        ) from None


def _problem(folder: Path) -> str | None:
    """Returns a message about the first file that is missing or damaged, or None if none is."""
    datasets = import_torchvision().datasets
    data_set, check_integrity = datasets.CIFAR10, datasets.utils.check_integrity
    meta = (data_set.meta["filename"], data_set.meta["md5"])
    files = [*data_set.train_list, *data_set.test_list, meta]
    for name, md5 in files:
        path = folder / FOLDER / name
        if not path.is_file():
            return f"{path}: not found"
        if not check_integrity(path, md5):
            return f"{path}: damaged, its MD5 is not {md5}"
    return None


def _what_to_do(folder: Path) -> str:
    """Returns the end of a message, which says how to put the data set into `folder`."""
    return (
        f"put the Python version of CIFAR-10 into {folder} as {FOLDER}, "
        f"or name its parent folder with --data or ${ROOT_VARIABLE}"
    )


def _read(dataset: Dataset) -> ImageSet:
    """Returns all images of a torchvision data set, with labels and indices."""
    images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous()
    return ImageSet(images, torch.tensor(dataset.targets), torch.arange(len(images)))


def augment(images: Tensor, flip: Tensor, shift: Tensor) -> Tensor:
    """Returns a batch of images, each flipped (left and right) or not, and shifted.

    images: uint8 [N, 3, H, H]; flip: bool [N]; shift: int64 [N, 2], rows and columns in pixels.
    Reflection fills the edge. The result is float32 of the shape of `images`, in 0..255.
    """
    full = images.shape[-1]
    line = torch.arange(full, device=images.device)
    rows = _reflect(line + shift[:, :1], full)
    columns = torch.where(flip[:, None], full - 1 - line, line) + shift[:, 1:]
    columns = _reflect(columns, full)
    batch = torch.arange(len(images), device=images.device)[:, None, None, None]
    channel = torch.arange(3, device=images.device)[None, :, None, None]
    return images[batch, channel, rows[:, None, :, None], columns[:, None, None, :]].float()


def shrink(images: Tensor, size: int) -> Tensor:
    """Returns images, float [N, 3, H, H], shrunk and smoothed to [N, 3, size, size]."""
    if size == images.shape[-1]:
        return images
    return functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True)


def _reflect(index: Tensor, size: int) -> Tensor:
    """Returns `index` with values outside 0..size−1 mirrored inside, without the edge twice."""
    return (size - 1) - (size - 1 - index.abs()).abs()
