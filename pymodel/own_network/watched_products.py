"""Watches a forward pass, and hands over each product of activations with weights as it happens.

The watch sees PyTorch's operations, not modules: a convolution, linear layer or matrix product of
which one operand follows from the input and the other does not, whatever class, hook or wrapper
stands around. The tensors are those that enter and leave the operation.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import GraphModule, Interpreter
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from pymodel.lsq_quantiser import SMALLEST_SCALE, Quantiser
from pymodel.own_network.grids import Grid, requantising_fault

aten = torch.ops.aten
# Operations of several products
WHOLE = ("aten::mkldnn_rnn_layer", "aten::lstm", "aten::quantized_lstm", "aten::quantized_gru")
# They might write scales, but fit.py switches observers off
OBSERVERS = ("aten::fused_moving_avg_obs_fake_quant", "aten::_fused_moving_avg_obs_fq_helper")
# A part of the name of an operation that multiplies tensors, though it may be none of PRODUCTS
MULTIPLIES = re.compile(r"(?:^|_)(?:conv[a-z]*|[a-z]*(?:mm|mv|matmul|linear)|v?dot)(?:_|$)")
INSIDE = "its matrix products are inside one operation of PyTorch"
ANEW = "it computes new scales for its activations in each pass"
KEPT_GRIDS = 4  # number of quantisers before a tensor that are remembered


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
    output_padding: tuple[int, ...] = ()  # output padding of a transposed convolution
    # Grids of the quantisers before the activations, the nearest first
    activation_grids: tuple[Grid, ...] = ()
    weight_grids: tuple[Grid, ...] = ()
    fault: str = ""  # why the operation's own output is not this product


class Running(NamedTuple):
    """A module whose forward runs, or an operator's module in a graph."""

    name: str
    kind: str  # class of the module
    module: nn.Module | None = None  # None in a graph


class Watch(TorchDispatchMode):
    """Follows from operation to operation which tensors depend on the input, and their grids."""

    def __init__(self, take: Callable[[Product], None]):
        super().__init__()
        self.running: list[Running] = []
        self.products = Counter()
        # Exception of this file's own code, which must not look like one of the model
        self.fault: Exception | None = None
        self._take = take
        # By memory, so that views belong to their tensors. A weak reference keeps the address of
        # memory that was freed from being used again.
        self._from_input: set[StorageWeakRef] = set()
        self._grids: dict[StorageWeakRef, tuple[Grid, ...]] = {}
        # A matrix product whose bias may still be added, the memory of its output, and the order
        # of its rows if it was changed
        self._waiting: tuple[Product, StorageWeakRef, Tensor | None] | None = None
        self._images = 0
        self._leading: dict[StorageWeakRef, tuple[int, ...]] = {}  # sizes that became rows

    def mark_input(self, tensor: Tensor) -> None:
        """Notes that a tensor is the input, with the images in its first dimension."""
        self._from_input.add(memory_of(tensor))
        self._images = len(tensor)

    def add_grid(self, tensor: Tensor, grid: Grid) -> None:
        """Notes that a quantiser made the values of a tensor."""
        key = memory_of(tensor)
        self._grids[key] = (self._marked(grid), *self._grids.get(key, ()))[:KEPT_GRIDS]

    def _marked(self, grid: Grid) -> Grid:
        """Returns the grid, with the note whether its scale follows from the input."""
        return replace(grid, anew=memory_of(grid.scale) in self._from_input)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if not isinstance(func, OpOverload):
            return func(*args, **kwargs)
        known = name_of(func) in PRODUCTS
        if not known:
            with self:  # in inference mode a linear layer arrives whole
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        bias = self._bias_in(args, kwargs) if func in ADDITIONS else None
        if func._schema.is_mutable and bias is None:
            self.hand_over()
        before = args
        if known and "out" not in kwargs and func._schema.is_mutable:  # addmm_ overwrites the bias
            before = (args[0].clone(), *args[1:])
            if memory_of(args[0]) in self._from_input:
                self._from_input.add(memory_of(before[0]))
        if known or is_packed(func, args):
            self._before(func, args, kwargs)
        output = func(*args, **kwargs)
        try:
            if bias is not None:
                self._add_bias(bias, output)
            self._follow(func, before, kwargs, output)
        except Exception as fault:
            self.fault = self.fault or fault
        return output

    def _before(self, func: OpOverload, args: tuple, kwargs: dict) -> None:
        """Does nothing; a subclass may note the operands of a product before it is computed."""

    def _follow(self, func: OpOverload, args: tuple, kwargs: dict, output: Any) -> None:
        """Notes what an operation makes of its tensors, after it ran."""
        given = [one for one in tree_leaves((args, kwargs)) if _has_memory(one)]
        follow = [memory_of(one) in self._from_input for one in given]
        depends, known = any(follow), name_of(func) in PRODUCTS
        if known and depends:
            self._watch_product(func, args, kwargs, output)
        elif depends and is_packed(func, args):
            relu = name_of(func).endswith("_relu")
            self._found_packed(packed_product(func, args, output), output, relu)
        elif depends and func._schema.name in WHOLE:
            self._take_product(no_product(INSIDE))
        elif depends and not all(follow) and MULTIPLIES.search(name_of(func)):
            self._take_product(no_product(f"PyTorch's {func._schema.name} is not known"))
        grids = tuple(map(self._marked, _stated(func, args, kwargs)))
        if not known:  # the values of a product lie on no grid of its operands
            grids = grids or self._inherited(given)
        if name_of(func) in ("view", "_unsafe_view") and output.ndim == 2 < given[0].ndim:
            self._leading[memory_of(output)] = tuple(given[0].shape[:-1])
        changed = [
            args[place] if place < len(args) else kwargs.get(argument.name)
            for place, argument in enumerate(func._schema.arguments)
            if argument.alias_info and argument.alias_info.is_write
            if func._schema.name not in OBSERVERS
        ]
        for one in filter(_has_memory, tree_leaves((output, changed))):
            if depends:
                self._from_input.add(memory_of(one))
            if grids:
                self._grids[memory_of(one)] = grids

    def _inherited(self, given: list[Tensor]) -> tuple[Grid, ...]:
        """Returns the grids of all tensors that an operation takes; its output may lie on one."""
        found = [grid for one in given for grid in self._grids.get(memory_of(one), ())]
        return tuple(dict.fromkeys(found))[:KEPT_GRIDS]

    def _watch_product(self, func, args, kwargs, output) -> None:
        """Hands over a product of which one operand does not follow from the input."""
        kwargs = {name: one for name, one in kwargs.items() if name != "out"}
        product, left = self._operands(func, args, kwargs)
        if product is None:
            return
        first, second, fault = product["activations"], product["weights"], ""
        computed = memory_of(output)
        whole = name_of(func) in CONVOLUTIONS
        added, no_bias = product["bias"], False
        if added is not None and not whole:
            no_bias = memory_of(added) in self._from_input
            added = (added * kwargs.get("beta", 1)).expand_as(output)
        memories = [memory_of(first), memory_of(second)]
        leading = self._leading.get(memories[0], first.shape[:-1])
        if name_of(func) in ("mv", "addmv"):
            second, output = second[:, None], output[:, None]
            added = None if added is None else added[:, None]
        elif name_of(func) in ("bmm", "baddbmm"):
            weights = first if left else second
            if not (weights == weights[:1]).all():
                fault = f"it is a batch of {len(first)} products, each with weights of its own"
                added = None
            elif left:  # one matrix for all
                second, output, added = (
                    None if one is None else one.transpose(0, 1).flatten(1)
                    for one in (second, output, added)
                )
                first = first[0]
            else:
                first, output, added = (
                    None if one is None else one.flatten(0, 1) for one in (first, output, added)
                )
                second = second[0]
        elif name_of(func) == "_int_mm":
            fault = "it multiplies codes, whose scales follow from each input"
        if left:  # (A · B)ᵀ = Bᵀ · Aᵀ, and a bias is of the rows
            first, second, output = second.mT, first, output.mT
            added = None if added is None else added.mT
        elif not whole:
            second = second.mT
        of_activations, of_weights = memories[::-1] if left else memories
        weight_grids = self._grids.get(of_weights, ())
        if (alpha := kwargs.get("alpha", 1)) != 1:
            second = second * alpha
            weight_grids = [found for grid in weight_grids if (found := grid.times(alpha))]
        bias = None
        if added is not None:
            bias = added if whole else bias_of(added, no_bias)
        fields = product | {
            "activations": first,
            "weights": second,
            "bias": bias,
            "output": output,
            "activation_grids": self._grids.get(of_activations, ()),
            "weight_grids": tuple(weight_grids),
            "fault": fault,
        }
        rows = () if whole or left or fault else leading
        waits = not (left or fault) and product["bias"] is None
        self._found(fields, None if bias is not None else added, rows, computed, waits)

    def _operands(self, func: OpOverload, args: tuple, kwargs: dict) -> tuple[dict | None, bool]:
        """Returns the operands of a product, and whether the weights stand on the left.

        The operands are None if both, or none, or the kernel of a convolution follows from the
        input, as in attention.
        """
        product = PRODUCTS[name_of(func)](*args, **kwargs)
        depend = [memory_of(product[n]) in self._from_input for n in ("activations", "weights")]
        if all(depend) or not any(depend) or (depend[1] and name_of(func) in CONVOLUTIONS):
            return None, False
        return product, depend[1]

    def _found(
        self,
        fields: dict,
        added: Tensor | None,
        leading: tuple[int, ...],
        computed: StorageWeakRef,
        waits: bool,
    ) -> None:
        """Hands over a product of the given fields.

        The tensor `added` to the product is no bias, and is left out of the layer. The rows of a
        matrix product come from the `leading` dimensions. The operation's own output lies in the
        memory `computed`. If the product `waits`, a bias may still be added.
        """
        if added is not None:
            fields["output"] = fields["activations"] @ fields["weights"].mT
        made = memory_of(fields["output"]) if waits else None
        order = self._image_order(leading, len(fields["activations"])) if leading else None
        if order is not None:
            fields |= {name: fields[name][order] for name in ("activations", "output")}
        self._take_product(fields, made, order)

    def _found_packed(self, fields: dict, output: Any, relu: bool) -> None:
        """Hands over a product of packed parameters; the operation's own output holds codes.

        `relu` says whether the operation has a ReLU, too.
        """
        self._take_product(fields)

    def _image_order(self, leading: tuple[int, ...], rows: int) -> Tensor | None:
        """Returns the order that puts the rows of each image together, or None if they already are.

        The rows come from the `leading` dimensions of the activations. The rows of an image lie
        apart if images are not the first dimension, as in [tokens, images, channels].
        """
        images = self._images
        if math.prod(leading) != rows or images in (1, *leading[:1]) or leading.count(images) != 1:
            return None
        numbers = torch.arange(rows).reshape(leading)
        return numbers.movedim(leading.index(images), 0).flatten()

    def _take_product(
        self, product: dict, made: StorageWeakRef | None = None, order: Tensor | None = None
    ) -> None:
        """Hands over a product, whose fields are given, under the name of the running module.

        If `made`, the memory of the product's output, is given, a matrix product is handed over
        only when a bias was added or can no longer be added. `order` is the order of its rows.
        """
        self.hand_over()
        found = self._named(product)
        if made is None or found.weights.ndim != 2:
            self._take(found)
        else:
            self._waiting = found, made, order

    def _named(self, fields: dict) -> Product:
        """Returns the product of the given fields, with the name of the running module."""
        label = self._label()
        name, kind, module = self._running()
        self.products[name] += 1
        return Product(label, kind, module, **fields)

    def _running(self) -> Running:
        """Returns the module whose forward runs; the model itself has the name of its class."""
        running = self.running[-1] if self.running else Running("", "GraphModule")
        return running._replace(name=running.name or running.kind)

    def _label(self) -> str:
        """Returns the name of the next product."""
        name, *_ = self._running()
        number = self.products[name] + 1
        return f"{name}:{number}" if number > 1 else name

    def hand_over(self) -> None:
        """Hands over the product that waits for a bias, if there is one; it gets none any more."""
        waiting, self._waiting = self._waiting, None
        if not waiting:
            return
        try:
            # Products that `take` computes itself must not be watched
            with _disable_current_modes():
                self._take(waiting[0])
        except Exception as fault:
            self.fault = self.fault or fault

    def _bias_in(self, args: tuple, kwargs: dict) -> Tensor | None:
        """Returns what an addition adds to the product that waits, if it may be the bias.

        PyTorch computes a linear layer as a product and an addition where its input is not
        contiguous. A bias is a number for each output channel that does not follow from the input.
        """
        tensors = [one for one in args if _has_memory(one)]
        if not self._waiting or len(tensors) != 2 or kwargs.get("alpha", 1) != 1:
            return None
        product, made, _ = self._waiting
        (bias, *others) = sorted(tensors, key=lambda one: memory_of(one) == made)
        channels = len(product.weights)
        of_product = memory_of(others[0]) == made and others[0].shape[-1] == channels
        fits = bias.ndim > 0 and bias.numel() == bias.shape[-1] == channels
        return bias if of_product and fits and memory_of(bias) not in self._from_input else None

    def _add_bias(self, bias: Tensor, output: Tensor) -> None:
        """Hands over the product that waits, with a bias and the sum as its output."""
        product, made, order = self._waiting
        output = output.reshape(-1, len(product.weights))
        if output.shape == product.output.shape:
            output = output if order is None else output[order]
            self._waiting = replace(product, bias=bias.flatten(), output=output), made, order
        self.hand_over()


def name_of(func: OpOverload) -> str:
    """Returns the name of PyTorch's operation, the same for its variants in place."""
    return func._schema.name.removeprefix("aten::").removesuffix("_")


def no_product(fault: str) -> dict[str, Any]:
    """Returns the fields of a product that has a row in the table alone, with the reason."""
    empty = torch.empty(0)
    return {"activations": empty, "weights": empty, "bias": None, "output": empty, "fault": fault}


def bias_of(added: Tensor, follows: bool) -> Tensor | None:
    """Returns the bias [C_out] of a product, or None if the tensor `added` to it is no bias.

    `added` [rows, C_out] is a bias if all its rows are equal and if it does not follow from the
    input; a shortcut `follows` from the input.
    """
    return None if follows or not (added == added[:1]).all() else added[0]


def _convolution(
    x, weight, bias, stride, padding, dilation, transposed, output_padding, groups, *_
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
    return {"activations": x, "weights": weight, "bias": bias}


ADDITIONS = (aten.add.Tensor, aten.add_.Tensor)
CONVOLUTIONS = ("convolution", "_convolution")  # the second in programs of TorchScript
PRODUCTS = {
    "_int_mm": _product,
    "mm": _product,
    "mv": _product,
    "bmm": _product,
    "addmm": _product_and_bias,
    "addmv": _product_and_bias,
    "baddbmm": _product_and_bias,
    **dict.fromkeys(CONVOLUTIONS, _convolution),
}


def _packed(args: tuple) -> torch.ScriptObject | None:
    """Returns the packed parameters, weights and bias in one object, among the arguments."""
    return next((one for one in args if isinstance(one, torch.ScriptObject)), None)


def is_packed(func: OpOverload, args: tuple) -> bool:
    """Returns whether an operation has packed parameters, as torch.ao converts layers."""
    return func.namespace == "quantized" and _packed(args) is not None


PACKED = ("conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "linear")


def packed_product(func: OpOverload, args: tuple, output: Any) -> dict:
    """Returns the fields of a product whose parameters are packed, as torch.ao converts layers.

    Its output is the float32 product of the values that the codes stand for, and the codes that the
    operation makes must be those of this product.
    """
    x, packed = args[0], _packed(args)
    kind = func._schema.name.partition("::")[2]
    fields = {"activations": x, "weights": x, "bias": None, "output": x}
    if "fp16" in kind:
        return fields | {"fault": "its activations are not quantised, but floats of 16 bits"}
    if not x.is_quantized:
        return fields | {"fault": ANEW}
    if kind.removesuffix("_relu") not in PACKED:
        return fields | {"fault": f"PyTorch's operation quantized.{kind} is not known"}
    weights, bias = packed.unpack()
    fields |= {
        "activations": x.dequantize(),
        "weights": weights.dequantize(),
        "bias": bias,
        "activation_grids": (_grid_of_codes(x),),
        "weight_grids": (_grid_of_codes(weights),),
    }
    if kind.startswith("linear"):
        found = functional.linear(fields["activations"], fields["weights"], bias)
    else:
        sides = weights.ndim - 2  # a 1D convolution is packed as one of maps of one row
        geometry = {
            name: tuple(getattr(packed, name)()) for name in ("stride", "padding", "dilation")
        }
        if x.ndim < weights.ndim:
            fields["weights"] = fields["weights"].squeeze(2)
            geometry = {name: numbers[1:] for name, numbers in geometry.items()}
            sides = 1
        geometry["groups"] = packed.groups()
        if packed.transpose():
            geometry["output_padding"] = tuple(packed.output_padding())[-sides:]
        convolve = getattr(functional, kind.removesuffix("_relu"))
        found = convolve(fields["activations"], fields["weights"], bias, **geometry)
        fields |= geometry | {"transposed": packed.transpose()}
    made = _grid_of_codes(output)
    if kind.endswith("_relu"):
        made = replace(made, low=max(made.low, int(made.zero_point.item())))
    fault = requantising_fault(found, output.int_repr(), made)
    return fields | {"output": found, "fault": fault}


def _grid_of_codes(tensor: Tensor) -> Grid:
    """Returns the grid of a tensor that PyTorch keeps as codes."""
    limits = torch.iinfo(tensor.int_repr().dtype)
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        scale, zero = torch.tensor([tensor.q_scale()]), torch.tensor([tensor.q_zero_point()])
    else:
        scale, zero = tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
    return Grid(scale, zero, limits.min, limits.max)


def _stated(func: OpOverload, args: tuple, kwargs: dict) -> tuple[Grid, ...]:
    """Returns the grid that an operation's arguments state; () if they state none.

    PyTorch's fake-quantising operations state one.
    """
    given = dict(zip((one.name for one in func._schema.arguments), args, strict=False)) | kwargs
    scale, zero = (given.get(one, given.get(f"{one}s")) for one in ("scale", "zero_point"))
    limits = [given.get(one) for one in ("quant_min", "quant_max")]
    if limits[0] is None and given.get("dtype") in (torch.qint8, torch.quint8):
        limits = [torch.iinfo(given["dtype"]).min, torch.iinfo(given["dtype"]).max]
    if None in (scale, zero, *limits):
        return ()
    return (Grid(torch.as_tensor(scale), torch.as_tensor(zero), *map(int, limits)),)


class _NodeByNode(Interpreter):
    """Runs a graph, and notes for each operator the module that the graph names as its origin."""

    def __init__(self, graph: GraphModule, watch: Watch):
        super().__init__(graph)
        self._watch = watch

    def run_node(self, n):
        stack = n.meta.get("nn_module_stack")
        if not stack:
            return super().run_node(n)
        name, kind = [*stack.values()][-1]
        kind = kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__
        self._watch.running.append(Running(name, kind))
        try:
            return super().run_node(n)
        finally:
            self._watch.running.pop()


def is_graph(model: nn.Module) -> bool:
    """Returns whether a model is a graph whose operators state the modules that they come from."""
    return isinstance(model, GraphModule) and any(
        node.meta.get("nn_module_stack") for node in model.graph.nodes
    )


@contextmanager
def watching(
    model: nn.Module, inputs: Tensor, take: Callable[[Product], None]
) -> Iterator[Callable[[Tensor], Any]]:
    """Watches forward passes of `model` on `inputs` inside the with statement.

    Yields the function that runs them. `take` is called with each product, while the tensors still
    have their values: operations in place may overwrite them later. What it raises is raised at the
    end of the with statement.
    """
    with watched_by(Watch(take), model, inputs) as forward:
        yield forward


@contextmanager
def watched_by(watch: Watch, model: nn.Module, inputs: Tensor) -> Iterator[Callable[[Tensor], Any]]:
    """Lets `watch` see forward passes of `model` on `inputs`; the rest is as in `watching`."""
    names = {module: name for name, module in reversed([*model.named_modules()])}
    watch.mark_input(inputs)

    def enter(module, args):
        watch.running.append(Running(names.get(module, ""), type(module).__name__, module))

    def leave(module, args, output):
        while watch.running.pop().module is not module:
            pass  # the forward of a module below was left by an exception that the model caught
        watch.hand_over()
        note_grids(module, output, watch)

    hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        with watch:
            yield _NodeByNode(model, watch).run if is_graph(model) else model
            watch.hand_over()
    finally:
        for hook in hooks:
            hook.remove()
    if watch.fault:
        raise watch.fault


def note_grids(module: nn.Module, output: Any, watch: Watch) -> None:
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
    levels, signed = 2 ** int(bit_width.max().ceil().item()), getattr(output, "signed", False)
    low, high = (-levels // 2, levels // 2 - 1) if signed else (0, levels - 1)
    if binary := signed and levels == 2:  # −1 and 1
        high = 1
    grid = Grid(scale.detach(), zero_point.detach(), low, high, ends=binary)
    watch.add_grid(value, grid)


def _has_memory(value: Any) -> bool:
    """Returns whether a value is a tensor of ordinary memory."""
    return isinstance(value, Tensor) and value.layout == torch.strided


def memory_of(tensor: Tensor) -> StorageWeakRef:
    """Returns the identity of a tensor's memory, which its views share."""
    return StorageWeakRef(tensor.untyped_storage())
