"""Compiles with Verilator so that cocotb sees only the signals that a control file names.

A model whose every signal is public is much slower: Verilator cannot optimise what anybody may read
or write.
"""

from pathlib import Path

from cocotb_test import simulator as cocotb_test


class PrivateVerilator(cocotb_test.Verilator):
    """Is cocotb-test's Verilator without the option by which all signals are public."""

    def build_command(self) -> list[list[str]]:
        commands = super().build_command()
        commands[0].remove("--public-flat-rw")
        return commands


def write_ports(folder: Path, toplevel: str) -> Path:
    """Writes the control file that shows all signals and parameters of the top module alone.

    Returns the path of the file.
    """
    path = folder / "ports.vlt"
    lines = "`verilator_config", f'public_flat_rw -module "{toplevel}" -var "*"'
    path.write_text("\n".join(lines) + "\n")
    return path
