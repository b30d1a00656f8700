"""The outputs in docs/guide.md can be updated, and a waveform shows what the guide says.

pytest itself runs the guide's examples and compares their outputs (pyproject.toml).
"""

import io
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from vcd.gtkw import GTKWSave
from vcd.reader import TokenKind, tokenize

from tb.components.tile_run import Record
from tb.generate import write_guide
from tb.run import layer
from tb.sim.sources import faulty_rtl
from tb.sim.waves import time_ns, trace_array

EXAMPLES = """# Title

>>> def twice(x):
...     return 2 * x
>>> twice(3){six}

```pycon
>>> 1 + 1  # doctest: +NUMBER{two}
>>> x = 5{nothing}
>>> for word in ("a", "b"):
...     print(word){words}

```

Text.
"""
RIGHT = EXAMPLES.format(six="\n6", two="\n2", nothing="", words="\na\nb")


def test_outputs_are_written_anew():
    """Missing, wrong, extra and too few lines are replaced; all else stays as it is."""
    assert (
        write_guide.updated(EXAMPLES.format(six="", two="\n3", nothing="\n5", words="\na")) == RIGHT
    )
    assert write_guide.updated(RIGHT) == RIGHT


def test_guide_is_replaced_as_a_whole(command, monkeypatch, tmp_path):
    """The command writes the file; an example that fails leaves it as it was."""
    monkeypatch.setattr(write_guide, "ROOT", tmp_path)
    monkeypatch.setattr(write_guide, "GUIDE", tmp_path / "guide.md")
    write_guide.GUIDE.write_text(">>> 1 + 1\n3\n")
    assert command(write_guide.main)[0] == 0
    assert write_guide.GUIDE.read_text() == ">>> 1 + 1\n2\n"
    broken = ">>> 1 + 1\n3\n\n>>> from pymodel.support.errors import InputError\n"
    broken += ">>> raise InputError('x')\n"
    write_guide.GUIDE.write_text(broken)
    assert command(write_guide.main)[0] == 2
    assert write_guide.GUIDE.read_text() == broken


@pytest.mark.verify
def test_waveform_shows_what_the_guide_says(command, tmp_path):
    """The waveform has every product, every psum and every output of image 0 at its time."""
    vcd = tmp_path / "array.vcd"
    dump = f'initial begin $dumpfile("{vcd}"); $dumpvars(0, systolic_array); end\nendmodule'
    rtl = faulty_rtl(tmp_path, "systolic_array.v", ("endmodule", dump))
    results = tmp_path / "layer.json"
    code, out, _ = command(layer.main, "--images", 1, "--rtl", rtl, "--results", results)
    assert code == 0, out
    record = Record.load(results.with_suffix(".npz"))
    shown = traces(vcd)

    outputs = [cycle for cycle in range(record.cycles[-1] + 20) if shown("psum_valid_o", cycle)]
    assert outputs == record.cycles.tolist()
    tiles = record.run.tiles
    for index, leaves in enumerate(record.cycles.tolist()):
        entered = leaves - 15
        tile, pixel = divmod(index, 16)
        acts = tiles.activations[0, tile, pixel].tolist()
        for c in range(8):
            psum = 0
            for r, act in enumerate(acts):
                cycle, weight = entered + r + c, int(tiles.weights[tile, r, c])
                assert shown(f"[{r},{c}] act_i", cycle) == act
                if pixel:  # in the cycle of the swap, `active` is still that of the tile before
                    assert shown(f"[{r},{c}] active", cycle) == weight & 0xF
                assert shown(f"[{r},{c}] psum_i", cycle) == psum & 0xFFFF
                psum += act * weight
                assert shown(f"[{r},{c}] psum_o", cycle + 1) == psum & 0xFFFF
            assert psum == record.received[index, c]
            assert shown(f"column {c} psum", entered + 8 + c) == psum & 0xFFFF


def traces(vcd: Path) -> Callable[[str, int], int]:
    """Returns a function: the value that a trace of the GTKWave save file shows throughout a cycle.

    It takes the trace's name in that file and the cycle, and returns the bits as an unsigned
    number. It fails where the value changes in the cycle.
    """
    scopes: list[str] = []
    codes: dict[str, str] = {}
    changes: dict[str, tuple[list[int], list[int | str]]] = defaultdict(lambda: ([], []))
    now = 0
    with vcd.open("rb") as file:
        for token in tokenize(file):
            if token.kind is TokenKind.TIMESCALE:
                assert str(token.data) == "1 ps"
            elif token.kind is TokenKind.SCOPE:
                scopes.append(token.data.ident)
            elif token.kind is TokenKind.UPSCOPE:
                scopes.pop()
            elif token.kind is TokenKind.VAR:
                codes[".".join([*scopes, token.data.reference])] = token.data.id_code
            elif token.kind is TokenKind.CHANGE_TIME:
                now = token.data
            elif token.kind in (TokenKind.CHANGE_SCALAR, TokenKind.CHANGE_VECTOR):
                times, values = changes[token.data.id_code]
                times.append(now)
                values.append(token.data.value)

    save_file = io.StringIO()
    trace_array(GTKWSave(save_file))
    lines = re.findall(r"^(?:\+\{(.*)\} )?(systolic_array\.\S+)$", save_file.getvalue(), re.M)
    signals = {
        name or signal.rpartition(".")[2]: re.sub(r"\[\d+:\d+\]$", "", signal)
        for name, signal in lines
    }

    def shown(trace: str, cycle: int) -> int:
        times, values = changes[codes[signals[trace]]]
        first = bisect_right(times, time_ns(cycle) * 1000)
        last = bisect_right(times, time_ns(cycle + 1) * 1000 - 1)
        assert first == last, f"{trace} changes in cycle {cycle}"
        return int(values[first - 1])

    return shown
