"""A register of the core and its fields; pymodel/hardware/registers.py lists them."""

from typing import NamedTuple


class Field(NamedTuple):
    """Bits of a register."""

    low: int  # lowest bit
    width: int  # bits
    access: str  # r, w or rw, by software
    reset: int | None  # None: a build parameter


class Register(NamedTuple):
    """A 32-bit word."""

    address: int
    fields: dict[str, Field]

    def pack(self, **values: int) -> int:
        """The word with these fields, and zeros elsewhere; ValueError for one that does not fit."""
        word = 0
        for name, value in values.items():
            field = self.fields[name]
            if not 0 <= value < 1 << field.width:
                raise ValueError(f"{name} is {value}, expected 0 to {(1 << field.width) - 1}")
            word |= value << field.low
        return word

    def unpack(self, word: int) -> dict[str, int]:
        """The fields of a word."""
        return {n: word >> f.low & (1 << f.width) - 1 for n, f in self.fields.items()}
