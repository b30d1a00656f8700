"""Named faults and the mutants of proofs find their place, whatever the layout of the RTL."""

import re
import shutil

import pytest

from pymodel.support.errors import InputError
from tb.formal.proof_table import PROOFS
from tb.mutation import drawn_mutants
from tb.mutation.named_faults import FAULTS
from tb.sim.kept_results import Store
from tb.sim.sources import RTL, faulty_rtl, replace_once, tokens

CHANGES = [
    (f"{fault.module}: {fault.name}", fault.module, fault.old, fault.new) for fault in FAULTS
]
CHANGES += [
    (f"{proof.name}, proof: {mutant.name}", mutant.source or proof.module, mutant.old, mutant.new)
    for proof in PROOFS
    for mutant in proof.mutants
]


def laid_out_otherwise(text: str) -> str:
    """Returns the same Verilog with other indents, alignment, spaces and line breaks."""
    text = re.sub(r" +(<=|=) ", r" \1   ", text)
    text = re.sub(r" *([()\[\]{};]) *", r" \1 ", text)
    text = re.sub(r"(?<!//) (&&|\|\||\?) ", r"\n\1 ", re.sub(r"//.*", "", text))
    return re.sub(" +", lambda blanks: 2 * blanks[0], text)


@pytest.mark.parametrize(
    ("module", "old", "new"), [change[1:] for change in CHANGES], ids=[name for name, *_ in CHANGES]
)
def test_a_fault_finds_its_place_in_another_layout(module, old, new):
    """In another layout the faulty source is the same token by token; a second place is refused."""
    source = (RTL / f"{module}.v").read_text()
    faulty = replace_once(source, old, new, module)
    other = replace_once(laid_out_otherwise(source), old, new, module)
    assert words(other) == words(faulty) != words(source)
    with pytest.raises(InputError, match="2 times, expected once"):
        replace_once(f"{source}\n{laid_out_otherwise(old)}", old, new, module)


def words(verilog: str) -> list[str]:
    return [token[0] for token in tokens(verilog)]


def test_no_faulty_source_is_kept_of_rtl_that_changed_meanwhile(tmp_path, monkeypatch):
    """The copy could be of other RTL than its key, also if the RTL is the same in the end."""
    rtl, kept = shutil.copytree(RTL, tmp_path / "rtl"), Store("faulty", tmp_path / "kept")

    def change(*arguments):
        (rtl / "pe.v").write_text((rtl / "pe.v").read_text())
        return faulty_rtl(*arguments)

    for name, value in (("RTL", rtl), ("FAULTY", kept), ("faulty_rtl", change)):
        monkeypatch.setattr(drawn_mutants, name, value)
    fault = next(fault for fault in FAULTS if fault.module == "pe")
    target = next(target for target in drawn_mutants.TARGETS if target.module == "pe")
    with pytest.raises(InputError, match=r"pe\.v: changed while the command ran"):
        drawn_mutants.compile_fault(fault, target)
    assert not list(kept.folder.iterdir())
