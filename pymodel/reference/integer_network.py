"""Computes the whole network on integers, as the core does, to check every code of the core.

The first convolution and the classifier are float. Each layer between them is an integer
convolution, whose sums become the codes of the next layer by thresholds
(pymodel/hardware/output_thresholds.py). Max pools act on codes: a threshold staircase is monotone,
so the largest of four outputs has the largest code.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pymodel.checkpoint import CORE_BITS
from pymodel.convolution import Pair, single
from pymodel.hardware.output_thresholds import requantise, thresholds
from pymodel.hardware.registers import Mode
from pymodel.images import normalise
from pymodel.layer_capture import find_next
from pymodel.lsq_quantiser import QuantConv2d, quantised_layers
from pymodel.reference.batchnorm_folding import fold
from pymodel.reference.integer_convolution import integer_convolution, step
from pymodel.support.errors import InputError


@dataclass(frozen=True)
class Stage:
    """One quantised convolution of the network."""

    name: str
    layer: QuantConv2d
    weights: Tensor  # weight codes, int8 [C_out, C_in, k, k]

    def sums(self, codes: Tensor) -> Tensor:
        """Returns the integer sums, int64 [N, C_out, H', W'], of input codes [N, C_in, H, W]."""
        return integer_convolution(codes, self.weights, self.layer.stride, self.layer.padding)

    @property
    def settings(self) -> dict[str, Pair]:
        """The fields of `pymodel.hardware.core.Layer` that follow from the layer."""
        return {
            "out_channels": self.layer.out_channels,
            "kernel": single(self.layer.kernel_size),
            "stride": single(self.layer.stride),
            "padding": single(self.layer.padding),
        }


@dataclass(frozen=True)
class InnerStage(Stage):
    """A stage whose outputs are the codes of the next stage."""

    gain: np.ndarray  # a of y = a · sum + b, float64 [C_out]
    offset: np.ndarray  # b of y = a · sum + b, float64 [C_out]
    next_scale: float  # scale of the next layer's input codes
    table: np.ndarray  # the thresholds that follow from gain, offset and scale, int64 [C_out, 16]
    pools: tuple[nn.MaxPool2d, ...]  # max pools between this layer and the next

    @property
    def settings(self) -> dict[str, Pair]:
        """The settings of any stage, `mode`, and the 2 × 2 pools after it.

        The core does the first of them (`pool`), and the host those after it (`pools`). Raises
        InputError for other pools.
        """
        if any((pool.kernel_size, pool.stride, pool.padding) != (2, 2, 0) for pool in self.pools):
            raise InputError(f"the pooling after {self.name} is {self.pools}, expected 2 × 2")
        pool = min(1, len(self.pools))
        modes = {"mode": int(Mode.CODES), "pool": pool, "pools": len(self.pools) - pool}
        return super().settings | modes

    def codes(self, codes: Tensor) -> Tensor:
        """Returns the codes, int8 [N, C_out, H', W'], for input codes int8 [N, C_in, H, W]."""
        return torch.from_numpy(requantise(self.sums(codes).numpy(), self.table)).to(torch.int8)

    def results(self, codes: Tensor) -> Tensor:
        """Returns the codes that leave the core, int8 [N, C_out, H', W'], after the first pool.

        `codes` are the input codes, int8 [N, C_in, H, W].
        """
        return self._after_pools(self.codes(codes), self.pools[:1])

    def host_pool(self, results: Tensor) -> Tensor:
        """Returns the next stage's input, of the codes that leave the core."""
        return self._after_pools(results, self.pools[1:])

    def pool(self, outputs: Tensor) -> Tensor:
        """Returns `outputs` [N, C_out, H', W'], codes or floats, after the max pools of the stage.

        The result is the input of the next stage, and has the dtype of `outputs`.
        """
        return self._after_pools(outputs, self.pools)

    @staticmethod
    def _after_pools(outputs: Tensor, pools: Iterable[nn.MaxPool2d]) -> Tensor:
        pooled = outputs if outputs.is_floating_point() else outputs.float()
        for pool in pools:
            pooled = pool(pooled)
        return pooled.to(outputs.dtype)

    def edge_distances(self, codes: Tensor) -> Tensor:
        """Returns the distance of each input of the next layer from the edge between two codes.

        The distances are in steps of the next layer's codes, float64 in 0..0.5, of the shape of the
        next layer's input. They follow from the input `codes` of this stage, int8 [N, C_in, H, W].
        """
        gain, offset = (torch.from_numpy(v)[:, None, None] for v in (self.gain, self.offset))
        steps = (self.sums(codes) * gain + offset).relu() / self.next_scale
        return (self.pool(steps) % 1 - 0.5).abs()


class LastStage(Stage):
    """The last stage, which gives sums and no codes."""

    @property
    def settings(self) -> dict[str, Pair]:
        """The settings of any stage, `mode`, and no pools."""
        return super().settings | {"mode": int(Mode.SUMS), "pool": 0, "pools": 0}


class IntegerNetwork:
    """A VGG16 whose quantised layers are computed on integers, with codes of 4 bits between them.

    Raises InputError if anything but BatchNorm, ReLU and max pools lies between two of them, and if
    activations have another number of bits.
    """

    def __init__(self, model: nn.Module):
        self.model = model.eval()
        layers = quantised_layers(model)
        for name, layer in layers.items():
            if layer.activation_quantiser.bits != CORE_BITS:
                raise InputError(
                    f"{name} has activations of {layer.activation_quantiser.bits} bits, expected "
                    f"{CORE_BITS}, which the thresholds of the layer before it give"
                )
        *inner, last = layers
        self.inner = []
        for name in inner:
            layer = layers[name]
            next_name, between = find_next(model, name)
            gain, offset = fold(layer, between)
            scale = layers[next_name].activation_quantiser.scale.item()
            pools = tuple(module for module in between if isinstance(module, nn.MaxPool2d))
            self.inner.append(
                InnerStage(
                    name,
                    layer,
                    layer.weight_codes(),
                    gain,
                    offset,
                    scale,
                    thresholds(gain, offset, scale),
                    pools,
                )
            )
        self.last = LastStage(last, layers[last], layers[last].weight_codes())
        order = [f"features.{name}" for name, _ in model.features.named_children()]
        self._before = model.features[: order.index(inner[0])]
        self._after = model.features[order.index(last) + 1 :]

    @property
    def stages(self) -> list[Stage]:
        """All stages, in the order in which they run."""
        return [*self.inner, self.last]

    @torch.no_grad()
    def first_codes(self, images: Tensor) -> Tensor:
        """Returns the input codes of the first stage, int8 [N, C, 32, 32].

        `images` are uint8 [N, 3, 32, 32].
        In a system with the core, the host computes these codes, in float.
        """
        return self.inner[0].layer.activation_codes(self._before(normalise(images)))

    def outputs(self, codes: Tensor) -> Iterator[Tensor]:
        """Yields the outputs of each stage, in order, for the input `codes` of the first stage.

        The outputs are what leaves the core: codes, int8 [N, C_out, H', W'], pooled if a pool
        follows, and for the last stage sums, int64 [N, C_out, H', W'].
        """
        for stage in self.inner:
            outputs = stage.results(codes)
            yield outputs
            codes = stage.host_pool(outputs)
        yield self.last.sums(codes)

    @torch.no_grad()
    def logits(self, sums: Tensor) -> Tensor:
        """Returns the logits, float32 [N, 10], for the last stage's sums, int64 [N, C, H, W].

        In a system with the core, the host computes the logits, in float.
        """
        features = self._after(sums.float() * step(self.last.layer))
        return self.model.classifier(torch.flatten(features, 1))


@contextmanager
def input_codes(network: IntegerNetwork) -> Iterator[list[Tensor]]:
    """Yields a list, to which a forward pass of the fake-quantised network adds its codes.

    The codes are the input codes of each stage in order, int8 [N, C_in, H, W].
    """
    inputs: list[Tensor] = []
    hooks = [
        stage.layer.register_forward_pre_hook(
            lambda layer, given: inputs.append(layer.activation_codes(*given))
        )
        for stage in network.stages
    ]
    try:
        yield inputs
    finally:
        for hook in hooks:
            hook.remove()


class Difference(NamedTuple):
    """The differences between a stage's outputs and the codes of the fake-quantised network."""

    codes: int  # number of codes compared
    differing: int  # number of codes that differ although the stage had the same input
    farthest: float  # largest distance of such a code from the edge between two codes, in steps
    differing_in_the_end: int  # number of codes that differ if all stages before run on integers


@torch.no_grad()
def compare_with_fake_quantised(
    network: IntegerNetwork, images: Tensor
) -> tuple[Tensor, Tensor, list[Difference]]:
    """Returns the predictions of both networks, and the differences between their codes.

    images: uint8 [N, 3, 32, 32]. The predictions of the integer network come first, then those of
    the fake-quantised one, int64 [N] each. There is a `Difference` for each stage but the last.
    The fake-quantised network computes in float32, and rounds in every operation. The integer
    network computes exactly between its first codes and its last sums, and rounds only where a sum
    becomes a code.
    """
    with input_codes(network) as inputs:
        fake = network.model(normalise(images)).argmax(1)
    codes, differences = inputs[0], []
    for stage, given, expected in zip(network.inner, inputs, inputs[1:], strict=False):
        outputs = stage.pool(stage.codes(codes))
        alone = outputs.clone()
        other = (codes != given).flatten(1).any(1)  # images whose input already differs
        if other.any():
            alone[other] = stage.pool(stage.codes(given[other]))
        wrong = alone != expected
        here = wrong.flatten(1).any(1)
        distances = stage.edge_distances(given[here])[wrong[here]].tolist()
        differences.append(
            Difference(
                expected.numel(),
                int(wrong.sum()),
                max(distances, default=0.0),
                int((outputs != expected).sum()),
            )
        )
        codes = outputs
    return network.logits(network.last.sums(codes)).argmax(1), fake, differences
