"""Gives an array the size and sign that a user or a layer asks for."""

import json
import os
import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import NamedTuple

from pymodel.support.command import whole_number
from tb.components.array_adapter import ASKED_SIZES, OWN, ArrayAdapter, adapter_class

MOST_SIDE = 256  # largest number of rows or columns that a user may ask for
PARAMETERS = ("ROWS", "COLS", "ACT_SIGNED")  # of the Verilog module


class Asked(NamedTuple):
    """The size and sign that a user asks of an array, as text; None: as the adapter has them."""

    rows: str | None = None
    cols: str | None = None
    act_signed: str | None = None  # "0" or "1"

    @property
    def parameters(self) -> dict[str, int]:
        """Returns the parameters of the Verilog module that are asked for.

        Raises InputError if one is no number, or out of its range.
        """
        limits = ((1, MOST_SIDE), (1, MOST_SIDE), (0, 1))
        return {
            name: whole_number(name, text, *limit)
            for name, text, limit in zip(PARAMETERS, self, limits, strict=True)
            if text is not None
        }

    def settings(self) -> dict[str, str]:
        """Returns the environment variable by which an adapter checks that it got what is asked."""
        return {ASKED_SIZES: json.dumps(self.parameters)}


def add_size_options(parser: ArgumentParser) -> None:
    """Adds the options that `asked_size` reads."""
    parser.add_argument("--rows", help="parameter ROWS of the array; default: the adapter's")
    parser.add_argument("--cols", help="parameter COLS of the array; default: the adapter's")
    parser.add_argument(
        "--act-signed",
        help="parameter ACT_SIGNED of the array, 0 or 1; 1: activations are two's complement, a "
        "layer's codes less their zero point; default: the adapter's, or for this project's array "
        "what needs fewer bits",
    )


def make_variables(arguments: Namespace, dut: type[ArrayAdapter]) -> str:
    """Returns the variables of make that name the array, its size and the simulator again.

    Those that the adapter `dut` reads are among them.
    """
    names = ("DUT", "SIM", *PARAMETERS)
    given = {name: getattr(arguments, name.lower()) for name in names}
    given["DUT"] = os.path.relpath(given["DUT"])
    if given["SIM"] == "icarus":  # the default
        del given["SIM"]
    given |= dut.variables()
    return " ".join(f"{n}={shlex.quote(str(v))}" for n, v in given.items() if v is not None)


def asked_size(arguments: Namespace) -> Asked:
    """Returns what the options of `add_size_options` ask for."""
    return Asked(arguments.rows, arguments.cols, arguments.act_signed)


def sized(path: Path, bits: tuple[int, int], zero: int, asked: Asked) -> type[ArrayAdapter]:
    """Returns the adapter in file `path`, of an array with the parameters that are asked for.

    This project's array also gets the widths that codes of activations and weights need, of so many
    `bits`, where `zero` is the zero point of the activations. It takes signed activations where
    codes less their zero point need no more bits than the codes, which is so if a quantiser's codes
    are signed. Raises InputError if a number is none, or if the file is no adapter.
    """
    dut, parameters = adapter_class(path), asked.parameters
    if path.resolve() != OWN:
        return dut.changed(PARAMETERS=dict(dut.PARAMETERS) | parameters) if parameters else dut
    act_bits, weight_bits = bits
    lowest, highest = -zero, 2**act_bits - 1 - zero
    signed_bits = max(-lowest - 1, highest).bit_length() + 1
    signed = bool(parameters.get("ACT_SIGNED", signed_bits <= act_bits))
    sides = parameters.get("ROWS", dut.rows), parameters.get("COLS", dut.cols)
    return dut.of_size(*sides, signed_bits if signed else act_bits, weight_bits, signed)
