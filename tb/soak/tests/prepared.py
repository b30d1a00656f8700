"""Replaces a checkout by one without processes, whose commands do what a test says."""

import json
from collections.abc import Callable, Sequence

from tb.soak.checkout import PSUMS, Checkout, Ended


def figures(images: int) -> dict:
    """Returns the figures that a right run of `images` images writes into layer.json."""
    return {
        "images": images,
        "psums_checked": images * PSUMS,
        "psum_mismatches": 0,
        "outputs_checked": 0,
        "cycles": 0,
        "macs": 0,
    }


def passed(images: int) -> Ended:
    """Returns how a right run of `images` images ends."""
    return Ended(0, f"psums checked    {images * PSUMS:,}\n")


class Prepared(Checkout):
    """A checkout whose commands end as `ends` says, in turn; a function in it does harm first.

    A run that is not prepared passes with the figures of one image.
    """

    ends: Sequence[Ended | Callable[[Checkout], Ended]] = ()

    def start(self, *command, **options) -> Ended:
        if not self.ends:
            leave_results(self)
            return passed(1)
        first, *self.ends = self.ends
        return first if isinstance(first, Ended) else first(self)

    def end(self, process: Ended) -> Ended:
        return process


def write(checkout: Checkout, name: str, text: str) -> None:
    """Writes a file of the build folder."""
    path = checkout.build / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def leave_results(checkout: Checkout) -> None:
    """Writes the results of a right run of one image."""
    write(checkout, "results/layer.json", json.dumps(figures(1)))
