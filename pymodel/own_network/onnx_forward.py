"""Runs an ONNX file node by node, with its quantised layers computed from integer sums.

The functions are those of integer_forward.py, for a file instead of a model.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pymodel.own_network.fit import Fit, FitError, as_output, judge, on_inputs
from pymodel.own_network.integer_forward import Differences, Sums, Trace
from pymodel.own_network.onnx_file import (
    PRODUCTS,
    QONNX,
    as_tensor,
    attributes,
    contexts_of,
    input_name,
    inputs_of,
    load,
    name_of,
    operands_of,
    products_of,
)
from pymodel.own_network.watched_products import Product
from pymodel.support.errors import InputError

if TYPE_CHECKING:
    from onnx import NodeProto

Context = dict[str, Any]  # all arrays of a graph, by name, in one of its runs
# Operators that round to whole steps, and the place of the scale among their inputs
ROUNDINGS = {"QuantizeLinear": 1, "Quant": 1, "IntQuant": 1, "Round": None}
# The places of scale and zero point of the codes that an operator makes
CODES = {"QLinearConv": (6, 7), "QLinearMatMul": (6, 7), "QGemm": (7, 8)}


def judge_file(path: Path, inputs: Tensor) -> dict[str, Fit | FitError]:
    """Returns the layers of a file by name, as judged on inputs [N, …]."""
    return {one.layer: judge(one, len(inputs)) for one in products_of(path, inputs)}


class OnnxGraph:
    """The graph of an ONNX file, and all tensors of runs of the unchanged file on inputs."""

    def __init__(self, path: Path, inputs: Tensor):
        self.path = path
        self.inputs = len(inputs)
        self.model = load(path)
        name = input_name(path, self.model)
        self.contexts = contexts_of(path, self.model, name, inputs, "")
        self._dependent = {name}
        self._sessions: dict[tuple[str, ...], Any] = {}  # session of a node, by the node's outputs
        # Nodes that output numbers of 4 bits, by their outputs
        self._narrow: dict[str, NodeProto] = {}
        self._checked()

    def _checked(self) -> None:
        """Raises InputError for a graph that cannot be run node by node."""
        for node in self.model.graph.node:
            if any(one.HasField("g") for one in node.attribute):
                raise InputError(
                    f"{self.path}: {node.op_type} holds a graph of its own, which cannot be run "
                    "node by node"
                )

    def outputs(self, contexts: list[Context]) -> list[Tensor]:
        """Returns the outputs of the graph, of all inputs together."""
        return [
            torch.cat([as_tensor(one[output.name]) for one in contexts])
            for output in self.model.graph.output
        ]

    def as_it_is(self, fits: Mapping[str, Fit]) -> tuple[list[Tensor], Trace]:
        """Returns the outputs of the unchanged file, and the activations of its layers."""
        trace = Trace()
        for name, _, operands in self._nodes():
            if name in fits and operands:
                trace.activations[name] = _joined(self.contexts, operands[0])
        return self.outputs(self.contexts), trace

    def from_sums(
        self, fits: Mapping[str, Fit], sums: Sums, signed: bool
    ) -> tuple[list[Tensor], Trace]:
        """Returns the outputs with the sums of the layers `fits` from `sums`, and a trace.

        The arguments and errors are those of `integer_forward`.
        """
        trace, contexts = Trace(), [dict(one) for one in self.contexts]
        for name, node, operands in self._nodes():
            fit = fits.get(name) if operands else None
            if fit:
                trace.activations[name] = _joined(contexts, operands[0])
            trace.rounded += _steps(node, contexts)
            self._execute(node, contexts)
            if fit:
                parts = [
                    PRODUCTS[node.op_type](node, _Tensors(c), self._dependent) for c in contexts
                ]
                both = {
                    key: torch.cat([p[key] for p in parts]) for key in ("activations", "output")
                }
                product = Product(name, node.op_type, None, **parts[0] | both)
                if product.fault:
                    raise FitError(f"{name}: {product.fault}")
                data = on_inputs(fit, product, self.inputs).for_array(signed)
                values = as_output(data.recover(sums(data)).float(), product)
                sizes = [len(part["output"]) for part in parts]
                for context, part, own in zip(contexts, values.split(sizes), parts, strict=True):
                    _replace(node, context, part, own["bias"] is None, operands[2])
        return self.outputs(contexts), trace

    def rounded_from(self, fits: Mapping[str, Fit], other: Trace) -> Differences:
        """Runs the file, and returns how its codes differ from those of another run.

        Each layer gets the activations of the other run, whose trace is `other`.
        """
        found, contexts = Differences(), [dict(one) for one in self.contexts]
        roundings = iter(other.rounded)
        for name, node, operands in self._nodes():
            if name in fits and operands:
                x = operands[0]
                given, own = other.activations[name], _joined(contexts, x)
                found.count(name, own, given, fits[name])
                sizes = [len(one[x]) for one in contexts]
                for context, part in zip(contexts, given.split(sizes), strict=True):
                    context[x] = part.numpy().astype(context[x].dtype)
            for steps in _steps(node, contexts):
                found.count_rounding(steps, next(roundings))
            self._execute(node, contexts)
        return found

    def _nodes(self) -> Iterator[tuple[str, "NodeProto", tuple[str, str, bool] | None]]:
        """Yields the nodes that follow from the input, in order, with the operands of a product."""
        self._dependent = {input_name(self.path, self.model)}
        for number, node in enumerate(self.model.graph.node):
            if not any(name in self._dependent for name in inputs_of(node)):
                continue
            product = node.op_type in PRODUCTS
            operands = operands_of(node, self._dependent) if product else None
            self._dependent |= set(node.output)
            yield name_of(node, number), node, operands

    def _execute(self, node: "NodeProto", contexts: list[Context]) -> None:
        """Computes the outputs of a node in each context."""
        if node.domain in QONNX:
            from qonnx.core.execute_custom_node import execute_custom_node

            opset = self.model.opset_import[0].version
            for context in contexts:
                execute_custom_node(node, context, self.model.graph, onnx_opset_version=opset)
            return
        if any(name not in self.contexts[0] for name in node.output if name):
            # This node runs together with the nodes that take its output
            self._narrow |= dict.fromkeys(node.output, node)
            return
        key = tuple(node.output)
        if key not in self._sessions:
            self._sessions[key] = self._session(node, contexts[0])
        session, given = self._sessions[key]
        made = [one.name for one in session.get_outputs()]
        for context in contexts:
            found = session.run(made, {name: context[name] for name in given})
            context |= dict(zip(made, found, strict=True))

    def _session(self, node: "NodeProto", context: Context) -> tuple[Any, list[str]]:
        """Returns a session that runs a node, and the names of its inputs.

        What does not follow from the graph's input is a constant of the session. The session also
        holds the nodes before this one whose outputs have 4 bits, because onnxruntime cannot return
        such numbers.
        """
        import onnx
        import onnxruntime
        from onnx import helper, numpy_helper

        nodes = [node]
        while before := [
            self._narrow[name]
            for name in nodes[0].input
            if name in self._narrow and self._narrow[name] not in nodes
        ]:
            nodes = before + nodes
        inside = {name for one in nodes for name in one.output}
        wanted = [name for one in nodes for name in one.input if name and name not in inside]
        names = list(dict.fromkeys(wanted))
        given = [name for name in names if name in self._dependent]
        stored = {one.name: one for one in self.model.graph.initializer}
        constants = [
            stored[name] if name in stored else numpy_helper.from_array(context[name], name)
            for name in names
            if name not in given
        ]
        graph = helper.make_graph(
            nodes,
            "node",
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(context[name].dtype), None
                )
                for name in given
            ],
            [onnx.ValueInfoProto(name=name) for name in node.output if name],
            constants,
        )
        model = helper.make_model(graph, opset_imports=self.model.opset_import)
        model.ir_version = self.model.ir_version
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return session, given


class _Tensors(Mapping):
    """The arrays of a context as tensors."""

    def __init__(self, context: Context):
        self._context = context

    def __getitem__(self, name: str) -> Tensor:
        found = as_tensor(self._context[name])
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._context)

    def __len__(self) -> int:
        return len(self._context)


def _joined(contexts: list[Context], name: str) -> Tensor:
    """Returns the tensor `name` of all contexts, concatenated."""
    return torch.cat([as_tensor(one[name]) for one in contexts])


def _steps(node: "NodeProto", contexts: list[Context]) -> list[Tensor]:
    """Returns the values that a node rounds, in steps, for each context.

    The list is empty for a node that rounds nothing.
    """
    if node.op_type not in ROUNDINGS:
        return []
    place = ROUNDINGS[node.op_type]
    found = []
    for context in contexts:
        x = as_tensor(context[node.input[0]]).float()
        scale = torch.ones(()) if place is None else as_tensor(context[node.input[place]])
        if scale.ndim == 1 and scale.numel() > 1:  # a scale for each index of a dimension
            axis = attributes(node).get("axis", 1)
            scale = scale.reshape(*(-1 if n == axis % x.ndim else 1 for n in range(x.ndim)))
        found.append(x / scale)
    return found


def _replace(
    node: "NodeProto", context: Context, values: Tensor, no_bias: bool, left: bool
) -> None:
    """Puts the values of a layer in the place of a node's output.

    `values` are float32 and have the shape of the product's output, or the transposed shape if the
    weights are the `left` operand. With `no_bias`, the third input of a Gemm is added to them.
    """
    made = context[node.output[0]]
    found = values.numpy()
    if left:
        turned = made.swapaxes(-1, -2) if made.ndim > 1 else made
        found = found.reshape(turned.shape)
        found = found.swapaxes(-1, -2) if made.ndim > 1 else found
    found = found.reshape(made.shape)
    if node.op_type == "Gemm" and no_bias and len(node.input) > 2 and node.input[2]:
        beta = np.float32(attributes(node).get("beta", 1.0))
        found = found + beta * context[node.input[2]]
    if places := CODES.get(node.op_type):
        scale, zero = (
            context[node.input[place]] if len(node.input) > place and node.input[place] else None
            for place in places
        )
        if made.dtype != np.float32:  # QGemm may give floats
            limits = np.iinfo(made.dtype)
            found = np.rint(found / scale) + zero.astype(np.int32)
            found = found.clip(limits.min, limits.max)
    elif made.dtype.kind in "iu":
        found = np.rint(found)
    context[node.output[0]] = np.ascontiguousarray(found.astype(made.dtype))
