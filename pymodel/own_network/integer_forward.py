"""Runs a network whose quantised layers are computed from integer sums, wherever these come from.

The model runs as it is. Of each product that fits, the activations become codes, somebody computes
the integer sums of the codes, and the values that these sums mean take the place of the product's
output. All else stays PyTorch's.
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
Sums = Callable[[LayerData], Tensor]  # gives int64 [N, C_out, H', W']


@dataclass
class Trace:
    """What a run noted."""

    activations: dict[str, Tensor] = field(default_factory=dict)  # of each product, by its name
    rounded: list[Tensor] = field(default_factory=list)  # inputs of the roundings, in steps


@dataclass
class Differences:
    """How a run in float32 differs from one by integers, where both take the same activations."""

    codes: dict[str, int] = field(
        default_factory=dict
    )  # by the name of the product that takes them
    differing: dict[str, int] = field(default_factory=dict)
    rounded_otherwise: int = 0  # values that the two runs round to different steps
    farthest: float = 0.0  # how far apart the two are at most, in steps; an edge lies between them

    def count(self, name: str, values: Tensor, given: Tensor, fit: Fit) -> None:
        """Counts the codes that a layer would get, and those that differ from what it is given."""
        step = fit.activations.scale.min() if values.dtype.is_floating_point else 1
        self.codes[name] = values.numel()
        self.differing[name] = int(((values.float() - given.float()).abs() > step / 2).sum())

    def count_rounding(self, steps: Tensor, other: Tensor) -> None:
        """Counts values that two runs round, in steps, where they round them to different ones."""
        otherwise = steps.round() != other.round()
        self.rounded_otherwise += int(otherwise.sum())
        if otherwise.any():
            self.farthest = max(self.farthest, (steps - other)[otherwise].abs().max().item())


@torch.no_grad()
def integer_forward(
    model: nn.Module,
    inputs: Tensor,
    fits: Mapping[str, Fit],
    sums: Sums,
    what: str,
    signed: bool = False,
) -> tuple[Any, Trace]:
    """Runs inputs [N, …] through `model` with the sums of its layers `fits` from elsewhere.

    `sums` is called with each layer on these inputs, with the codes that an array of unsigned or of
    `signed` activations takes. Returns the model's output, and what the run noted. `what` begins
    the message of the InputError that is raised if the model raises an exception. Raises FitError
    for activations that do not lie on the grid of a layer, and what `sums` raises.
    """
    watch = _FromSums(fits, sums, len(inputs), signed)
    return _run(watch, model, inputs, what), watch.trace


@torch.no_grad()
def float_forward(
    model: nn.Module, inputs: Tensor, fits: Mapping[str, Fit], what: str
) -> tuple[Any, Trace]:
    """Runs inputs through the model as it is; returns its output, and what the run noted."""
    watch = _Noting(fits)
    return _run(watch, model, inputs, what), watch.trace


@torch.no_grad()
def compare_roundings(
    model: nn.Module, inputs: Tensor, fits: Mapping[str, Fit], trace: Trace, what: str
) -> Differences:
    """Returns how codes differ that float32 makes of what a run by integers took and gave `trace`.

    Each layer gets the activations of that run, so that what differs in front of the next ones is
    their doing alone.
    """
    watch = _Given(fits, trace)
    _run(watch, model, inputs, what)
    return watch.differences


def _run(watch: Watch, model: nn.Module, inputs: Tensor, what: str) -> Any:
    """Returns the output of a model on inputs that `watch` sees."""
    with exact_products(), watched_by(watch, model, inputs) as forward:
        return of_the_user(what, forward, inputs)


class _Noting(Watch):
    """Notes the activations of the layers that fit, and what is rounded."""

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
                "its output is put together from the operation's, and cannot be replaced"
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
        """Returns the output of a product that the integer sums of its codes mean, float32."""
        with _disable_current_modes():
            data = on_inputs(fit, product, self.images).for_array(self.signed)
            return as_output(data.recover(self.sums(data)).float(), product)


class _Given(_Noting):
    """Gives products the activations of another run, and compares with what they would have got."""

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
