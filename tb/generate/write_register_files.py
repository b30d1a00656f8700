"""Writes what follows from the register map: documentation, headers, Python constants.

python -m tb.generate registers

The files are rtl/REGISTERS.md, rtl/core_registers.h, rtl/core_registers.vh and
pymodel/hardware/registers.py.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from systemrdl import RDLCompiler
from systemrdl.node import AddrmapNode, FieldNode, RegNode

from pymodel.support.command import CommandParser, conclude
from pymodel.support.files import ROOT, replacing

SOURCE = "rtl/core.rdl"
PYTHON, MARKDOWN, HEADER, VERILOG = (
    "pymodel/hardware/registers.py",
    "rtl/REGISTERS.md",
    "rtl/core_registers.h",
    "rtl/core_registers.vh",
)

HEAD = f'''"""The core's registers. Generated from {SOURCE} by `make registers`: change that."""

from enum import IntEnum

from pymodel.hardware.register_fields import Field, Register
'''


def compile_map() -> AddrmapNode:
    """Returns the register map of rtl/core.rdl."""
    compiler = RDLCompiler()
    compiler.compile_file(str(ROOT / SOURCE))
    return compiler.elaborate().top


def python_constants(top: AddrmapNode) -> str:
    """Returns the text of pymodel/hardware/registers.py."""
    registers = list(top.registers())
    parts = [HEAD]
    for node, field in encoded_fields(top):
        encode = field.get_property("encode")
        name = encode.type_name.removesuffix("_e").title()
        lines = [f'class {name}(IntEnum):\n    """{node.inst_name}.{field.inst_name}."""\n']
        lines += [f"    {m.name} = {m.value}  # {m.rdl_desc}" for m in encode]
        parts.append("\n".join(lines) + "\n")
    for node in registers:
        lines = [f"{node.inst_name} = Register({node.absolute_address:#04x}, {{"]
        for field in node.fields():
            access, reset = field.get_property("sw").name, field.get_property("reset")
            lines.append(
                f'    "{field.inst_name}": Field({field.low}, {field.width}, "{access}", {reset}),'
            )
        parts.append("\n".join(lines) + "\n})")
    names = ", ".join(f'"{n.inst_name}": {n.inst_name}' for n in registers)
    parts.append(f"REGISTERS = {{{names}}}\n")
    text = "\n\n".join(parts[:3]) + "\n\n" + "\n".join(parts[3:])
    ruff = [sys.executable, "-m", "ruff", "format", "-", "--stdin-filename", str(ROOT / PYTHON)]
    return subprocess.run(ruff, input=text, text=True, capture_output=True, check=True).stdout


def encoded_fields(top: AddrmapNode) -> Iterator[tuple[RegNode, FieldNode]]:
    """Yields the fields whose values have names, each with its register."""
    for node in top.registers():
        for field in node.fields():
            if field.get_property("encode"):
                yield node, field


def c_values(top: AddrmapNode) -> str:
    """Returns C macros for the named values of fields, which PeakRDL's header lacks."""
    lines = []
    for node, field in encoded_fields(top):
        lines.append(f"\n// values - core::{node.inst_name}::{field.inst_name}\n")
        prefix = f"CORE__{node.inst_name}__{field.inst_name.upper()}"
        lines += [f"#define {prefix}__{m.name} {m.value}\n" for m in field.get_property("encode")]
    return "".join(lines)


def verilog_header(top: AddrmapNode) -> str:
    """Returns the text of rtl/core_registers.vh: macros for addresses and values."""
    registers = list(top.registers())
    version = next(node for node in registers if node.inst_name == "VERSION")
    reads = sum(field.get_property("reset") << field.low for field in version.fields())
    width = max(node.absolute_address for node in registers).bit_length() - 2
    lines = [
        f"// The core's registers. Generated from {SOURCE} by `make registers`: change that.",
        "`ifndef CORE_REGISTERS_VH",
        "`define CORE_REGISTERS_VH",
        "",
        "// What VERSION reads as",
        f"`define CORE_VERSION 32'h{reads:08x}",
        "",
        "// Registers: the address of each in words of four bytes",
        *(
            f"`define CORE_REGISTER_{node.inst_name} {width}'h{node.absolute_address // 4:02x}"
            for node in registers
        ),
    ]
    for node, field in encoded_fields(top):
        prefix = f"CORE_{field.inst_name.upper()}"
        lines += ["", f"// {node.inst_name}.{field.inst_name}"]
        lines += [
            f"`define {prefix}_{m.name} {field.width}'d{m.value}"
            for m in field.get_property("encode")
        ]
    return "\n".join([*lines, "", "`endif", ""])


def write(folder: Path) -> None:
    """Writes the four files into `folder`, under the names that they have in the project."""
    for exporter, name in (("markdown", MARKDOWN), ("c-header", HEADER)):
        with replacing(folder / name) as temporary:
            # Its own name stands in the header's include guard.
            output = temporary.parent / f".{temporary.name}" / Path(name).name
            output.parent.mkdir()
            command = [sys.executable, "-m", "peakrdl", exporter, SOURCE, "-o", str(output)]
            subprocess.run(command, cwd=ROOT, check=True)
            text = output.read_text()
            if name == HEADER:
                end = "\n#endif /* CORE_REGISTERS_H */"
                text = text.replace(end, c_values(compile_map()) + end)
            temporary.write_text(text)
            output.unlink()
            output.parent.rmdir()
    for name, text in ((PYTHON, python_constants), (VERILOG, verilog_header)):
        with replacing(folder / name) as temporary:
            temporary.write_text(text(compile_map()))


def main() -> int:
    CommandParser("tb.generate registers", __doc__).parse_args()
    write(ROOT)
    return conclude(f"Wrote {PYTHON}, {MARKDOWN}, {HEADER}, {VERILOG} from {SOURCE}")
