"""Loads CIFAR-10 (Krizhevsky, 2009) by torchvision, and augments whole batches of bytes."""

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from pymodel.images import ImageSet, load_images
from pymodel.support.command import tell
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT

try:
    import torchvision
except RuntimeError:
    # The wheels of torchvision are compiled against CUDA builds of torch. Beside a CPU build its
    # operators do not load, and its import fails where it gives fake kernels to operators that do
    # not exist. Data sets need none of the operators, so declaring their schemas is enough.
    for _name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[_name]
    _library = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401

from torchvision.datasets import CIFAR10  # needs the import above
from torchvision.datasets.utils import check_integrity

ROOT_VARIABLE = "CIFAR10_ROOT"


def load_cifar10(root: str | None, *, train: bool) -> ImageSet:
    """Returns the 50,000 training or 10,000 test images in `root`, or else in $CIFAR10_ROOT.

    If the folder (default `build/data`) does not hold the data set, the data set is downloaded into
    it. Every file is checked against torchvision's MD5 before it is read. Raises InputError, which
    names the first missing or damaged file, and if the download fails.
    """
    folder = Path(root or os.environ.get(ROOT_VARIABLE) or ROOT / "build" / "data").expanduser()
    if not (folder / CIFAR10.base_folder).exists():
        _download(folder)
    problem = _problem(folder)
    if problem:
        raise InputError(f"{problem}; {_what_to_do(folder)}")
    return _read(CIFAR10(folder, train=train))


def hold_out(images: ImageSet, count: int = 5000) -> tuple[ImageSet, ImageSet]:
    """Returns all but the last `count` images, and the last `count` images.

    Recipes are chosen by these last images of the training set, and not by the test set.
    """
    return images.part(slice(None, -count)), images.part(slice(-count, None))


def load_test_images(root: str | None) -> ImageSet:
    """Returns the 10,000 test images if they are on this machine, or else the shipped 100.

    Their folder is `root`, or else $CIFAR10_ROOT, or else `build/data`. Nothing is downloaded.
    Raises InputError if the folder is given by `root` or $CIFAR10_ROOT and does not hold the
    images, and if a file is damaged.
    """
    given = root or os.environ.get(ROOT_VARIABLE)
    if given or (ROOT / "build" / "data" / CIFAR10.base_folder).exists():
        folder = Path(given or ROOT / "build" / "data").expanduser()
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
            CIFAR10(temporary, download=True)
            (Path(temporary) / CIFAR10.base_folder).rename(folder / CIFAR10.base_folder)
    except (OSError, RuntimeError) as error:
        for path in made:
            with suppress(OSError):
                path.rmdir()
        raise InputError(
            f"{folder / CIFAR10.base_folder}: not found, and the download failed ({error}); "
            f"{_what_to_do(folder)}"
        ) from None


def _problem(folder: Path) -> str | None:
    """Returns a message about the first file that is missing or damaged, or None if none is."""
    files = [
        *CIFAR10.train_list,
        *CIFAR10.test_list,
        (CIFAR10.meta["filename"], CIFAR10.meta["md5"]),
    ]
    for name, md5 in files:
        path = folder / CIFAR10.base_folder / name
        if not path.is_file():
            return f"{path}: not found"
        if not check_integrity(path, md5):
            return f"{path}: damaged, its MD5 is not {md5}"
    return None


def _what_to_do(folder: Path) -> str:
    """Returns the end of a message, which says how to put the data set into `folder`."""
    return (
        f"put the Python version of CIFAR-10 into {folder} as {CIFAR10.base_folder}, "
        f"or name its parent folder with --data or ${ROOT_VARIABLE}"
    )


def _read(dataset: CIFAR10) -> ImageSet:
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
