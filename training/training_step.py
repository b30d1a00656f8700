"""Does one step of the training: batch, augmentation, loss, update; on a GPU as a CUDA graph."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.images import ImageSet, normalise
from training.data import augment, shrink
from training.muon import Muon
from training.recipe import Recipe


@dataclass(frozen=True)
class Place:
    """A process that trains: number `rank` of `world` processes, with its device and numerics."""

    device: torch.device
    rank: int = 0
    world: int = 1
    compiled: bool = True  # whether torch.compile compiles the fake-quantisers

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the products: bfloat16 where that saves time, and otherwise float32.

        bfloat16 saves time on a GPU, and on a CPU that has instructions for its products; on such a
        CPU convolutions took half of the time.
        """
        capable = torch.cpu.get_capabilities()
        pays = capable.get("amx_bf16", False) or capable.get("avx512_bf16", False)
        return torch.bfloat16 if self.device.type == "cuda" or pays else torch.float32

    @property
    def recorded(self) -> bool:
        """Whether a step is a recorded CUDA graph, which saves launching its kernels one by one."""
        return self.device.type == "cuda" and self.world == 1

    def autocast(self) -> torch.autocast:
        """Returns the context in which products have `dtype`.

        The context has no cache, because a recorded step must not depend on a cache.
        """
        enabled = self.dtype is not torch.float32
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False
        )


def make_optimisers(model: nn.Module, recipe: Recipe, place: Place) -> list[torch.optim.Optimizer]:
    """Returns SGD with Nesterov momentum, and Muon for the kernels if the recipe has a `muon_lr`.

    The kernels are the weights of all convolutions but the first, which has 3 input channels.
    Weight decay applies to the weights under SGD. `lr_share` of a group is its learning rate
    divided by the `peak_lr` of the recipe.
    """
    kernels, weights, others, scales = [], [], [], []
    for name, parameter in model.named_parameters():
        if name.endswith(".scale"):
            scales.append(parameter)
        elif recipe.muon_lr and parameter.ndim == 4 and parameter.shape[1] > 3:
            kernels.append(parameter)
        else:
            (weights if parameter.ndim > 1 else others).append(parameter)
    # Scales are a group of their own: in the float phase they have no gradient and no momentum.
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others}]
    groups += [{"params": scales, "lr": recipe.scale_lr}] if scales else []
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.SGD(
            groups, lr=recipe.peak_lr, momentum=recipe.momentum, nesterov=True, fused=True
        )
    ]
    if kernels:
        optimisers.append(Muon(kernels, recipe.muon_lr, recipe.momentum, place.dtype))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr_share"] = group["lr"] / recipe.peak_lr
            if place.recorded:  # a recorded step reads its rate from the device
                group["lr"] = torch.tensor(group["lr"], device=place.device)
    return optimisers


class DeviceImages:
    """The training set on the device, with the flip and the shift of each image in this epoch.

    images: uint8 [N, 3, H, W]; labels: int64 [N]; flips: bool [N]; shifts: int64 [N, 2], rows and
    columns in pixels.
    """

    def __init__(self, train_set: ImageSet, device: torch.device):
        self.images = train_set.images.to(device)
        self.labels = train_set.labels.to(device)
        self.flips = torch.zeros(len(train_set), dtype=torch.bool, device=device)
        self.shifts = torch.zeros(len(train_set), 2, dtype=torch.int64, device=device)


class Step:
    """Trains on one batch per call, at one image size, quantised or float as the model is set.

    `hits` and `losses` add up the accuracy and the cross-entropy of each batch, on the device.
    """

    # Number of steps before the recording. They allocate momentum, compile and choose kernels.
    EAGER = 3

    def __init__(
        self,
        model: nn.Module,
        optimisers: list,
        train_images: DeviceImages,
        recipe: Recipe,
        place: Place,
        size: int,
        teacher: nn.Module | None,
    ):
        self.model, self.optimisers, self.teacher = model, optimisers, teacher
        self.train_images, self.recipe, self.place, self.size = train_images, recipe, place, size
        share = recipe.batch_size // place.world
        self.batch = torch.zeros(share, dtype=torch.int64, device=place.device)
        sides = train_images.images.shape[-2:]
        self.box = torch.zeros(sides, dtype=torch.bool, device=place.device)
        self.losses = torch.zeros((), device=place.device)
        self.hits = torch.zeros((), device=place.device)
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, batch: Tensor, box: tuple[slice, slice], lr: float) -> None:
        """Trains on the images whose indices are `batch`, int64 [batch_size // world].

        `lr` is the learning rate of SGD; other optimisers use their share of it. With CutMix, each
        image shows another image of the batch inside `box` (rows, columns).
        """
        self.batch.copy_(batch)
        if self.recipe.cutmix:
            self.box.zero_()
            self.box[box] = True
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(lr * group["lr_share"])
                else:
                    group["lr"] = lr * group["lr_share"]
        self.calls += 1
        if not self.place.recorded:
            self._compute()
        elif self.calls <= self.EAGER:
            # PyTorch requires that the steps before a recording run on another stream.
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self._compute()
            torch.cuda.current_stream().wait_stream(side)
        else:
            if self.graph is None:
                self.graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self.graph):
                    self._compute()
            self.graph.replay()

    def _compute(self) -> None:
        """Does one step with the present batch, box and learning rates."""
        recipe, of_epoch, at = self.recipe, self.train_images, self.batch
        labels = of_epoch.labels[at]
        images = augment(of_epoch.images[at], of_epoch.flips[at], of_epoch.shifts[at])
        if recipe.cutmix:
            images = torch.where(self.box, images.roll(1, 0), images)
        with self.place.autocast():
            logits = self.model(network_input(shrink(images, self.size))).float()
        cross_entropy = self._cross_entropy(logits, labels)
        loss = cross_entropy
        if self.teacher is not None:
            with torch.no_grad(), self.place.autocast():
                # The teacher has learned from full images, so the images for the teacher are not
                # shrunk.
                taught = self.teacher(network_input(images)).float()
            loss = torch.lerp(
                cross_entropy, distillation(logits, taught, recipe.temperature), recipe.distil
            )
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for optimiser in self.optimisers:
            optimiser.step()
        self.losses += cross_entropy.detach()
        self.hits += (logits.argmax(1) == labels).float().mean()

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Returns the mean cross-entropy; CutMix weighs both labels by their share of the image."""
        smoothing = self.recipe.label_smoothing
        loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        if not self.recipe.cutmix:
            return loss
        other = functional.cross_entropy(logits, labels.roll(1), label_smoothing=smoothing)
        return torch.lerp(loss, other, self.box.float().mean())


def network_input(images: Tensor) -> Tensor:
    """Returns images float [N, 3, H, W] of 0..255 as the network expects them.

    They are normalised, float32, in the memory format that is fastest for convolutions.
    """
    return normalise(images).contiguous(memory_format=torch.channels_last)


def distillation(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Returns T² · KL(teacher ‖ student) of the softened classes, a mean over the batch.

    `logits` are those of the student and `taught` those of the teacher, float [N, 10] each. The
    source is Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2.
    """
    soft = (taught / temperature).softmax(1)
    loss = functional.kl_div((logits / temperature).log_softmax(1), soft, reduction="batchmean")
    return temperature**2 * loss


def cutmix_box(size: int, draws: list[float], share: float) -> tuple[slice, slice]:
    """Returns the rows and columns of the box that CutMix replaces.

    The image is size × size pixels. The area of the box is a uniform share of the image, and what
    lies outside the image is cut off. In all but `share` of the steps the box is empty. `draws` are
    four uniform numbers of 0..1. The source is Yun et al., "CutMix", ICCV 2019, section 3.1.
    """
    chosen, area, *centre = draws
    if chosen >= share:
        return slice(0), slice(0)
    side = round(size * area**0.5)
    corner = [int(c * size) - side // 2 for c in centre]
    return tuple(slice(max(0, c), max(0, c + side)) for c in corner)
