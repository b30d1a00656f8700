"""Holds every hyperparameter of the training, and the schedules that follow from them."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace

from pymodel.support.errors import InputError
from pymodel.vgg import SQUEEZE, WIDEST

# The networks that can be trained; `build` in training/train.py makes the model of each.
ARCHITECTURES = ("vgg16-squeezed", "vgg16", "airbench")


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of one training run. The defaults are those of `--preset quick`."""

    epochs: int = 12  # passes over the training set
    batch_size: int = 256  # images per step, over all processes
    peak_lr: float = 0.2  # learning rate of SGD at the peak of the triangle
    muon_lr: float = 0.05  # peak learning rate of Muon, for the convolutions; 0: SGD trains them
    scale_lr: float = 0.2  # peak learning rate of SGD for the scales of the quantisers
    warmup: float = 0.2  # share of the steps in which the learning rate rises from 0
    momentum: float = 0.9  # Nesterov momentum of SGD and Muon
    weight_decay: float = 5e-4  # for weights under SGD; not for BatchNorm, scales, bias
    label_smoothing: float = 0.1  # share of the target that all classes share
    shift: int = 2  # largest random shift of an image in both directions, pixels
    cutmix: float = 0.0  # share of the steps in which a box of each image shows another image
    # The float phase comes first. The quantisers work in this last share of the epochs; with 0 they
    # never work.
    quantised_share: float = 1 / 3
    # Each pair is the share of the epochs from which a size holds, and the size: the image side in
    # pixels. A small image costs a quarter (16) or 56 % (24) of a full one, and is enough to learn
    # coarse features.
    sizes: tuple[tuple[float, int], ...] = ((0.0, 16), (0.6, 24), (0.9, 32))
    distil: float = 0.0  # share of the teacher in the loss; 0: no teacher
    # The teacher teaches in this last share of the epochs only, because a step on small images
    # would take twice as long with a teacher.
    taught_share: float = 1.0
    # After this share of the epochs dead channels of the squeezed layer get fresh weights;
    # with 1 they never do.
    recycle: float = 1.0
    temperature: float = 4.0  # divides the logits of teacher and student
    weight_bits: int = 4  # number of bits of a weight code
    activation_bits: int = 4  # number of bits of an activation code
    squeeze: int = SQUEEZE  # channels of the squeezed convolution; only of vgg16-squeezed
    architecture: str = "vgg16-squeezed"  # one of ARCHITECTURES

    def lr(self, step: int, steps: int) -> float:
        """Returns the learning rate of step `step` of `steps`, which goes 0 → peak → 0 linearly."""
        position = (step + 1) / (steps + 1)
        return self.peak_lr * min(position / self.warmup, (1 - position) / (1 - self.warmup))

    def size(self, epoch: int) -> int:
        """Returns the image side in epoch `epoch` (from 0), in pixels."""
        return [side for share, side in self.sizes if epoch >= int(share * self.epochs + 1e-9)][-1]

    def quantised(self, epoch: int) -> bool:
        """Returns whether the quantisers work in epoch `epoch` (from 0)."""
        return epoch >= round(self.epochs * (1 - self.quantised_share))

    def taught(self, epoch: int) -> bool:
        """Returns whether the teacher teaches in epoch `epoch` (from 0)."""
        return self.distil > 0 and epoch >= round(self.epochs * (1 - self.taught_share))

    def recycles(self, epoch: int) -> bool:
        """Returns whether dead channels get fresh weights before epoch `epoch` (from 0)."""
        return epoch == int(self.recycle * self.epochs + 1e-9)

    def as_dict(self) -> dict:
        """Returns the recipe as a dictionary of plain values, for metadata."""
        return asdict(self)


def changed(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """Returns `recipe` with other hyperparameters. A setting is "name=value", the value in JSON.

    Raises InputError for a name that the recipe does not have, a value of another kind than the
    present one, or a value that cannot work.

    >>> changed(Recipe(), ["epochs=9", "sizes=[[0, 16], [0.5, 32]]"]).size(8)
    32
    """
    values = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in asdict(recipe):
            names = ", ".join(field.name for field in fields(recipe))
            raise InputError(f"--set: no hyperparameter is called '{name}', expected {names}")
        present = getattr(recipe, name)
        try:
            values[name] = _like(present, json.loads(text))
        except (TypeError, ValueError):
            raise InputError(
                f"--set {name}: found '{text}', expected a value such as {json.dumps(present)}"
            ) from None
        works, expected = LIMITS.get(name, (lambda value: True, ""))
        if not works(values[name]):
            raise InputError(f"--set {name}: found '{text}', expected {expected}")
    return replace(recipe, **values)


def _rising(sizes: tuple[tuple[float, int], ...]) -> bool:
    """Returns whether the shares of `sizes` rise from 0 to below 1, and all sides are 16 to 32."""
    shares = [share for share, _ in sizes]
    return (
        shares[:1] == [0.0]
        and shares == sorted(set(shares))
        and shares[-1] < 1
        and all(16 <= side <= 32 for _, side in sizes)
    )


# For each hyperparameter, a function that returns whether a value can work, and the words that name
# such values in messages. None of the functions accepts NaN.
LIMITS = {
    "epochs": (lambda n: n >= 5, "5 or more"),
    "batch_size": (lambda n: 1 <= n <= 10_000, "1 to 10000"),
    "peak_lr": (lambda rate: 0 < rate < math.inf, "a number above 0"),
    "warmup": (lambda share: 0 < share < 1, "a share between 0 and 1"),
    "momentum": (lambda share: 0 < share < 1, "a share between 0 and 1"),
    "weight_decay": (lambda rate: 0 <= rate < math.inf, "0 or more"),
    "label_smoothing": (lambda share: 0 <= share < 1, "0 or more, below 1"),
    "shift": (lambda pixels: 0 <= pixels < 32, "0 to 31"),
    "quantised_share": (lambda share: 0 <= share <= 1, "a share, 0 to 1"),
    "sizes": (_rising, "rising shares from 0, and sides of 16 to 32"),
    "muon_lr": (lambda rate: 0 <= rate < math.inf, "0 or more"),
    "scale_lr": (lambda rate: 0 <= rate < math.inf, "0 or more"),
    "cutmix": (lambda share: 0 <= share <= 1, "a share, 0 to 1"),
    "distil": (lambda share: 0 <= share <= 1, "a share, 0 to 1"),
    "taught_share": (lambda share: 0 < share <= 1, "a share above 0, at most 1"),
    "recycle": (lambda share: 0 <= share <= 1, "a share, 0 to 1"),
    "temperature": (lambda t: 0 < t < math.inf, "a number above 0"),
    "weight_bits": (lambda bits: 2 <= bits <= 8, "2 to 8"),
    "activation_bits": (lambda bits: 1 <= bits <= 8, "1 to 8"),
    "squeeze": (lambda channels: 1 <= channels <= WIDEST, f"1 to {WIDEST}"),
    "architecture": (lambda name: name in ARCHITECTURES, " or ".join(ARCHITECTURES)),
}


def _like(present, value):
    """Returns `value`, read from JSON, as a hyperparameter of the kind of `present`.

    Raises TypeError or ValueError if `value` is of another kind.
    """
    if isinstance(present, tuple):
        return tuple((float(share), int(side)) for share, side in value)
    if isinstance(present, float) and type(value) is int:
        return float(value)
    if type(value) is not type(present):
        raise TypeError
    return value


PRESETS: dict[str, Recipe] = {
    "quick": Recipe(),
    "standard": Recipe(epochs=60, sizes=((0.0, 16), (0.5, 24), (0.8, 32))),
    "best": Recipe(
        epochs=130,
        muon_lr=0.02,
        scale_lr=0.02,
        shift=4,
        cutmix=0.5,
        sizes=((0.0, 16), (0.4, 24), (0.75, 32)),
        distil=0.9,
        taught_share=0.6,
        recycle=0.95,
    ),
}

# The recipe of the teacher of every recipe whose `distil` is above 0.
TEACHER = Recipe(
    epochs=60,
    muon_lr=0.025,
    label_smoothing=0.0,
    shift=4,
    cutmix=0.5,
    quantised_share=0.0,
    sizes=((0.0, 16), (0.3, 24), (0.6, 32)),
    architecture="airbench",
)


def teacher_of(recipe: Recipe) -> Recipe | None:
    """Returns the recipe of the teacher of `recipe`, or None if `recipe` has no teacher.

    The teacher is trained for no more epochs than the student.
    """
    return replace(TEACHER, epochs=min(TEACHER.epochs, recipe.epochs)) if recipe.distil else None


# The networks that are trained and compared, each with the hyperparameters in which its recipe
# differs from that of the squeezed 4-bit network. That of 2 bits has weights of 4 bits; three steps
# of an activation take longer to learn than fifteen.
NETWORKS: dict[str, dict] = {
    "squeezed-4bit": {},
    "squeezed-2bit": {"activation_bits": 2, "squeeze": 16, "quantised_share": 0.5},
    "squeezed-float": {"quantised_share": 0.0},
    "full-4bit": {"architecture": "vgg16"},
    "full-float": {"quantised_share": 0.0, "architecture": "vgg16"},
}
# Those that are saved as checkpoints
SHIPPABLE = ("squeezed-4bit", "squeezed-2bit")
