"""Trains VGG16 on CIFAR-10: float first, quantisation-aware for the last third of one schedule.

    python -m training.train --data FOLDER --preset quick   # or: CIFAR10_ROOT=FOLDER make train
    python -m training.train --data FOLDER --resume         # go on after Ctrl-C
    python -m training.train --data FOLDER --network full-float --hold-out --run build/full-float
    torchrun --nproc-per-node 2 -m training.train --data FOLDER

An epoch depends only on the seed, on its number and on the state after the epoch before. The state
is saved after each epoch, or at most every 30 s if epochs are shorter. So a run that was
interrupted and resumed ends in the same weights as a run that was not.
"""

import argparse
import csv
import json
import os
import shlex
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tabulate import tabulate
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from pymodel.checkpoint import save_checkpoint
from pymodel.images import ImageSet, normalise
from pymodel.lsq_quantiser import Quantiser, compiler_works, initialise_scales, set_quantising
from pymodel.support.checksummed_tensors import read_sealed, tensor_digest, write_sealed
from pymodel.support.command import CommandParser, conclude, quiet, run_command, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT, replacing, write_json
from pymodel.support.result_files import write_results
from pymodel.vgg import VGG16
from training.airbench import WHITENING_IMAGES, Airbench
from training.data import hold_out, load_cifar10
from training.evaluate import accuracy
from training.recipe import LIMITS, NETWORKS, PRESETS, SHIPPABLE, Recipe, changed, teacher_of
from training.recycle import recycle
from training.teacher import load_teacher, save_teacher, teacher_metadata
from training.training_step import DeviceImages, Place, Step, cutmix_box, make_optimisers

CSV_COLUMNS = (
    "epoch",
    "size",
    "quantised",
    "lr",
    "train_loss",
    "train_accuracy",
    "test_accuracy_1000",
    "seconds",
)
RESULTS_FILE = RESULTS / "train.json"
# Number of test (or held-out) images that are classified after each epoch, for the log. No choice
# depends on the result.
PROGRESS_IMAGES = 1000
# Before the last epoch, a state is saved only if the last one was saved this long ago.
SAVE_SECONDS = 30
# Number of training images that initialise the activation scales, and that show which channels of
# the squeezed layer are dead.
CALIBRATION_IMAGES = 512

# A training has diverged if its accuracy on the training images falls below this part of the best
# accuracy of an earlier epoch. At a change of phase the accuracy falls far less.
DIVERGED = 0.5
LEARNED = 0.5  # smallest best accuracy that counts; below it, a fall shows nothing


class DivergedError(Exception):
    """Says in one line that a training lost what it had learned."""


@contextmanager
def setup(device: str, *, compiled: bool = True):
    """Chooses the device (auto, cpu or cuda), joins torchrun's processes, and yields the `Place`.

    `compiled` permits torch.compile for the quantisers. Raises InputError for a device that is
    unknown or that this machine lacks.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device is '{device}', expected auto, cpu or cuda")
    cuda = torch.cuda.is_available() if device == "auto" else device == "cuda"
    if cuda and not torch.cuda.is_available():
        raise InputError("--device is cuda, but this machine has no CUDA device; expected cpu")
    world = int(os.environ.get("WORLD_SIZE", 1))
    rank = int(os.environ.get("RANK", 0))
    chosen = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if cuda else "cpu")
    if cuda:
        torch.cuda.set_device(chosen)
    torch.set_flush_denormal(True)
    torch.backends.cudnn.deterministic = True
    if world > 1:
        distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Place(chosen, rank, world, compiled and compiler_works(chosen))
    finally:
        if world > 1:
            distributed.destroy_process_group()


def build(recipe: Recipe) -> nn.Module:
    """Returns the untrained network of a recipe, on the CPU."""
    if recipe.architecture == "airbench":
        return Airbench()
    return VGG16(
        weight_bits=recipe.weight_bits,
        activation_bits=recipe.activation_bits,
        squeeze=recipe.squeeze if recipe.architecture == "vgg16-squeezed" else None,
    )


def place_model(model: nn.Module, place: Place) -> nn.Module:
    """Moves `model` to the device of `place`, in the memory format that is fastest there."""
    for module in model.modules():
        if isinstance(module, Quantiser):
            module.compiled = place.compiled
    return model.to(place.device, memory_format=torch.channels_last)


def train(
    train_set: ImageSet,
    evaluation_set: ImageSet,
    recipe: Recipe,
    run: Path,
    seed: int,
    place: Place,
    *,
    resume: bool = False,
    teacher: nn.Module | None = None,
) -> tuple[nn.Module, list[dict]]:
    """Trains a network by `recipe`, from `seed`, or with `resume` from the state in folder `run`.

    Returns the model, in evaluation mode and the ordinary memory format, and the rows of the log.
    `teacher` is in evaluation mode on the same device; a recipe whose `distil` is above 0 needs a
    teacher. After each epoch, the first images of `evaluation_set` are classified for the log.

    After each epoch, `run` holds `log.csv`, and `state.safetensors` of that epoch or of an epoch
    that ended at most SAVE_SECONDS earlier; in the first SAVE_SECONDS there may be no state. Raises
    DivergedError in an epoch that diverged, and does not save the state of that epoch. Raises
    InputError if the state to resume from is missing, damaged, or of another recipe, teacher, seed
    or number of processes; and without `resume` if `run` holds a state already.
    """
    model = initial_model(recipe, train_set, seed, place)
    optimisers = make_optimisers(model, recipe, place)
    state, log = state_of(run), run / "log.csv"
    identity = run_identity(recipe, seed, place, teacher)
    rows = []
    if resume:
        rows = restore(state, model, optimisers, identity)
        if place.rank == 0:
            write_log(log, rows)
    elif state.exists():
        raise InputError(
            f"{state}: holds the state of an earlier run, expected no file; go on with --resume, "
            "or remove the file"
        )

    steps = len(train_set) // recipe.batch_size
    train_images = DeviceImages(train_set, place.device)
    phase, step = None, None
    saved = time.monotonic()
    with progress_bar(recipe, steps, len(rows), place) as bar:
        for epoch in range(len(rows), recipe.epochs):
            began = time.monotonic()
            prepare_scales(model, recipe, train_images, epoch)
            if recipe.recycles(epoch):
                recycle_dead_channels(model, train_images, seed, place)
                # A new Step makes all processes go on from the weights of the first process.
                phase = None
            if phase != Phase.of(recipe, epoch):
                phase = Phase.of(recipe, epoch)
                wrapped = DistributedDataParallel(model) if place.world > 1 else model
                teaching = teacher if phase.taught else None
                step = Step(wrapped, optimisers, train_images, recipe, place, phase.size, teaching)
            bar.set_description(f"epoch {epoch + 1}/{recipe.epochs}")
            loss, correct = run_epoch(step, epoch, steps, seed, bar)
            if place.rank == 0:
                progress = accuracy(model, evaluation_set.first(PROGRESS_IMAGES))
                lr = float(optimisers[0].param_groups[0]["lr"])
                seconds = time.monotonic() - began
                row = (epoch + 1, phase.size, int(phase.quantised), lr, loss, correct, progress)
                rows.append(dict(zip(CSV_COLUMNS, (*row, seconds), strict=True)))
                refuse_diverged(rows)
                if epoch + 1 == recipe.epochs or time.monotonic() - saved >= SAVE_SECONDS:
                    save_state(state, model, optimisers, rows, identity)
                    saved = time.monotonic()
                write_log(log, rows)
                tell_epoch(rows[-1])
    return model.to(memory_format=torch.contiguous_format).eval(), rows


@dataclass(frozen=True)
class Phase:
    """The settings for which a Step is built; successive epochs of one phase share the Step."""

    size: int  # image side, pixels
    quantised: bool  # whether the quantisers work
    taught: bool  # whether a teacher teaches

    @classmethod
    def of(cls, recipe: Recipe, epoch: int) -> "Phase":
        """Returns the phase of an epoch, which counts from 0."""
        return cls(recipe.size(epoch), recipe.quantised(epoch), recipe.taught(epoch))


def initial_model(recipe: Recipe, train_set: ImageSet, seed: int, place: Place) -> nn.Module:
    """Returns the network with which a run from `seed` begins, on the device, quantisers off."""
    torch.manual_seed(seed)
    model = build(recipe)
    if isinstance(model, Airbench):
        model.whiten(normalise(train_set.images[:WHITENING_IMAGES]))
    place_model(model, place)
    set_quantising(model, False)
    return model


def run_identity(
    recipe: Recipe, seed: int, place: Place, teacher: nn.Module | None
) -> dict[str, str]:
    """Returns the metadata that a state must have if this run is to go on from that state.

    The metadata are the recipe, the seed, the number of processes, and the SHA-256 of the teacher.
    """
    identity = {
        "recipe": json.dumps(recipe.as_dict()),
        "seed": str(seed),
        "processes": str(place.world),
    }
    if teacher is not None:
        identity["teacher"] = tensor_digest(
            {n: t.cpu() for n, t in teacher.state_dict().items()}, {}
        )
    return identity


def progress_bar(recipe: Recipe, steps: int, done: int, place: Place) -> tqdm:
    """Returns the bar of a run with `steps` steps in each epoch, after `done` epochs.

    A step on small images counts as a part of a step on whole images: the part of the pixels.
    """
    costs = [recipe.size(epoch) ** 2 / 32**2 * steps for epoch in range(recipe.epochs)]
    return tqdm(
        total=sum(costs),
        initial=sum(costs[:done]),
        unit="step",
        disable=True if place.rank or quiet() else None,
        bar_format="{l_bar}{bar}| {elapsed}, about {remaining} left",
    )


def prepare_scales(
    model: nn.Module, recipe: Recipe, train_images: DeviceImages, epoch: int
) -> None:
    """Turns the quantisers on or off for an epoch; initialises scales before their first use."""
    quantised = recipe.quantised(epoch)
    if quantised and not recipe.quantised(epoch - 1):
        initialise_scales(model, normalise(train_images.images[:CALIBRATION_IMAGES]))
    set_quantising(model, quantised)


def recycle_dead_channels(
    model: nn.Module, train_images: DeviceImages, seed: int, place: Place
) -> None:
    """Gives the dead channels of the squeezed layer fresh weights, and prints their numbers."""
    dead = recycle(model, train_images.images[:CALIBRATION_IMAGES], seed)
    if dead and place.rank == 0:
        with tqdm.external_write_mode():
            tell(f"dead channels of features.27 get fresh weights: {', '.join(map(str, dead))}")


def tell_epoch(row: dict) -> None:
    """Prints a line of the log above the bar."""
    with tqdm.external_write_mode():
        tell(
            f"epoch {row['epoch']:3}  {row['size']} px  "
            f"{'4-bit' if row['quantised'] else 'float'}  lr {row['lr']:.4f}  "
            f"loss {row['train_loss']:.3f}  train {row['train_accuracy']:.2%}  "
            f"evaluation {row['test_accuracy_1000']:.2%}  {row['seconds']:.0f} s"
        )
    sys.stdout.flush()


def taught_by(
    given: Path | None,
    folder: Path,
    train_set: ImageSet,
    evaluation_set: ImageSet,
    recipe: Recipe,
    seed: int,
    place: Place,
    *,
    held_out: bool,
    resume: bool,
) -> tuple[nn.Module, float]:
    """Returns the teacher, on the device of `place`, and the seconds of its training.

    The teacher is read from the file `given`. If `given` is None, the teacher is trained by
    `recipe` in `folder`, unless `resume` finds its file there. It is then read from its file as
    well, so that a student that is resumed later has the same teacher. `held_out` says that
    `evaluation_set` holds the held-out images. Raises InputError if the file cannot be used.
    """
    path = given or folder / "teacher.safetensors"
    if not given and not (resume and path.exists()):
        if place.rank == 0:
            tell(f"First the teacher, {recipe.architecture}:")
        resume = resume and state_of(folder).exists()
        model, rows = train(train_set, evaluation_set, recipe, folder, seed, place, resume=resume)
        if place.rank == 0:
            share = accuracy(model, evaluation_set)
            seconds = sum(row["seconds"] for row in rows)
            images = "held out" if held_out else "test"
            save_teacher(model, path, teacher_metadata(recipe, seed, share, images, seconds))
        if place.world > 1:
            distributed.barrier()
    teacher, metadata = load_teacher(path, held_out=held_out)
    if place.rank == 0:
        right = f"{float(metadata['accuracy']):.2%} of the {metadata['images']} images correctly"
        tell(f"The teacher, {os.path.relpath(path)}, classifies {right}.")
    return place_model(teacher, place), float(metadata["seconds"])


def refuse_diverged(rows: list[dict]) -> None:
    """Raises DivergedError if the last epoch classified far fewer images correctly than another."""
    *before, last = rows
    best = max(before, key=lambda row: row["train_accuracy"], default=last)
    if best["train_accuracy"] >= LEARNED and not (
        last["train_accuracy"] >= DIVERGED * best["train_accuracy"]
    ):
        raise DivergedError(
            f"epoch {last['epoch']} has {last['train_accuracy']:.2%} of the training images right, "
            f"epoch {best['epoch']} had {best['train_accuracy']:.2%}; the training has diverged, "
            "try lower learning rates (--set)"
        )


def run_epoch(step: Step, epoch: int, steps: int, seed: int, bar: tqdm) -> tuple[float, float]:
    """Trains for one pass over the training set, in `steps` steps; `epoch` counts from 0.

    Returns the mean cross-entropy and the accuracy (0..1) of this process's share of the images.
    """
    step.model.train()
    recipe, place, train_images = step.recipe, step.place, step.train_images
    count = len(train_images.images)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(count, generator=generator).to(place.device)
    shifts = torch.randint(-recipe.shift, recipe.shift + 1, (count, 2), generator=generator)
    train_images.shifts.copy_(shifts)
    # Alternating flip: random in the first epoch, then the other way in each following one.
    first = torch.rand(count, generator=torch.Generator().manual_seed(seed)) < 0.5
    train_images.flips.copy_(first ^ bool(epoch % 2))
    draws = torch.rand(steps, 4, generator=generator).tolist()
    step.losses.zero_()
    step.hits.zero_()
    for number in range(steps):
        batch = order[number * recipe.batch_size : (number + 1) * recipe.batch_size]
        box = cutmix_box(len(step.box), draws[number], recipe.cutmix)
        lr = recipe.lr(epoch * steps + number, recipe.epochs * steps)
        step(batch[place.rank :: place.world], box, lr)
        bar.update(step.size**2 / 32**2)
    return step.losses.item() / steps, step.hits.item() / steps


def save_state(path: Path, model, optimisers, rows: list[dict], identity: dict[str, str]) -> None:
    """Writes weights, momentum and the log so far: all that the next epoch depends on.

    Raises InputError if `path` cannot be written.
    """
    tensors = {f"model.{n}": t for n, t in model.state_dict().items()}
    momentum = {p: s for o in optimisers for p, s in o.state.items()}
    for name, parameter in model.named_parameters():
        if "momentum_buffer" in momentum.get(parameter, {}):
            tensors[f"momentum.{name}"] = momentum[parameter]["momentum_buffer"]
    tensors = {n: t.detach().cpu().contiguous() for n, t in tensors.items()}
    write_sealed(tensors, {**identity, "rows": json.dumps(rows)}, path)


def restore(path: Path, model, optimisers, identity: dict[str, str]) -> list[dict]:
    """Loads what `save_state` wrote into `model` and `optimisers`; returns the rows of the log.

    Raises InputError if the file is missing or damaged, or if the state belongs to another run.
    """
    tensors, metadata = read_sealed(path)
    for key, value in identity.items():
        if metadata.get(key) != value:
            raise InputError(f"{path}: {key} is {metadata.get(key)}, expected {value}")
    model.load_state_dict(
        {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
    )
    names = {parameter: name for name, parameter in model.named_parameters()}
    for optimiser in optimisers:
        for parameter in (p for group in optimiser.param_groups for p in group["params"]):
            if (momentum := tensors.get(f"momentum.{names[parameter]}")) is not None:
                buffer = torch.empty_like(parameter, requires_grad=False).copy_(momentum)
                optimiser.state[parameter]["momentum_buffer"] = buffer
    return json.loads(metadata["rows"])


def write_log(path: Path, rows: list[dict]) -> None:
    """Writes the log as a CSV file, with a line for each epoch."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, CSV_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def main() -> int:
    """Runs the command, and returns its exit code. Raises InputError for a mistake of the user."""
    arguments = parse_arguments()
    recipe = chosen_recipe(arguments)
    check_arguments(arguments, recipe)
    train_set, evaluation_set = image_sets(arguments)
    with setup(arguments.device) as place:
        check_writable(arguments)
        try:
            teacher, teacher_seconds = teacher_for(
                arguments, recipe, train_set, evaluation_set, place
            )
            model, rows = train(
                train_set,
                evaluation_set,
                recipe,
                arguments.run,
                arguments.seed,
                place,
                resume=arguments.resume and state_of(arguments.run).exists(),
                teacher=teacher,
            )
        except DivergedError as reason:
            return conclude(f"FAILED: {reason}", passed=False)
        except KeyboardInterrupt:
            if can_resume(arguments):
                print("The finished epochs are kept; go on with --resume.", file=sys.stderr)
            raise
        if place.rank == 0:
            model = model.cpu()  # load_checkpoint puts the model on the CPU too
            share = accuracy(model, evaluation_set)
            if shippable(arguments):
                metadata = checkpoint_metadata(share, arguments.seed, recipe, place)
                save_checkpoint(model, output_of(arguments), metadata)
            seconds = sum(row["seconds"] for row in rows)
            report_result(run_result(arguments, recipe, share, seconds, teacher_seconds), arguments)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = CommandParser("training.train", __doc__)
    parser.add_argument(
        "--data", help="folder that holds cifar-10-batches-py; default $CIFAR10_ROOT"
    )
    parser.add_argument(
        "--run", type=Path, default=ROOT / "build" / "train", help="folder of state, log and result"
    )
    parser.add_argument(
        "--output", type=Path, help="checkpoint to write; default RUN/vgg16_wWaA.safetensors"
    )
    parser.add_argument(
        "--preset", default="quick", help=f"recipe: {', '.join(PRESETS)}; default quick"
    )
    parser.add_argument("--epochs", type=int, help="number of epochs; default: the preset's")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="another value of a hyperparameter of training/recipe.py, to try it",
    )
    parser.add_argument("--network", default="squeezed-4bit", help=f"one of {', '.join(NETWORKS)}")
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="FILE",
        help="float network that an earlier run trained, RUN/teacher/teacher.safetensors",
    )
    parser.add_argument(
        "--hold-out",
        action="store_true",
        help="train without the last 5,000 training images, and judge by them, not by the test set",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the training; default 0")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--resume", action="store_true", help="go on from the last epoch in RUN")
    return parser.parse_args()


def shippable(arguments: argparse.Namespace) -> bool:
    """Returns whether the run ends in a checkpoint that may be shipped.

    It must train a network that is squeezed and quantised on the whole training set, without --set
    of anything but bits and squeeze.
    """
    widths = ("weight_bits=", "activation_bits=", "squeeze=")
    others = [one for one in arguments.settings if not one.startswith(widths)]
    trial = arguments.hold_out or others
    return arguments.network in SHIPPABLE and not trial


def output_of(arguments: argparse.Namespace) -> Path:
    """Returns the path of the checkpoint."""
    recipe = chosen_recipe(arguments)
    name = f"vgg16_w{recipe.weight_bits}a{recipe.activation_bits}.safetensors"
    return arguments.output or arguments.run / name


def state_of(run: Path) -> Path:
    """Returns the path of the state that the run in a folder saves."""
    return run / "state.safetensors"


def teacher_folder(arguments: argparse.Namespace) -> Path:
    """Returns the folder of the run that trains the teacher."""
    return arguments.run / "teacher"


def can_resume(arguments: argparse.Namespace) -> bool:
    """Returns whether the run or its teacher has saved a state."""
    return state_of(arguments.run).exists() or state_of(teacher_folder(arguments)).exists()


def check_arguments(arguments: argparse.Namespace, recipe: Recipe) -> None:
    """Raises InputError for the first option that does not fit the others or lacks its file."""
    if arguments.output and not shippable(arguments):
        raise InputError(
            f"--output is {arguments.output}, expected none, because a checkpoint is saved only of "
            f"{' or '.join(SHIPPABLE)} without --hold-out and without --set of anything but bits "
            "and squeeze"
        )
    if arguments.resume and not can_resume(arguments):
        raise InputError(
            f"{state_of(arguments.run)}: not found, expected the state of a run to resume"
        )
    if arguments.teacher:
        if not recipe.distil:
            raise InputError(
                f"--teacher is {arguments.teacher}, expected none, because the recipe has no "
                "teacher: its distil is 0"
            )
        # A bad file is refused here, before the data set is read.
        load_teacher(arguments.teacher, held_out=arguments.hold_out)
    if not 0 <= arguments.seed < 2**31:
        raise InputError(f"--seed is {arguments.seed}, expected 0 to {2**31 - 1}")


def image_sets(arguments: argparse.Namespace) -> tuple[ImageSet, ImageSet]:
    """Returns the training images, and the evaluation images: held-out images or the test set."""
    train_set = load_cifar10(arguments.data, train=True)
    if arguments.hold_out:
        return hold_out(train_set)
    return train_set, load_cifar10(arguments.data, train=False)


def check_writable(arguments: argparse.Namespace) -> None:
    """Makes the folders of the run, before hours of training.

    Raises InputError if a folder cannot be written to, or if the checkpoint's path is a folder.
    """
    output = output_of(arguments)
    for folder in (arguments.run, output.parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise InputError(f"{folder}: cannot be written to ({error.strerror})") from None
    if output.is_dir():
        raise InputError(f"{output}: is a folder, expected a file name for the checkpoint")


def teacher_for(
    arguments: argparse.Namespace,
    recipe: Recipe,
    train_set: ImageSet,
    evaluation_set: ImageSet,
    place: Place,
) -> tuple[nn.Module | None, float]:
    """Returns the teacher and the seconds of its training; None and 0 if `recipe` has none."""
    if not (teaching := teacher_of(recipe)):
        return None, 0.0
    return taught_by(
        arguments.teacher,
        teacher_folder(arguments),
        train_set,
        evaluation_set,
        teaching,
        arguments.seed,
        place,
        held_out=arguments.hold_out,
        resume=arguments.resume,
    )


def run_result(
    arguments: argparse.Namespace,
    recipe: Recipe,
    share: float,
    seconds: float,
    teacher_seconds: float,
) -> dict:
    """Returns the results of a run for JSON; `share` is its accuracy on the evaluation images."""
    return {
        "accuracy": share,
        "images": "held out" if arguments.hold_out else "test",
        "preset": arguments.preset,
        "network": arguments.network,
        "bits": recipe.weight_bits,
        "activation_bits": recipe.activation_bits,
        "squeeze": recipe.squeeze if recipe.architecture == "vgg16-squeezed" else None,
        "epochs": recipe.epochs,
        "settings": arguments.settings,
        "seed": arguments.seed,
        "seconds": seconds,
        "teacher_seconds": teacher_seconds,
        "checkpoint": os.path.relpath(output_of(arguments)) if shippable(arguments) else None,
    }


def report_result(result: dict, arguments: argparse.Namespace) -> None:
    """Writes the results, in the run's folder too, and prints them as a table."""
    write_results(RESULTS_FILE, result, passed=True, about={})
    write_json(arguments.run / "result.json", result)
    images = "held-out" if arguments.hold_out else "test"
    rows = [
        [f"{images} accuracy", f"{result['accuracy']:.2%}"],
        ["preset", result["preset"]],
        ["network", result["network"]],
        ["bits", f"weights {result['bits']}, activations {result['activation_bits']}"],
        ["squeezed channels", result["squeeze"] or "none"],
        ["epochs", result["epochs"]],
        ["seed", result["seed"]],
        ["checkpoint", result["checkpoint"] or "none"],
    ]
    tell(tabulate(rows, tablefmt="simple", disable_numparse=True))
    conclude(f"Results: {os.path.relpath(RESULTS_FILE)}")


def chosen_recipe(arguments: argparse.Namespace) -> Recipe:
    """Returns the recipe that the options choose.

    Raises InputError for an unknown network or preset, and for hyperparameters that cannot work.
    """
    if arguments.network not in NETWORKS:
        raise InputError(f"--network is '{arguments.network}', expected {', '.join(NETWORKS)}")
    if arguments.preset not in PRESETS:
        raise InputError(f"--preset is '{arguments.preset}', expected {', '.join(PRESETS)}")
    recipe = replace(PRESETS[arguments.preset], **NETWORKS[arguments.network])
    if arguments.epochs is not None:
        works, expected = LIMITS["epochs"]
        if not works(arguments.epochs):
            raise InputError(f"--epochs is {arguments.epochs}, expected {expected}")
        recipe = replace(recipe, epochs=arguments.epochs)
    return changed(recipe, arguments.settings)


def command_words(given: list[str]) -> list[str]:
    """Returns the words of the command line without `--resume` and where the data set lies.

    A checkpoint goes to other machines, on which that folder means nothing.

    >>> command_words(["--data", "/home/me/cifar", "--epochs", "9", "--resume", "--data=x"])
    ['--epochs', '9']
    """
    words, previous = [], ""
    for word in given:
        if "--data" not in (word, previous) and not word.startswith("--data="):
            words += [word] if word != "--resume" else []
        previous = word
    return words


def checkpoint_metadata(share: float, seed: int, recipe: Recipe, place: Place) -> dict[str, str]:
    """Returns the metadata of a checkpoint: accuracy `share` (0..1), seed, command and recipe."""
    program = "python" if place.world == 1 else f"torchrun --nproc-per-node {place.world}"
    words = shlex.join(command_words(sys.argv[1:]))
    return {
        "accuracy": f"{share:.4f}",
        "seed": str(seed),
        "command": f"{program} -m training.train {words}".strip(),
        "recipe": json.dumps(recipe.as_dict()),
    }


if __name__ == "__main__":
    run_command(main)
