"""Defines what a register and its fields are; pymodel/hardware/registers.py lists the core's."""

from typing import NamedTuple


class Field(NamedTuple):
    """Neighbouring bits of a register that mean one thing."""

    low: int  # number of the lowest bit
    width: int  # number of bits
    access: str  # what software may do: r, w or rw
    reset: int | None  # value after reset; None if a parameter of the build decides it


class Register(NamedTuple):
    """A register of 32 bits: its byte address and its fields by name."""

    address: int
    fields: dict[str, Field]

    def pack(self, **values: int) -> int:
        """Returns the word that holds `values` in the fields of these names, and zeros elsewhere.

        Raises ValueError if a value does not fit its field, and KeyError for an unknown name.
        """
        word = 0
        for name, value in values.items():
            field = self.fields[name]
            if not 0 <= value < 1 << field.width:
                raise ValueError(f"{name} is {value}, expected 0 to {(1 << field.width) - 1}")
            word |= value << field.low
        return word

    def unpack(self, word: int) -> dict[str, int]:
        """Returns the value of each field of `word`, by name."""
        return {n: word >> f.low & (1 << f.width) - 1 for n, f in self.fields.items()}
