"""Lists the conventions that tile text files differ in, and turns words into numbers under each.

docs/tile-text-files.md describes each convention; its option is the name of the field.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property

from pymodel.support.errors import InputError


@dataclass(frozen=True)
class Conventions:
    """One way to read or write a folder. The first choice of each field is the usual one."""

    activations: str = "pixels"
    map: str = "padded"
    activation_bits: str = "4"
    windows: str = "kij-first"
    pixels: str = "7-0"
    weights: str = "columns"
    weight_lines: str = "0-7"
    weight_numbers: str = "7-0"
    pairs: str = "neighbours"
    pair_lines: str = "together"
    output_pairs: str = "neighbours"
    cores: str = "inputs"
    columns: str = "7-0"
    channels: str = "in-order"
    outputs_in: str = "pixels"
    outputs: str = "relu"

    @cached_property
    def deviations(self) -> int:
        """Number of fields that are not the usual choice."""
        return sum(getattr(self, name) != usual for name, usual in USUAL.items())


# What each choice of a convention says, the usual one first.
MEANINGS = {
    "activations": {
        "pixels": "a line of activations is a pixel, its numbers are the input channels",
        "channels": "a line of activations is an input channel, its numbers are the pixels",
        "windows": "a line of activations is a kernel position and an input channel, its numbers "
        "are eight output pixels",
        "outputs": "a line of activations is an output pixel, its numbers are kernel positions and "
        "input channels",
    },
    "map": {
        "padded": "the activations hold the padding",
        "unpadded": "the activations hold no padding",
    },
    "activation_bits": {"4": "an activation has 4 bits", "2": "an activation has 2 bits"},
    "windows": {
        "kij-first": "the input channels follow one another within a kernel position",
        "channel-first": "the kernel positions follow one another within an input channel",
    },
    "pixels": {
        "7-0": "the last number of a line of windows is output pixel 0",
        "0-7": "the first number of a line of windows is output pixel 0",
    },
    "weights": {
        "columns": "a line of weights is a column (output channel)",
        "rows": "a line of weights is a row (input channel)",
    },
    "weight_lines": {
        "0-7": "the first line of weights is channel 0",
        "7-0": "the last line of weights is channel 0",
    },
    "weight_numbers": {
        "7-0": "the last number of a line of weights is channel 0",
        "0-7": "the first number of a line of weights is channel 0",
    },
    "pairs": {
        "neighbours": "the low half of a four-bit activation is channel 2r, the high half 2r + 1",
        "halves": "the weights count the eight low halves first, then the eight high halves",
        "high-first": "the weight of the high half comes before the weight of the low half",
        "high-halves": "the weights count the eight high halves first, then the eight low halves",
    },
    "pair_lines": {
        "together": "the two lines or outputs of a column follow each other",
        "apart": "the second lines or outputs of the columns follow the first ones of all columns",
        "separate": "the two lines of a column make two outputs, one for each half",
    },
    "output_pairs": {
        "neighbours": "the weights of the two outputs in a line alternate, the first output last",
        "halves": "a line holds the weights of two outputs, those of the first one last",
        "high-first": "the weights of the two outputs in a line alternate, the first output first",
        "high-halves": "a line holds the weights of two outputs, those of the first one first",
    },
    "cores": {
        "inputs": "each core has a part of the input channels",
        "outputs": "each core has a part of the output channels",
    },
    "columns": {
        "7-0": "the last number of a line of psums and outputs is column 0",
        "0-7": "the first number of a line of psums and outputs is column 0",
    },
    "channels": {
        "in-order": "the output channels are in order",
        "interleaved": "output channels c and c + 8 lie side by side",
        "halves": "the even output channels come before the odd ones",
    },
    "outputs_in": {
        "pixels": "a line of outputs is a pixel, its numbers are the output channels",
        "channels": "a line of outputs is an output channel, its numbers are the pixels",
    },
    "outputs": {
        "relu": "the outputs are sums after a ReLU",
        "raw": "the outputs are sums before any ReLU",
        "leaky": "the outputs are sums after a leaky ReLU",
        "residual": "the outputs are sums to which the layer's input is added",
    },
}
CHOICES = {name: tuple(meanings) for name, meanings in MEANINGS.items()}
USUAL = {name: choices[0] for name, choices in CHOICES.items()}


def option(name: str) -> str:
    """Returns the option of the commands that fixes a convention."""
    return f"--{name.replace('_', '-')}"


def taken(conventions: Conventions, names: Iterable[str]) -> list[str]:
    """Returns a line for each of the conventions `names`: what was taken, and what fixes it."""
    chosen = asdict(conventions)
    return [f"{MEANINGS[n][chosen[n]]} ({option(n)} {chosen[n]})" for n in names]


def add_options(parser: ArgumentParser, otherwise: str) -> None:
    """Adds an option for each convention; `otherwise` says in words what happens without it."""
    group = parser.add_argument_group(f"conventions of the files, {otherwise}")
    for name, meanings in MEANINGS.items():
        texts = "; ".join(f"{choice}: {text}" for choice, text in meanings.items())
        group.add_argument(option(name), metavar="|".join(meanings), help=texts)


def fixed_by(arguments: Namespace) -> dict[str, str]:
    """Returns the conventions that the options fix.

    Raises InputError for a value that is no choice.
    """
    fixed = {n: getattr(arguments, n) for n in MEANINGS if getattr(arguments, n) is not None}
    for name, value in fixed.items():
        if value not in CHOICES[name]:
            raise InputError(f"{option(name)} is '{value}', expected {' or '.join(CHOICES[name])}")
    return fixed
