"""Runs a quantised ONNX file, and hands over each product of activations with weights.

QONNX files (`Quant`, `BipolarQuant`), QCDQ and QDQ pairs of `QuantizeLinear` and
`DequantizeLinear`, and operators on integers (`QLinearConv`, `QLinearMatMul`, `ConvInteger`,
`MatMulInteger`, `QGemm`) are known. onnx and qonnx read and run the files; both are optional.
"""

import contextlib
import hashlib
import io
import logging
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pymodel.own_network.factory import words
from pymodel.own_network.grids import Grid, requantising_fault
from pymodel.own_network.watched_products import ANEW, KEPT_GRIDS, Product, bias_of, no_product
from pymodel.support.errors import InputError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

PACKAGES = "onnx==1.23.2 qonnx==1.0.0"  # onnxruntime is a dependency of qonnx
# An operator of another domain could name any module to be imported.
STANDARD = ("", "ai.onnx", "com.microsoft")
QONNX = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")

Values = Mapping[str, Tensor]  # the tensors of a graph by name
# Smallest and largest number of a tensor's integer type, by the tensor's name
Limits = Mapping[str, tuple[int, int]]
# Operators that multiply, though they may be none of PRODUCTS
MULTIPLIES = re.compile("Conv|MatMul|Gemm|Einsum|LSTM|GRU|RNN|Attention")
NARROW = ("int4", "uint4", "int2", "uint2")  # types that NumPy does not have


def is_onnx(name: str | Path) -> bool:
    """Returns whether a name is that of an ONNX file."""
    return str(name).endswith(".onnx")


def products_of(path: Path, inputs: Tensor, origin: str = "") -> Iterator[Product]:
    """Yields the products of an ONNX file on float inputs [N, …], in the order of the graph.

    A layer has the name of its node; `origin` says in a message where the inputs come from. Raises
    InputError if the file is damaged, has several inputs or operators of unknown domains, or does
    not run on the inputs.
    """
    model = load(path)
    given = input_name(path, model)
    _check_names(path, model)
    runs, limits = run(path, model, given, inputs, origin)
    dependent = {given}
    grids: dict[str, tuple[Grid, ...]] = {}
    makers = {name: node for node in model.graph.node for name in node.output}
    for number, node in enumerate(model.graph.node):
        follow = [name in dependent for name in inputs_of(node)]
        stated = stated_grid(node, runs[0], limits, makers)
        inherited = dict.fromkeys(grid for name in node.input for grid in grids.get(name, ()))
        if node.op_type in PRODUCTS:  # the values of a product lie on no grid of its operands
            inherited = ()
        found = (*([stated] if stated else []), *inherited)[:KEPT_GRIDS]
        for name in node.output:
            grids[name] = found
        if not any(follow):
            continue
        dependent |= set(node.output)
        name = name_of(node, number)
        if node.op_type not in PRODUCTS:
            if not all(follow) and (fault := _unknown(node)):
                yield Product(name, node.op_type, None, **no_product(fault))
            continue
        operands = operands_of(node, dependent)
        if not operands:
            continue  # a product of activations, as in attention
        x, weight, left = operands
        if left and node.op_type not in ("MatMul", "Gemm"):
            fault = f"its weights are the left operand of {node.op_type}, expected the right one"
            yield Product(name, node.op_type, None, **no_product(fault))
            continue
        parts = [PRODUCTS[node.op_type](node, values, dependent) for values in runs]
        weight_grids = grids.get(weight, ())
        if node.op_type == "Gemm" and (alpha := attributes(node).get("alpha", 1.0)) != 1:
            weight_grids = [found for grid in weight_grids if (found := grid.times(alpha))]
        fields = {
            "activation_grids": grids.get(x, ()),
            "weight_grids": tuple(weight_grids),
            **parts[0],
            **{key: torch.cat([one[key] for one in parts]) for key in ("activations", "output")},
            "fault": next(filter(None, (one.get("fault") for one in parts)), ""),
        }
        if x in makers and makers[x].op_type == "DynamicQuantizeLinear":
            fields["fault"] = ANEW
        yield Product(name, node.op_type, None, **fields)


def input_name(path: Path, model: "ModelProto") -> str:
    """Returns the name of a graph's input; raises InputError unless there is one."""
    constants = {one.name for one in model.graph.initializer}
    given = [one.name for one in model.graph.input if one.name not in constants]
    if len(given) != 1:
        raise InputError(f"{path}: has {len(given)} inputs, expected one")
    return given[0]


def name_of(node: "NodeProto", number: int) -> str:
    """Returns the name of the layer that a node is, the graph's node with that number."""
    return node.name or f"{node.op_type}_{number}"


def _check_names(path: Path, model: "ModelProto") -> None:
    """Raises InputError if two products have one name, so that a layer could be either of them."""
    names = [
        name_of(node, number)
        for number, node in enumerate(model.graph.node)
        if node.op_type in PRODUCTS
    ]
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{path}: {count} layers are called {name}, expected one of each name")


def operands_of(node: "NodeProto", dependent: set[str]) -> tuple[str, str, bool] | None:
    """Returns the names of a product's activations and weights, and whether the weights are left.

    `dependent` are the tensors that follow from the input. The third result says whether the
    weights are the left operand. Returns None if both operands follow from the input.
    """
    first, second = (node.input[place] for place in OPERANDS.get(node.op_type, (0, 1)))
    if first in dependent and second in dependent:
        return None
    return (second, first, True) if second in dependent else (first, second, False)


def inputs_of(node: "NodeProto") -> list[str]:
    """Returns the names of the tensors that a node takes, also in its graphs of its own."""
    within = [name for one in _nodes_within(node) for name in one.input]
    return [name for name in (*node.input, *within) if name]


def _nodes_within(node: "NodeProto") -> Iterator["NodeProto"]:
    """Yields the nodes of the graphs that a node has, as `If` does."""
    for attribute in node.attribute:
        for one in attribute.g.node:
            yield one
            yield from _nodes_within(one)


def _unknown(node: "NodeProto") -> str:
    """Returns why a node is no layer although it multiplies; "" if it does not."""
    if MULTIPLIES.search(node.op_type):
        return f"operator {node.op_type} is not known"
    inside = {one.op_type for one in _nodes_within(node) if MULTIPLIES.search(one.op_type)}
    return f"its {' and '.join(sorted(inside))} are inside {node.op_type}" if inside else ""


def batch_of(path: Path) -> int:
    """Returns the number of inputs that a file takes at a time, or 0 if it takes any number."""
    model = load(path)
    constants = {one.name for one in model.graph.initializer}
    given = [one for one in model.graph.input if one.name not in constants]
    dims = given[0].type.tensor_type.shape.dim if given else []
    return dims[0].dim_value if dims else 0


def operators_of(path: Path) -> list[str]:
    """Returns the names of the operators of a file, each once."""
    return sorted({node.op_type for node in load(path).graph.node})


def load(path: Path) -> "ModelProto":
    """Returns the model of a file; raises InputError if it cannot be read, or without onnx."""
    try:
        import onnx
        import qonnx  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            f"{path}: {error.name} is not installed; type: python -m pip install {PACKAGES}"
        ) from None
    try:
        model = onnx.load(path)
    except Exception as error:  # of protobuf, of the file system, of external data
        raise InputError(f"{path}: cannot be read as ONNX: {words(error)}") from None
    if not model.graph.node:
        raise InputError(f"{path}: is no ONNX file, or has no operators")
    if model.functions:  # functions that the file defines are replaced by their operators
        from onnx.inliner import inline_local_functions

        model = inline_local_functions(model)
    for node in [one for top in model.graph.node for one in (top, *_nodes_within(top))]:
        if node.domain not in (*STANDARD, *QONNX):
            raise InputError(
                f"{path}: operator {node.op_type} is of domain '{node.domain}', expected ONNX's or "
                "QONNX's"
            )
    return model


def digest_of(path: Path) -> str:
    """Returns a hash of the graph of a file and of its tensors, also of those in other files."""
    model = load(path)
    sha = hashlib.sha256()
    for tensor in model.graph.initializer:
        sha.update(tensor.SerializeToString(deterministic=True))
    del model.graph.initializer[:]
    sha.update(model.SerializeToString(deterministic=True))
    return sha.hexdigest()


def run(
    path: Path, model: "ModelProto", name: str, inputs: Tensor, origin: str
) -> tuple[list[Values], Limits]:
    """Returns all tensors of the graph in each of its runs, and the limits of the types of codes.

    The inputs are run in batches of the file's own size, by default one after another.
    """
    contexts = contexts_of(path, model, name, inputs, origin)
    limits = {
        key: _limits(found.dtype)
        for key, found in contexts[0].items()
        if isinstance(found, np.ndarray)
        and (found.dtype.kind in "iu" or found.dtype.name in NARROW)
    }
    return [
        {key: tensor for key, found in one.items() if (tensor := as_tensor(found)) is not None}
        for one in contexts
    ], limits


def contexts_of(
    path: Path, model: "ModelProto", name: str, inputs: Tensor, origin: str
) -> list[dict[str, Any]]:
    """Returns all arrays of the graph by name, for each of the runs of `run`."""
    execute = _by_qonnx if any(n.domain in QONNX for n in model.graph.node) else _by_onnxruntime
    _one_at_a_time(model, name)
    logging.getLogger("qonnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            step = execute(model, name)
            batch = batch_of(path) or 1
            return [step(some.numpy()) for some in inputs.split(batch)]
    except Exception as error:
        shape = [min(batch_of(path) or 1, len(inputs)), *inputs.shape[1:]]
        origin += f", expected {_shape(model, name)}"
        raise InputError(f"{path}: on float32 {shape}{origin}: raises {words(error)}") from None


def as_tensor(found: Any) -> Tensor | None:
    """Returns an array as a tensor; None for what is no array of numbers."""
    if not isinstance(found, np.ndarray) or found.dtype.kind in "OSU":
        return None
    if found.dtype.name in NARROW:
        found = found.astype(np.int8 if found.dtype.name.startswith("int") else np.uint8)
    elif found.dtype.kind == "V":  # bfloat16, and floats of 8 bits
        found = found.astype(np.float32)
    return torch.from_numpy(np.array(found))


def _limits(dtype: np.dtype) -> tuple[int, int]:
    """Returns the smallest and the largest number of a type, NumPy's or a narrow one of ONNX."""
    import ml_dtypes  # a dependency of onnx

    found = ml_dtypes.iinfo(dtype)
    return int(found.min), int(found.max)


def _shape(model: "ModelProto", name: str) -> list[int | str]:
    """Returns the shape of the graph's input, with names or "?" for sizes that are open."""
    (found,) = (one for one in model.graph.input if one.name == name)
    return [d.dim_value or d.dim_param or "?" for d in found.type.tensor_type.shape.dim]


def _one_at_a_time(model: "ModelProto", name: str) -> None:
    """Makes the batch of the graph's input 1, if any number of inputs may come."""
    for one in model.graph.input:
        dims = one.type.tensor_type.shape.dim
        if one.name == name and len(dims) and not dims[0].dim_value:
            dims[0].dim_value = 1


def _by_qonnx(model: "ModelProto", name: str) -> Callable[[np.ndarray], dict]:
    """Returns a function that runs a graph with operators of QONNX, node by node."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    wrapped = ModelWrapper(model).transform(InferShapes())
    return lambda one: execute_onnx(wrapped, {name: one}, return_full_exec_context=True)


def _by_onnxruntime(model: "ModelProto", name: str) -> Callable[[np.ndarray], dict]:
    """Returns a function that runs a graph as it is, and gives all its tensors."""
    import onnx
    import onnxruntime
    from onnx.numpy_helper import to_array

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    there = {one.name for one in copy.graph.output}
    made = [name for node in copy.graph.node for name in node.output if name]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made if name not in there)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    # onnxruntime cannot return numbers of 4 bits; it can return their dequantised values, one node
    # later.
    outputs = [one.name for one in session.get_outputs() if "int4" not in one.type]
    constants = {one.name: to_array(one) for one in model.graph.initializer}

    def step(one: np.ndarray) -> dict:
        found = dict(zip(outputs, session.run(outputs, {name: one}), strict=True))
        return constants | found | {name: one}

    return step


def attributes(node: "NodeProto") -> dict[str, Any]:
    """Returns the attributes of a node by name."""
    from onnx.helper import get_attribute_value

    return {one.name: get_attribute_value(one) for one in node.attribute}


def stated_grid(
    node: "NodeProto", values: Values, limits: Limits, makers: Mapping[str, "NodeProto"]
) -> Grid | None:
    """Returns the grid on which a node puts its output, if it is a quantiser.

    `limits` are those of the types, and `makers` are the nodes that make tensors, by name.
    """
    if node.op_type == "BipolarQuant":
        return Grid(values[node.input[1]], torch.zeros(1), -1, 1, ends=True)
    if node.op_type in ("Quant", "IntQuant"):
        scale, zero, bits = (values[name] for name in node.input[1:4])
        levels = 2 ** int(bits.max().ceil().item())
        settings = attributes(node)
        low = -levels // 2 if settings.get("signed", 1) else 0
        return Grid(scale, zero, low, low + levels - 1)
    if node.op_type != "DequantizeLinear":
        return None
    scale = values[node.input[1]]
    zero = values[node.input[2]] if len(node.input) > 2 else torch.zeros(1)
    known = [limits[name] for name in (node.input[0], *node.input[2:]) if name in limits]
    if not known or scale.ndim > 1:  # floats of 8 bits, or a scale for each block
        return None
    low, high = known[0]
    clip = makers.get(node.input[0])
    if clip is not None and clip.op_type == "Clip":  # a QCDQ pair of fewer bits
        low, high = (int(values[name].item()) for name in clip.input[1:3])
    return Grid(scale, zero.float(), low, high)


def _geometry(
    node: "NodeProto", x: Tensor, weight: Tensor, output: Tensor
) -> tuple[Tensor, dict[str, Any]]:
    """Returns the activations and the geometry of a convolution, in the words of `Product`.

    Padding that differs at the two ends of a side is made part of the map. That of a transposed
    convolution may follow from the size of its output (ONNX, ConvTranspose, auto_pad).
    """
    settings = attributes(node)
    sides = weight.ndim - 2
    stride = tuple(settings.get("strides", [1] * sides))
    dilation = tuple(settings.get("dilations", [1] * sides))
    pads = list(settings.get("pads", [0] * 2 * sides))
    auto = settings.get("auto_pad", b"NOTSET").decode()
    transposed = node.op_type == "ConvTranspose"
    if auto in ("SAME_UPPER", "SAME_LOWER") and not transposed:
        for side in range(sides):
            size, k = x.shape[2 + side], dilation[side] * (weight.shape[2 + side] - 1) + 1
            whole = max((-(-size // stride[side]) - 1) * stride[side] + k - size, 0)
            less, more = whole // 2, whole - whole // 2
            pads[side], pads[side + sides] = (less, more) if auto == "SAME_UPPER" else (more, less)
    more = tuple(settings.get("output_padding", [0] * sides))
    if transposed and (auto in ("SAME_UPPER", "SAME_LOWER") or "output_shape" in settings):
        for side in range(sides):
            size, k = x.shape[2 + side], dilation[side] * (weight.shape[2 + side] - 1) + 1
            whole = stride[side] * (size - 1) + more[side] + k - output.shape[2 + side]
            less = whole // 2 if auto == "SAME_UPPER" else whole - whole // 2
            pads[side], pads[side + sides] = less, whole - less
    begin, end = pads[:sides], pads[sides:]
    if transposed:  # what is cut at the end is cut from the padding of the output
        more = tuple(m + b - e for m, b, e in zip(more, begin, end, strict=True))
    elif begin != end:
        borders = [n for side in reversed(range(sides)) for n in (begin[side], end[side])]
        x, begin = functional.pad(x, borders), [0] * sides
    return x, {
        "stride": stride,
        "padding": tuple(begin),
        "dilation": dilation,
        "groups": settings.get("group", 1),
        "transposed": transposed,
        "output_padding": more,
    }


def _convolution(node: "NodeProto", values: Values, dependent: set[str]) -> dict[str, Any]:
    x, weight = (values[name] for name in node.input[:2])
    output = values[node.output[0]]
    x, geometry = _geometry(node, x, weight, output)
    bias = values[node.input[2]] if len(node.input) > 2 and node.input[2] else None
    return {"activations": x, "weights": weight, "bias": bias, "output": output} | geometry


def _rows(tensor: Tensor) -> Tensor:
    """Returns a tensor [*, C] as a matrix."""
    return tensor.reshape(-1, tensor.shape[-1])


def _gemm(node: "NodeProto", values: Values, dependent: set[str]) -> dict[str, Any]:
    settings = attributes(node)
    first, second = (values[name] for name in node.input[:2])
    first = first.t() if settings.get("transA", 0) else first
    second = second if settings.get("transB", 0) else second.t()  # [N, K]
    output, alpha = values[node.output[0]], settings.get("alpha", 1.0)
    added, follows = None, False
    if len(node.input) > 2 and node.input[2]:
        added = (values[node.input[2]] * settings.get("beta", 1.0)).expand_as(output)
        follows = node.input[2] in dependent
    if node.input[1] in dependent:  # (A · B)ᵀ = Bᵀ · Aᵀ
        first, second, output = second, first, output.t()
        added = None if added is None else added.t()
    weight = second if alpha == 1 else second * alpha
    bias = None if added is None else bias_of(added, follows)
    if added is not None and bias is None:
        output = first @ weight.mT
    return {"activations": first, "weights": weight, "bias": bias, "output": output}


def _matmul(node: "NodeProto", values: Values, dependent: set[str]) -> dict[str, Any]:
    x, weight = (values[name] for name in node.input[:2])
    output = values[node.output[0]]
    if weight.ndim == 1:  # a vector
        weight, output = weight[:, None], output[..., None]
    if x.ndim == 1:
        x, output = x[None], output[..., None, :]
    if node.input[1] in dependent:  # (A · B)ᵀ = Bᵀ · Aᵀ
        x, weight, output = weight.mT, x.mT, output.mT
    if weight.numel() > weight.shape[-1] * weight.shape[-2]:
        return no_product("it is a batch of products, each with weights of its own")
    return {
        "activations": _rows(x),
        "weights": weight.reshape(weight.shape[-2:]).t(),
        "bias": None,
        "output": _rows(output),
    }


def _dequantised(
    node: "NodeProto", values: Values, places: tuple[int, int | None, int | None]
) -> tuple[Tensor, Grid]:
    """Returns the float32 values of codes with their scale and zero point, and their grid.

    `places` are the indices of codes, scale and zero point among the inputs of the node. A missing
    scale is 1. If there are several scales, each belongs to one index of dimension 0.
    """
    codes, scale, zero = (
        values[node.input[place]]
        if place is not None and place < len(node.input) and node.input[place]
        else None
        for place in places
    )
    scale = torch.ones(1) if scale is None else scale.flatten()
    zero = torch.zeros(1) if zero is None else zero.float().flatten()
    limits = torch.iinfo(codes.dtype)
    shape = (-1, *[1] * (codes.ndim - 1))
    found = (codes.float() - zero.reshape(shape)) * scale.reshape(shape)
    return found, Grid(scale, zero, limits.min, limits.max)


def _requantised(output: Tensor, node: "NodeProto", values: Values, places: tuple[int, int]) -> str:
    """Returns why the codes that a node makes are not those of `output`, or nothing."""
    codes = values[node.output[0]]
    scale, zero = (values[node.input[place]].flatten() for place in places)
    limits = torch.iinfo(codes.dtype)
    return requantising_fault(output, codes, Grid(scale, zero, limits.min, limits.max))


def _quantised_convolution(
    node: "NodeProto", values: Values, dependent: set[str]
) -> dict[str, Any]:
    """Returns the product of the values that the codes of QLinearConv or ConvInteger stand for."""
    linear = node.op_type == "QLinearConv"
    x, x_grid = _dequantised(node, values, (0, 1, 2) if linear else (0, None, 2))
    weight, weight_grid = _dequantised(node, values, (3, 4, 5) if linear else (1, None, 3))
    x, geometry = _geometry(node, x, weight, values[node.output[0]])
    bias = None
    if linear and len(node.input) > 8 and node.input[8]:
        bias = values[node.input[8]].float() * x_grid.scale * weight_grid.scale
    found = {
        "activations": x,
        "weights": weight,
        "bias": bias,
        "activation_grids": (x_grid,),
        "weight_grids": (weight_grid,),
        **geometry,
    }
    if not linear:
        return found | {"output": values[node.output[0]].float()}
    names = ("stride", "padding", "dilation", "groups")
    convolve = {3: functional.conv1d, 4: functional.conv2d}[weight.ndim]
    output = convolve(x, weight, bias, *(geometry[name] for name in names))
    return found | {"output": output, "fault": _requantised(output, node, values, (6, 7))}


def _quantised_product(node: "NodeProto", values: Values, dependent: set[str]) -> dict[str, Any]:
    """Returns the product of the values that the codes of an integer matrix product stand for."""
    kind, settings = node.op_type, attributes(node)
    whole = kind == "MatMulInteger"
    x, x_grid = _dequantised(node, values, (0, None, 2) if whole else (0, 1, 2))
    second = (1, None, 3) if whole else (3, 4, 5)
    stored = values[node.input[second[0]]]
    turned = not settings.get("transB", 0)  # weights are [C_in, C_out]
    weight, weight_grid = _dequantised(
        node, {**values, node.input[second[0]]: stored.t() if turned else stored}, second
    )
    x = _rows(x.t() if settings.get("transA", 0) else x)
    alpha = settings.get("alpha", 1.0)  # QGemm's
    if alpha != 1:
        weight, weight_grids = weight * alpha, tuple(filter(None, [weight_grid.times(alpha)]))
    else:
        weight_grids = (weight_grid,)
    bias = None
    if kind == "QGemm" and len(node.input) > 6 and node.input[6]:
        bias = values[node.input[6]].float() * x_grid.scale * weight_grid.scale * alpha
    found = {
        "activations": x,
        "weights": weight,
        "bias": bias,
        "activation_grids": (x_grid,),
        "weight_grids": weight_grids,
    }
    made = values[node.output[0]]
    if made.dtype in (torch.int32, torch.float32):
        return found | {"output": _rows(made.float())}
    output = functional.linear(x, weight, bias)
    places = (7, 8) if kind == "QGemm" else (6, 7)
    fault = _requantised(output.reshape(made.shape), node, values, places)
    return found | {"output": output, "fault": fault}


PRODUCTS: dict[str, Callable[["NodeProto", Values, set[str]], dict[str, Any]]] = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "QLinearConv": _quantised_convolution,
    "ConvInteger": _quantised_convolution,
    "QLinearMatMul": _quantised_product,
    "QGemm": _quantised_product,
    "MatMulInteger": _quantised_product,
}
# The places of activations and weights among the inputs of an operator, where they are not 0 and 1
OPERANDS = {"QLinearConv": (0, 3), "QLinearMatMul": (0, 3), "QGemm": (0, 3)}
