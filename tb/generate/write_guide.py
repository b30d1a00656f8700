"""Updates the outputs of the examples in docs/guide.md, for instance after a new checkpoint.

python -m tb.generate guide
"""

import doctest
import io
from contextlib import redirect_stdout

from pymodel.support.command import CommandParser, conclude
from pymodel.support.files import ROOT, replacing

GUIDE = ROOT / "docs" / "guide.md"
doctest.register_optionflag("NUMBER")  # pytest's: floats need only agree in the digits written


def updated(text: str) -> str:
    """Returns `text` with what its `>>>` examples print now; raises what an example raises."""
    examples = doctest.DocTestParser().get_examples(text)
    names: dict = {}
    outputs = []
    for example in examples:
        with redirect_stdout(io.StringIO()) as output:
            exec(compile(example.source, GUIDE.name, "single"), names)
        outputs.append(output.getvalue().splitlines())
    lines = text.splitlines()
    for example, output in zip(reversed(examples), reversed(outputs), strict=True):
        start = example.lineno + example.source.count("\n")
        lines[start : start + example.want.count("\n")] = output
    return "\n".join(lines) + "\n"


def main() -> int:
    CommandParser("tb.generate guide", __doc__).parse_args()
    text = updated(GUIDE.read_text())
    with replacing(GUIDE) as temporary:
        temporary.write_text(text)
    return conclude(f"Written: {GUIDE.relative_to(ROOT)}")
