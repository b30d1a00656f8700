"""Runs a network whose quantised layers take integer sums that a function of the caller computes.

The model runs as it is. For each product that fits, the activations become codes, that function
computes the integer sums of the codes, and the sums, scaled to floats, replace the product's
output. PyTorch computes everything else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import _disable_current_modes

from pymodel.own_network.factory import of_the_user
from pymodel.own_network.fit import Fit, FitError, as_output, exact_products, on_inputs
from pymodel.own_network.watched_products import (
    Product,
    Watch,
    is_packed,
    memory_of,
    name_of,
    watched_by,
)
from pymodel.reference.layer_data import LayerData

# Operations that round to whole steps, by name, with the place of the scale among their arguments
ROUNDINGS = {
    "round": None,
    "fake_quantize_per_tensor_affine_cachemask": 1,
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams": 1,
    "quantize_per_tensor": 1,
    "quantized_decomposed::quantize_per_tensor": 1,
}
# Returns the integer sums of a layer, int64 [N, C_out, H', W']
Sums = Callable[[LayerData], Tensor]


@dataclass
class Trace:
    """The activations of the layers and the inputs of the roundings that one run recorded."""

    # Activations of each product, by the product's name
    activations: dict[str, Tensor] = field(default_factory=dict)
    rounded: list[Tensor] = field(default_factory=list)  # inputs of the roundings, in steps


@dataclass
class Differences:
    """The differences between a float32 run and an integer run.

    The layers of both get the same activations.
    """

    # Number of codes by the product that takes them
    codes: dict[str, int] = field(default_factory=dict)
    differing: dict[str, int] = field(default_factory=dict)
    rounded_otherwise: int = 0  # values that the two runs round to different steps
    # Largest distance between two such values, in steps; an edge lies between them
    farthest: float = 0.0

    def count(self, name: str, values: Tensor, given: Tensor, fit: Fit) -> None:
        """Counts the codes of a layer's own activations, and those that differ from others.

        `values` are the layer's own activations, and `given` are those of the other run.
        """
        step = fit.activations.scale.min() if values.dtype.is_floating_point else 1
        self.codes[name] = values.numel()
        same = (values.float() - given.float()).abs() <= step / 2  # not where one is NaN
        self.differing[name] = int((~same).sum())

    def count_rounding(self, steps: Tensor, other: Tensor) -> None:
        """Counts the values that two runs round to different steps.

        `steps` and `other` are the values of the two runs before rounding, in steps.
        """
        otherwise = steps.round() != other.round()
        self.rounded_otherwise += int(otherwise.sum())
        if otherwise.any():
            apart = (steps - other)[otherwise].abs().nan_to_num(nan=torch.inf)
            self.farthest = max(self.farthest, apart.max().item())


@torch.no_grad()
def integer_forward(
    model: nn.Module,
    inputs: Tensor,
    fits: Mapping[str, Fit],
    sums: Sums,
    what: str,
    signed: bool = False,
) -> tuple[Any, Trace]:
    """Runs inputs [N, …] through `model`; `sums` computes the integer sums of its layers `fits`.

    `sums` is called with each layer on these inputs, with the codes that an array of unsigned or of
    `signed` activations takes. Returns the model's output, and the trace of the run. `what` begins
    the message of the InputError that is raised if the model raises an exception. Raises FitError
    for activations that do not lie on the grid of a layer, and what `sums` raises.
    """
    watch = _FromSums(fits, sums, len(inputs), signed)
    return _run(watch, model, inputs, what), watch.trace


@torch.no_grad()
def float_forward(
    model: nn.Module, inputs: Tensor, fits: Mapping[str, Fit], what: str
) -> tuple[Any, Trace]:
    """Runs inputs through the model as it is; returns its output, and the trace of the run."""
    watch = _Noting(fits)
    return _run(watch, model, inputs, what), watch.trace


@torch.no_grad()
def compare_roundings(
    model: nn.Module, inputs: Tensor, fits: Mapping[str, Fit], trace: Trace, what: str
) -> Differences:
    """Returns how the codes of a float32 run differ from those of an integer run with this `trace`.

    Each layer of the float32 run gets the activations of the integer run, so each difference comes
    from the rounding of that layer alone.
    """
    watch = _Given(fits, trace)
    _run(watch, model, inputs, what)
    return watch.differences


def _run(watch: Watch, model: nn.Module, inputs: Tensor, what: str) -> Any:
    """Returns the output of a model on inputs that `watch` sees."""
    with exact_products(), watched_by(watch, model, inputs) as forward:
        return of_the_user(what, forward, inputs)


class _Noting(Watch):
    """Records the activations of the layers that fit, and the values before each rounding."""

    def __init__(self, fits: Mapping[str, Fit]):
        super().__init__(lambda product: None)
        self.fits = fits
        self.trace = Trace()

    def _before(self, func: OpOverload, args: tuple, kwargs: dict) -> None:
        if is_packed(func, args):
            product, left = {"activations": args[0]}, False
        else:
            kwargs = {name: one for name, one in kwargs.items() if name != "out"}
            product, left = self._operands(func, args, kwargs)
        if product and (name := self._label()) in self.fits:
            self.note_activations(name, product["weights" if left else "activations"])

    def note_activations(self, name: str, values: Tensor) -> None:
        """Notes the activations of a product before it is computed."""
        self.trace.activations[name] = values.clone()

    def _follow(self, func: OpOverload, args: tuple, kwargs: dict, output: Any) -> None:
        super()._follow(func, args, kwargs, output)
        if name_of(func) in ROUNDINGS and memory_of(args[0]) in self._from_input:
            place = ROUNDINGS[name_of(func)]
            self.note_rounded(args[0] if place is None else args[0] / args[place])

    def note_rounded(self, steps: Tensor) -> None:
        """Notes values that are rounded to whole numbers."""
        self.trace.rounded.append(steps.clone())

    def _found(self, fields, added, leading, computed, waits) -> None:
        self._named(fields)

    def _found_packed(self, fields, output, relu) -> None:
        product = self._named(fields)
        if product.layer in self.fits and not product.fault and output.is_quantized:
            values = product.output.relu() if relu else product.output
            self.note_rounded(values / output.q_scale())


class _FromSums(_Noting):
    """Puts the values of integer sums in the place of the outputs of products."""

    def __init__(self, fits: Mapping[str, Fit], sums: Sums, images: int, signed: bool):
        super().__init__(fits)
        self.sums = sums
        self.images = images
        self.signed = signed

    def _found(self, fields, added, leading, computed, waits) -> None:
        product = self._named(fields)
        fit = self.fits.get(product.layer)
        if fit is None or product.fault:
            return
        if memory_of(product.output) != computed:
            raise FitError(
                "its output is a rearranged copy of the operation's output, so integer sums cannot "
                "replace it"
            )
        values = self._values(fit, product)
        product.output.copy_(values if added is None else values + added)

    def _found_packed(self, fields, output, relu) -> None:
        product = self._named(fields)
        fit = self.fits.get(product.layer)
        if fit is None or product.fault:
            return
        values = self._values(fit, product)
        values = values.relu() if relu else values
        if output.is_quantized:
            self.note_rounded(values / output.q_scale())
            values = torch.quantize_per_tensor(
                values, output.q_scale(), output.q_zero_point(), output.dtype
            )
        output.copy_(values)

    def _values(self, fit: Fit, product: Product) -> Tensor:
        """Returns the output of a product, float32, as its integer sums of codes give it."""
        with _disable_current_modes():
            data = on_inputs(fit, product, self.images).for_array(self.signed)
            return as_output(data.recover(self.sums(data)).float(), product)


class _Given(_Noting):
    """Gives each layer the activations of another run, and counts how its own ones differ."""

    def __init__(self, fits: Mapping[str, Fit], trace: Trace):
        super().__init__(fits)
        self.other = trace
        self.differences = Differences()
        self.roundings = iter(trace.rounded)

    def note_activations(self, name: str, values: Tensor) -> None:
        given = self.other.activations[name]
        self.differences.count(name, values.dequantize(), given.dequantize(), self.fits[name])
        values.copy_(given)

    def note_rounded(self, steps: Tensor) -> None:
        self.differences.count_rounding(steps, next(self.roundings))
