"""Every hyperparameter of the training, and the schedules that follow from them."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace

from pymodel.support.errors import InputError

# What is trained, and the model that `build` in training/train.py makes of it.
ARCHITECTURES = ("vgg16-squeezed", "vgg16", "airbench")


@dataclass(frozen=True)
class Recipe:
    """One training run. The defaults are those of `--preset quick`."""

    epochs: int = 12  # passes over the training set
    batch_size: int = 256  # images a step, over all processes
    peak_lr: float = 0.2  # learning rate of SGD at the peak of the triangle
    muon_lr: float = 0.05  # that of Muon, for the convolutions; 0: they too are trained by SGD
    scale_lr: float = 0.2  # SGD's for the quantisers' scales
    warmup: float = 0.2  # share of the steps in which the learning rate rises from 0
    momentum: float = 0.9  # Nesterov
    weight_decay: float = 5e-4  # of weights under SGD; not of BatchNorm, scales, bias
    label_smoothing: float = 0.1
    shift: int = 2  # pixels, random, in both directions
    cutmix: float = 0.0  # share of the steps in which a box of each image is another's
    # The float phase comes first; the quantisers work in this last share of the epochs. 0: never.
    quantised_share: float = 1 / 3
    # (share of the epochs from which it holds, image side in pixels): small images cost
    # a quarter (16) and 56 % (24) of full ones, and the coarse features are learned from them.
    sizes: tuple[tuple[float, int], ...] = ((0.0, 16), (0.6, 24), (0.9, 32))
    distil: float = 0.0  # the teacher's share of the loss; 0: no teacher
    # It teaches in this last share of the epochs: on small images it would be as slow as its pupil.
    taught_share: float = 1.0
    # After this share of the epochs dead channels of the squeezed layer start anew. 1: never.
    recycle: float = 1.0
    temperature: float = 4.0  # of the teacher's and the student's classes
    bits: int = 4  # weights and activations
    architecture: str = "vgg16-squeezed"

    def lr(self, step: int, steps: int) -> float:
        """Triangular learning rate of step `step` of `steps`: 0 → peak → 0."""
        position = (step + 1) / (steps + 1)
        return self.peak_lr * min(position / self.warmup, (1 - position) / (1 - self.warmup))

    def size(self, epoch: int) -> int:
        """Image side in epoch `epoch` (from 0)."""
        return [side for share, side in self.sizes if epoch >= int(share * self.epochs + 1e-9)][-1]

    def quantised(self, epoch: int) -> bool:
        """Whether the quantisers work in epoch `epoch` (from 0)."""
        return epoch >= round(self.epochs * (1 - self.quantised_share))

    def taught(self, epoch: int) -> bool:
        """Whether the teacher teaches in epoch `epoch` (from 0)."""
        return self.distil > 0 and epoch >= round(self.epochs * (1 - self.taught_share))

    def recycles(self, epoch: int) -> bool:
        """Whether dead channels start anew before epoch `epoch` (from 0)."""
        return epoch == int(self.recycle * self.epochs + 1e-9)

    def as_dict(self) -> dict:
        """For metadata: plain numbers and lists."""
        return asdict(self)


def changed(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """`recipe` with other hyperparameters, "peak_lr=0.2" each, values as in JSON.

    InputError for a name that is none of the recipe's, a value of another kind than its own, or one
    that cannot work.

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
                f"--set {name}: found '{text}', expected such as {json.dumps(present)}"
            ) from None
        works, expected = LIMITS.get(name, (lambda value: True, ""))
        if not works(values[name]):
            raise InputError(f"--set {name}: found '{text}', expected {expected}")
    return replace(recipe, **values)


def _rising(sizes: tuple[tuple[float, int], ...]) -> bool:
    """Whether these sides hold from the first epoch on, one after another, for images up to 32."""
    shares = [share for share, _ in sizes]
    return (
        shares[:1] == [0.0]
        and shares == sorted(set(shares))
        and shares[-1] < 1
        and all(16 <= side <= 32 for _, side in sizes)
    )


# What a hyperparameter has to be: NaN is none of it.
LIMITS = {
    "epochs": (lambda n: n >= 5, "5 or more, one for each phase of the recipe"),
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
    "taught_share": (lambda share: 0 < share <= 1, "a share above 0, to 1"),
    "recycle": (lambda share: 0 <= share <= 1, "a share, 0 to 1"),
    "temperature": (lambda t: 0 < t < math.inf, "a number above 0"),
    "bits": (lambda bits: 2 <= bits <= 8, "2 to 8"),
    "architecture": (lambda name: name in ARCHITECTURES, " or ".join(ARCHITECTURES)),
}


def _like(present, value):
    """`value`, read from JSON, as a hyperparameter of the kind of `present`; or TypeError."""
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

# The float network that teaches, where a recipe has a `distil`.
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
    """How the teacher of a recipe is trained, for no more epochs than its pupil; None without."""
    return replace(TEACHER, epochs=min(TEACHER.epochs, recipe.epochs)) if recipe.distil else None


# What the squeezed 4-bit network is compared with: the same recipe but for these.
NETWORKS: dict[str, dict] = {
    "squeezed-4bit": {},
    "squeezed-float": {"quantised_share": 0.0},
    "full-4bit": {"architecture": "vgg16"},
    "full-float": {"quantised_share": 0.0, "architecture": "vgg16"},
}
