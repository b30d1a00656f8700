"""Watches a forward pass, and hands over each product of activations with weights as it happens.

What is watched are PyTorch's operations, not modules: a convolution, linear layer or matrix product
of which one operand follows from the input and the other does not, whatever class, hook or wrapper
stands around. The tensors are those that enter and leave the operation.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pymodel.lsq_quantiser import SMALLEST_SCALE, Quantiser
from pymodel.own_network.grids import Grid

aten = torch.ops.aten
KEPT_GRIDS = 4  # the last quantisers before a tensor


@dataclass(frozen=True)
class Product:
    """A convolution or matrix product in a forward pass, as PyTorch computed it."""

    layer: str  # name of the module whose forward ran, with ":2" at its second product
    kind: str  # class of that module, or the operator of an ONNX file
    module: nn.Module | None  # that module
    activations: Tensor  # [N, C_in, *sides] of a convolution, [*, C_in] of a matrix product
    weights: Tensor  # [C_out, C_in / groups, *sides], or [C_out, C_in] of a matrix product
    bias: Tensor | None  # [C_out]
    output: Tensor
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    transposed: bool = False
    output_padding: tuple[int, ...] = ()  # of a transposed convolution
    activation_grids: tuple[Grid, ...] = ()  # of the quantisers before the tensor, nearest first
    weight_grids: tuple[Grid, ...] = ()
    fault: str = ""  # why the operation's own output is not this product


class _Watch(TorchDispatchMode):
    """Follows from operation to operation which tensors depend on the input, and their grids."""

    def __init__(self, names: dict[nn.Module, str], take: Callable[[Product], None]):
        super().__init__()
        self.running: list[nn.Module] = []
        self.products = Counter()
        self.fault: Exception | None = None  # of this file; the model must not seem to raise it
        self._names = names
        self._take = take
        # By memory, so that views belong to their tensors. A weak reference keeps the address of
        # memory that was freed from being used again.
        self._from_input: set[StorageWeakRef] = set()
        self._grids: dict[StorageWeakRef, tuple[Grid, ...]] = {}

    def mark_input(self, tensor: Tensor) -> None:
        """Notes that a tensor is the input."""
        self._from_input.add(_memory(tensor))

    def add_grid(self, tensor: Tensor, grid: Grid) -> None:
        """Notes that a quantiser made the values of a tensor."""
        key = _memory(tensor)
        self._grids[key] = (grid, *self._grids.get(key, ()))[:KEPT_GRIDS]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if not isinstance(func, OpOverload):
            return func(*args, **kwargs)
        if func not in PRODUCTS:
            with self:  # in inference mode a linear layer arrives whole
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        output = func(*args, **kwargs)
        try:
            self._follow(func, args, kwargs, output)
        except Exception as fault:
            self.fault = self.fault or fault
        return output

    def _follow(self, func: OpOverload, args: tuple, kwargs: dict, output: Any) -> None:
        """Notes what an operation makes of its tensors, after it ran."""
        given = [one for one in tree_leaves((args, kwargs)) if _has_memory(one)]
        depends = any(_memory(one) in self._from_input for one in given)
        if func in PRODUCTS and depends:
            self._watch_product(func, args, kwargs, output)
        grids = _stated(func, args, kwargs) or self._inherited(given)
        written = [one for one in tree_leaves(output) if _has_memory(one)]
        if func._schema.is_mutable:
            written += given[:1]  # what an operation changes is its first tensor
        for one in written:
            if depends:
                self._from_input.add(_memory(one))
            if grids:
                self._grids[_memory(one)] = grids

    def _inherited(self, given: list[Tensor]) -> tuple[Grid, ...]:
        """Returns the grids of the tensors that an operation takes; their values may lie there."""
        found = [grid for one in given for grid in self._grids.get(_memory(one), ())]
        return tuple(dict.fromkeys(found))[:KEPT_GRIDS]

    def _watch_product(self, func, args, kwargs, output) -> None:
        """Hands over a product of which one operand does not follow from the input."""
        product = PRODUCTS[func](*args, **kwargs)
        first, second = product["activations"], product["weights"]
        if _memory(first) in self._from_input and _memory(second) in self._from_input:
            return  # a product of activations, as in attention, or a kernel that is computed
        fault = ""
        if func is aten.bmm.default:
            if len(first) == 1:  # a batch of one, as einsum makes it, is a matrix product
                first, second, output = first[0], second[0], output[0]
                product |= {"activations": first, "weights": second}
            else:
                fault = f"it is a batch of {len(first)} products, each with weights of its own"
        if not fault and _memory(second) in self._from_input:
            if func is aten.convolution.default:
                return  # a kernel that is computed
            # The weights stand on the left: (A · B)ᵀ = Bᵀ · Aᵀ, and a bias is of the rows.
            product |= {"activations": second.t(), "weights": first.t()}
            output = output.t()
        if not fault and func is not aten.convolution.default:
            product["weights"] = product["weights"].t()
        module = self.running[-1] if self.running else None
        name = self._names.get(module) or type(module).__name__  # the model itself has no name
        self.products[name] += 1
        number = f":{self.products[name]}" if self.products[name] > 1 else ""
        self._take(
            Product(
                name + number,
                type(module).__name__,
                module,
                **product,
                output=output,
                activation_grids=self._grids.get(_memory(product["activations"]), ()),
                weight_grids=self._grids.get(_memory(product["weights"]), ()),
                fault=fault,
            )
        )


def _convolution(
    x, weight, bias, stride, padding, dilation, transposed, output_padding, groups
) -> dict:
    sides = weight.ndim - 2
    stride, padding, dilation, output_padding = (  # one number may stand for all sides
        tuple(one) * (sides if len(one) == 1 else 1)
        for one in (stride, padding, dilation, output_padding)
    )
    return {
        "activations": x,
        "weights": weight,
        "bias": bias,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "transposed": transposed,
        "output_padding": output_padding,
    }


def _product(x, weight) -> dict:
    return {"activations": x, "weights": weight, "bias": None}


def _product_and_bias(bias, x, weight, *, beta=1, alpha=1) -> dict:
    if alpha != 1:
        weight = weight * alpha
    return {"activations": x, "weights": weight, "bias": bias if beta == 1 else bias * beta}


PRODUCTS = {
    aten.convolution.default: _convolution,
    aten.mm.default: _product,
    aten.bmm.default: _product,
    aten.addmm.default: _product_and_bias,
}


def _stated(func: OpOverload, args: tuple, kwargs: dict) -> tuple[Grid, ...]:
    """Returns the grid that an operation states, as those of PyTorch do which fake-quantise."""
    given = dict(zip((one.name for one in func._schema.arguments), args, strict=False)) | kwargs
    scale, zero = (given.get(one, given.get(f"{one}s")) for one in ("scale", "zero_point"))
    limits = [given.get(one) for one in ("quant_min", "quant_max")]
    if None in (scale, zero, *limits):
        return ()
    return (Grid(torch.as_tensor(scale), torch.as_tensor(zero), *map(int, limits)),)


@contextmanager
def watching(model: nn.Module, inputs: Tensor, take: Callable[[Product], None]) -> Iterator[None]:
    """Watches the forward passes of `model` on `inputs` inside the with statement.

    `take` is called with each product, while the tensors still have their values: operations in
    place may overwrite them later. What it raises is raised at the end of the with statement.
    """
    watch = _Watch({module: name for name, module in reversed([*model.named_modules()])}, take)
    watch.mark_input(inputs)

    def enter(module, args):
        watch.running.append(module)

    def leave(module, args, output):
        while watch.running.pop() is not module:
            pass  # the forward of a module below was left by an exception that the model caught
        note_grids(module, output, watch)

    hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        with watch:
            yield
    finally:
        for hook in hooks:
            hook.remove()
    if watch.fault:
        raise watch.fault


def note_grids(module: nn.Module, output: Any, watch: _Watch) -> None:
    """Notes the grid that a quantiser states: this project's, or one that returns quant tensors."""
    if isinstance(module, Quantiser):
        scale = module.scale.detach().clamp_min(SMALLEST_SCALE)
        watch.add_grid(output, Grid(scale, torch.zeros(1), module.low, module.high))
        return
    # Brevitas's quantisers return a tuple of tensors with these names.
    parts = [getattr(output, n, None) for n in ("value", "scale", "zero_point", "bit_width")]
    if not all(isinstance(part, Tensor) for part in parts):
        return
    value, scale, zero_point, bit_width = parts
    levels = 2 ** int(bit_width.max().ceil().item())
    low = -levels // 2 if getattr(output, "signed", False) else 0
    watch.add_grid(value, Grid(scale.detach(), zero_point.detach(), low, low + levels - 1))


def _has_memory(value: Any) -> bool:
    """Returns whether a value is a tensor of ordinary memory."""
    return isinstance(value, Tensor) and value.layout == torch.strided


def _memory(tensor: Tensor) -> StorageWeakRef:
    """Returns the identity of a tensor's memory, which its views share."""
    return StorageWeakRef(tensor.untyped_storage())
