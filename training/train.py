"""Trains VGG16 on CIFAR-10: float first, quantisation-aware for the last third of one schedule.

    python -m training.train --data FOLDER --preset quick   # or: CIFAR10_ROOT=FOLDER make train
    python -m training.train --data FOLDER --resume         # go on after Ctrl-C
    python -m training.train --data FOLDER --network full-float --hold-out --run build/full-float
    torchrun --nproc-per-node 2 -m training.train --data FOLDER

Each epoch depends on nothing but the seed, its number and the state that the epoch before left, and
that state is saved after it (after short epochs, twice a minute). So a run that was interrupted and
resumed ends in the same weights as one that was not.
"""

import csv
import json
import os
import shlex
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from tabulate import tabulate
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from pymodel.checkpoint import save_checkpoint
from pymodel.images import ImageSet, normalise
from pymodel.quantiser import Quantiser, compiler_works, initialise_scales, set_quantising
from pymodel.support.command import CommandParser, conclude, quiet, run_command, tell
from pymodel.support.errors import InputError
from pymodel.support.files import RESULTS, ROOT, replacing, write_json
from pymodel.support.sealed import read_sealed, tensor_digest, write_sealed
from pymodel.vgg import VGG16
from training.airbench import WHITENING_IMAGES, Airbench
from training.data import hold_out, load_cifar10
from training.evaluate import accuracy
from training.recipe import LIMITS, NETWORKS, PRESETS, Recipe, changed, teacher_of
from training.recycle import recycle
from training.step import Place, Pool, Step, cutmix_box, make_optimisers
from training.teacher import load_teacher, save_teacher, teacher_metadata

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
# Test (or held-out) images evaluated after each epoch, to watch; nothing is chosen by it.
PROGRESS_IMAGES = 1000
SAVE_SECONDS = 30  # a state younger than this is not written anew, but for the last epoch's
CALIBRATION_IMAGES = 512  # training images that initialise the activation scales, find the dead

# A training whose share of right training images falls below this part of the best epoch's before
# has diverged. A change of phase costs far less.
DIVERGED = 0.5
LEARNED = 0.5  # a best epoch below this share says nothing


class DivergedError(Exception):
    """A training that lost what it had learned. The message is one line."""


@contextmanager
def setup(device: str, *, compiled: bool = True):
    """Choose the device (auto, cpu or cuda), and join the other processes under torchrun.

    Raises InputError for a device that is unknown or not there.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device is '{device}', expected auto, cpu or cuda")
    cuda = torch.cuda.is_available() if device == "auto" else device == "cuda"
    if cuda and not torch.cuda.is_available():
        raise InputError("--device is cuda, but this machine has no CUDA device")
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
    """The untrained network of a recipe, on the CPU."""
    if recipe.architecture == "airbench":
        return Airbench()
    return VGG16(recipe.bits, squeezed=recipe.architecture == "vgg16-squeezed")


def place_model(model: nn.Module, place: Place) -> nn.Module:
    """`model` on the device of `place` and in the memory format that its convolutions prefer."""
    for module in model.modules():
        if isinstance(module, Quantiser):
            module.compiled = place.compiled
    return model.to(place.device, memory_format=torch.channels_last)


def train(
    train_set: ImageSet,
    judged: ImageSet,
    recipe: Recipe,
    run: Path,
    seed: int,
    place: Place,
    *,
    resume: bool = False,
    teacher: nn.Module | None = None,
) -> tuple[nn.Module, list[dict]]:
    """Train from `seed`, or from the state in folder `run` if `resume`; watch some of `judged`.

    Returns the model, in evaluation mode and the ordinary memory format, and the rows of the log.
    `teacher`: in evaluation mode on the same device, if the recipe has a `distil`.

    After each epoch, `run` holds `log.csv`, and `state.safetensors` of it or of one at most
    SAVE_SECONDS older. Raises DivergedError in the epoch that diverged, and does not save its
    state. Raises InputError if the state to resume from is missing, damaged, or of another recipe,
    teacher, seed or number of processes; or if, without `resume`, a run is there already.
    """
    torch.manual_seed(seed)
    model = build(recipe)
    if isinstance(model, Airbench):
        model.whiten(normalise(train_set.images[:WHITENING_IMAGES]))
    place_model(model, place)
    set_quantising(model, False)
    optimisers = make_optimisers(model, recipe, place)

    identity = {
        "recipe": json.dumps(recipe.as_dict()),
        "seed": str(seed),
        "processes": str(place.world),
    }
    if teacher is not None:
        identity["teacher"] = tensor_digest(
            {n: t.cpu() for n, t in teacher.state_dict().items()}, {}
        )
    state = run / "state.safetensors"
    log = run / "log.csv"
    rows = []
    if resume:
        rows = restore(state, model, optimisers, identity)
        if place.rank == 0:
            write_log(log, rows)
    elif state.exists():
        raise InputError(f"{state}: a run is there already; go on with --resume, or remove it")

    steps = len(train_set) // recipe.batch_size
    pool = Pool(train_set, place.device)
    costs = [recipe.size(e) ** 2 / 32**2 * steps for e in range(recipe.epochs)]
    bar = tqdm(
        total=sum(costs),
        initial=sum(costs[: len(rows)]),
        unit="step",
        disable=True if place.rank or quiet() else None,
        bar_format="{l_bar}{bar}| {elapsed}, about {remaining} left",
    )
    phase, step = None, None
    saved = time.monotonic()
    for epoch in range(len(rows), recipe.epochs):
        began = time.monotonic()
        quantised = recipe.quantised(epoch)
        if quantised and not recipe.quantised(epoch - 1):
            initialise_scales(model, normalise(pool.images[:CALIBRATION_IMAGES]))
        set_quantising(model, quantised)
        if recipe.recycles(epoch):
            dead = recycle(model, pool.images[:CALIBRATION_IMAGES], seed)
            phase = None  # a new Step: all processes go on from the weights of the first
            if dead and place.rank == 0:
                with tqdm.external_write_mode():
                    tell(f"dead channels of features.27 start anew: {', '.join(map(str, dead))}")
        size, taught = recipe.size(epoch), recipe.taught(epoch)
        if phase != (phase := (size, quantised, taught)):
            wrapped = DistributedDataParallel(model) if place.world > 1 else model
            teaching = teacher if taught else None
            step = Step(wrapped, optimisers, pool, recipe, place, size, teaching)
        bar.set_description(f"epoch {epoch + 1}/{recipe.epochs}")
        loss, correct = run_epoch(step, epoch, steps, seed, bar)
        if place.rank == 0:
            progress = accuracy(model, judged.first(PROGRESS_IMAGES))
            lr = float(optimisers[0].param_groups[0]["lr"])
            seconds = time.monotonic() - began
            row = (epoch + 1, size, int(quantised), lr, loss, correct, progress)
            rows.append(dict(zip(CSV_COLUMNS, (*row, seconds), strict=True)))
            refuse_diverged(rows)
            if epoch + 1 == recipe.epochs or time.monotonic() - saved >= SAVE_SECONDS:
                save_state(state, model, optimisers, rows, identity)
                saved = time.monotonic()
            write_log(log, rows)
            with tqdm.external_write_mode():
                tell(
                    f"epoch {epoch + 1:3}  {size} px  "
                    f"{'4-bit' if quantised else 'float'}  lr {lr:.4f}  loss {loss:.3f}  "
                    f"train {correct:.2%}  test[:1000] {progress:.2%}  {seconds:.0f} s"
                )
            sys.stdout.flush()
    bar.close()
    return model.to(memory_format=torch.contiguous_format).eval(), rows


def taught_by(
    given: Path | None,
    folder: Path,
    train_set: ImageSet,
    judged: ImageSet,
    recipe: Recipe,
    seed: int,
    place: Place,
    *,
    held_out: bool,
    resume: bool,
) -> tuple[nn.Module, float]:
    """The teacher, placed, and the seconds of its training.

    It is that of file `given`, or is trained by `recipe` in `folder` and read from the file that it
    is saved in, so that a pupil that goes on later has the same.
    """
    path = given or folder / "teacher.safetensors"
    if not given and not (resume and path.exists()):
        if place.rank == 0:
            tell(f"First the teacher, {recipe.architecture}:")
        state = folder / "state.safetensors"
        model, rows = train(
            train_set, judged, recipe, folder, seed, place, resume=resume and state.exists()
        )
        if place.rank == 0:
            share = accuracy(model, judged)
            seconds = sum(row["seconds"] for row in rows)
            images = "held out" if held_out else "test"
            save_teacher(model, path, teacher_metadata(recipe, seed, share, images, seconds))
        if place.world > 1:
            distributed.barrier()
    teacher, metadata = load_teacher(path, held_out=held_out)
    if place.rank == 0:
        share = f"{float(metadata['accuracy']):.2%} of the {metadata['images']} images"
        tell(f"The teacher, {os.path.relpath(path)}, classifies {share}.")
    return place_model(teacher, place), float(metadata["seconds"])


def refuse_diverged(rows: list[dict]) -> None:
    """DivergedError if the last epoch of the log forgot what an earlier one knew."""
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
    """One pass over the training set; mean cross-entropy and accuracy of this process's share."""
    step.model.train()
    recipe, place, pool = step.recipe, step.place, step.pool
    count = len(pool.images)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(count, generator=generator).to(place.device)
    shifts = torch.randint(-recipe.shift, recipe.shift + 1, (count, 2), generator=generator)
    pool.shifts.copy_(shifts)
    # Alternating flip: random in the first epoch, then the other way in each following one.
    first = torch.rand(count, generator=torch.Generator().manual_seed(seed)) < 0.5
    pool.flips.copy_(first ^ bool(epoch % 2))
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
    """Weights, momentum and the log so far; all that the next epoch depends on."""
    tensors = {f"model.{n}": t for n, t in model.state_dict().items()}
    momentum = {p: s for o in optimisers for p, s in o.state.items()}
    for name, parameter in model.named_parameters():
        if "momentum_buffer" in momentum.get(parameter, {}):
            tensors[f"momentum.{name}"] = momentum[parameter]["momentum_buffer"]
    tensors = {n: t.detach().cpu().contiguous() for n, t in tensors.items()}
    write_sealed(tensors, {**identity, "rows": json.dumps(rows)}, path)


def restore(path: Path, model, optimisers, identity: dict[str, str]) -> list[dict]:
    """Load what `save_state` saved; the log's rows. InputError if it is of another run."""
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
    """A line per epoch."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, CSV_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def main() -> int:
    parser = CommandParser("training.train", __doc__)
    parser.add_argument(
        "--data", help="folder that holds cifar-10-batches-py; default $CIFAR10_ROOT"
    )
    parser.add_argument(
        "--run", type=Path, default=ROOT / "build" / "train", help="folder of state, log and result"
    )
    parser.add_argument(
        "--output", type=Path, help="checkpoint to write; default RUN/vgg16_w4a4.safetensors"
    )
    parser.add_argument(
        "--preset", default="quick", help=f"recipe: {', '.join(PRESETS)}; default quick"
    )
    parser.add_argument("--epochs", type=int, help="instead of the preset's")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="another value of a hyperparameter of training/recipe.py, to try it",
    )
    parser.add_argument(
        "--network", default="squeezed-4bit", help=f"{', '.join(NETWORKS)}; the others to compare"
    )
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
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--resume", action="store_true", help="go on from the last epoch in RUN")
    arguments = parser.parse_args()
    recipe = chosen_recipe(arguments)
    trial = arguments.hold_out or arguments.settings
    shippable = arguments.network == "squeezed-4bit" and not trial
    if arguments.output and not shippable:
        raise InputError("--output: only squeezed-4bit without --hold-out and --set is saved")
    output = arguments.output or arguments.run / "vgg16_w4a4.safetensors"

    state = arguments.run / "state.safetensors"
    taught = arguments.run / "teacher"
    if arguments.resume and not state.exists() and not (taught / state.name).exists():
        raise InputError(f"{state}: not found; there is nothing to resume")
    if arguments.teacher:
        if not recipe.distil:
            raise InputError("--teacher: the recipe learns from none, its distil is 0")
        load_teacher(arguments.teacher, held_out=arguments.hold_out)  # now, not after the data
    if not 0 <= arguments.seed < 2**31:
        raise InputError(f"--seed is {arguments.seed}, expected 0 to {2**31 - 1}")
    train_set = load_cifar10(arguments.data, train=True)
    if arguments.hold_out:
        train_set, judged = hold_out(train_set)
    else:
        judged = load_cifar10(arguments.data, train=False)
    with setup(arguments.device) as place:
        for folder in (arguments.run, output.parent):
            try:  # now, rather than after hours
                folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=folder).close()
            except OSError as error:
                raise InputError(f"{folder}: cannot be written to ({error.strerror})") from None
        if output.is_dir():
            raise InputError(f"{output}: is a folder, expected a file name for the checkpoint")
        try:
            teacher, teacher_seconds = None, 0.0
            if teaching := teacher_of(recipe):
                teacher, teacher_seconds = taught_by(
                    arguments.teacher,
                    taught,
                    train_set,
                    judged,
                    teaching,
                    arguments.seed,
                    place,
                    held_out=arguments.hold_out,
                    resume=arguments.resume,
                )
            model, rows = train(
                train_set,
                judged,
                recipe,
                arguments.run,
                arguments.seed,
                place,
                resume=arguments.resume and state.exists(),
                teacher=teacher,
            )
        except DivergedError as reason:
            return conclude(f"FAILED: {reason}", passed=False)
        except KeyboardInterrupt:
            if state.exists() or (taught / state.name).exists():
                print("The finished epochs are kept; go on with --resume.", file=sys.stderr)
            raise
        if place.rank == 0:
            # As a checkpoint is loaded: on the CPU.
            model = model.cpu()
            share = accuracy(model, judged)
            if shippable:
                save_checkpoint(
                    model, output, checkpoint_metadata(share, arguments.seed, recipe, place)
                )
            result = {
                "accuracy": share,
                "images": "held out" if arguments.hold_out else "test",
                "preset": arguments.preset,
                "network": arguments.network,
                "epochs": recipe.epochs,
                "settings": arguments.settings,
                "seed": arguments.seed,
                "seconds": sum(row["seconds"] for row in rows),
                "teacher_seconds": teacher_seconds,
                "checkpoint": os.path.relpath(output) if shippable else None,
            }
            write_json(RESULTS_FILE, result)
            write_json(arguments.run / "result.json", result)
            images = "held-out" if arguments.hold_out else "test"
            tell(
                tabulate(
                    [
                        [f"{images} accuracy", f"{share:.2%}"],
                        ["preset", arguments.preset],
                        ["network", arguments.network],
                        ["epochs", recipe.epochs],
                        ["seed", arguments.seed],
                        ["checkpoint", result["checkpoint"] or "none"],
                    ],
                    tablefmt="simple",
                    disable_numparse=True,
                )
            )
            conclude(f"Results: {os.path.relpath(RESULTS_FILE)}")
    return 0


def chosen_recipe(arguments) -> Recipe:
    """The recipe that the options name; InputError for one that is unknown or cannot work."""
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


def checkpoint_metadata(share: float, seed: int, recipe: Recipe, place: Place) -> dict[str, str]:
    """What a checkpoint says of its training."""
    program = "python" if place.world == 1 else f"torchrun --nproc-per-node {place.world}"
    words = shlex.join(a for a in sys.argv[1:] if a != "--resume")
    return {
        "accuracy": f"{share:.4f}",
        "seed": str(seed),
        "command": f"{program} -m training.train {words}".strip(),
        "recipe": json.dumps(recipe.as_dict()),
    }


if __name__ == "__main__":
    run_command(main)
