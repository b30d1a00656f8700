"""Gives the networks of factories, of torch.export and of ONNX files the same methods.

The methods judge the layers, and run the network with sums of its layers that the caller computes.
"""

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from pymodel.own_network.exported_program import (
    graph_of,
    inputs_at_a_time,
    is_program,
    load_program,
)
from pymodel.own_network.factory import load_model, of_the_user
from pymodel.own_network.fit import Fit, FitError, fit_layers, layers_of
from pymodel.own_network.integer_forward import (
    Differences,
    Sums,
    Trace,
    compare_roundings,
    float_forward,
    integer_forward,
)
from pymodel.own_network.onnx_file import digest_of, is_onnx
from pymodel.own_network.onnx_forward import OnnxGraph, judge_file
from pymodel.own_network.state_dict import load_state
from pymodel.support.errors import InputError

Fits = Mapping[str, Fit]


class Network(ABC):
    """A network on inputs [N, …], whose outputs are a list of tensors.

    Errors are those of `fit_layers`.
    """

    @abstractmethod
    def digest(self) -> str:
        """Returns a hash of all numbers that were loaded, and of the graph of a file."""

    @abstractmethod
    def judge(self, inputs: Tensor) -> dict[str, Fit | FitError]:
        """Judges all layers on these inputs, and returns the outcomes by the layers' names."""

    @abstractmethod
    def from_sums(
        self, inputs: Tensor, fits: Fits, sums: Sums, signed: bool
    ) -> tuple[list[Tensor], Trace]:
        """Returns outputs and a trace of a run in which `sums` computes the sums of `fits`.

        The codes are those that an array of unsigned or of `signed` activations takes. Raises
        FitError for activations that do not lie on the grid of a layer, and what `sums` raises.
        """

    @abstractmethod
    def as_it_is(self, inputs: Tensor, fits: Fits) -> tuple[list[Tensor], Trace]:
        """Returns the outputs of the network as it is, and a trace."""

    @abstractmethod
    def rounded_from(self, inputs: Tensor, fits: Fits, trace: Trace) -> Differences:
        """Runs the network in float32, and returns how its codes differ from those of another run.

        Each layer gets the activations of the other run, whose `trace` is given.
        """


class TorchNetwork(Network):
    """A network that is a torch.nn.Module; a program may be made for `at_a_time` inputs."""

    def __init__(self, model: nn.Module, name: str, at_a_time: int | None = None):
        self.model = model
        self.name = name
        self.at_a_time = at_a_time

    def digest(self) -> str:
        saved = io.BytesIO()
        torch.save(self.model.state_dict(), saved)
        return hashlib.sha256(
            saved.getvalue() + getattr(self.model, "code", "").encode()
        ).hexdigest()

    def judge(self, inputs: Tensor) -> dict[str, Fit | FitError]:
        return fit_layers(self.model, inputs, what=self._what(inputs))

    def from_sums(
        self, inputs: Tensor, fits: Fits, sums: Sums, signed: bool
    ) -> tuple[list[Tensor], Trace]:
        found, trace = integer_forward(self.model, inputs, fits, sums, self._what(inputs), signed)
        return _tensors(found), trace

    def as_it_is(self, inputs: Tensor, fits: Fits) -> tuple[list[Tensor], Trace]:
        found, trace = float_forward(self.model, inputs, fits, self._what(inputs))
        outputs, size = _tensors(found), self.at_a_time
        if size and size < len(inputs):
            parts = inputs.split(size)
            small = [_tensors(float_forward(self.model, part, fits, "")[0]) for part in parts]
            joined = [torch.cat(several).shape for several in zip(*small, strict=True)]
            if joined != [one.shape for one in outputs]:
                raise InputError(
                    f"{self._what(inputs)}: gives {[list(one.shape) for one in outputs]}, and "
                    f"{[list(one) for one in joined]} for {size} inputs at a time, as it was "
                    "exported; export it with a dynamic first dimension"
                )
        return outputs, trace

    def rounded_from(self, inputs: Tensor, fits: Fits, trace: Trace) -> Differences:
        return compare_roundings(self.model, inputs, fits, trace, self._what(inputs))

    def _what(self, inputs: Tensor) -> str:
        kind = str(inputs.dtype).removeprefix("torch.")
        return f"{self.name} on {kind} {list(inputs.shape)}"


class OnnxNetwork(Network):
    """A network in an ONNX file."""

    def __init__(self, path: Path):
        self.path = path

    def digest(self) -> str:
        return digest_of(self.path)

    def judge(self, inputs: Tensor) -> dict[str, Fit | FitError]:
        return judge_file(self.path, inputs)

    def from_sums(
        self, inputs: Tensor, fits: Fits, sums: Sums, signed: bool
    ) -> tuple[list[Tensor], Trace]:
        return OnnxGraph(self.path, inputs).from_sums(fits, sums, signed)

    def as_it_is(self, inputs: Tensor, fits: Fits) -> tuple[list[Tensor], Trace]:
        return OnnxGraph(self.path, inputs).as_it_is(fits)

    def rounded_from(self, inputs: Tensor, fits: Fits, trace: Trace) -> Differences:
        return OnnxGraph(self.path, inputs).rounded_from(fits, trace)


def load_network(name: str, state: Path | None) -> Network:
    """Returns the network of a factory, "package.module:factory", or of a file, .onnx or .pt2.

    `state` is the state dict of the factory's network, and None for a file. Raises InputError for
    what cannot be loaded.
    """
    if is_onnx(name):
        return OnnxNetwork(Path(name))
    if is_program(name):
        program = load_program(Path(name))
        return TorchNetwork(graph_of(program), name, inputs_at_a_time(program))
    model = load_model(name)
    load_state(model, state)
    model = of_the_user("the model", model.to, "cpu", torch.float32)
    # A model that is itself a layer gets a name inside an nn.Sequential
    if any(one is model for one in layers_of(model).values()):
        model = nn.Sequential(model)
    return TorchNetwork(model, name)


def _tensors(outputs: object) -> list[Tensor]:
    """Returns the tensors and the numbers in what a model gives, as floats."""
    kinds = Tensor, float, int
    found = [torch.as_tensor(one) for one in tree_leaves(outputs) if isinstance(one, kinds)]
    return [one.dequantize() for one in found]
