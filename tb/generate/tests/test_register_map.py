"""The files in the repository are those that are generated from the register map."""

import pytest

from pymodel.hardware.registers import REGISTERS, STATUS, Error
from pymodel.support.files import ROOT
from tb.generate.register_map import HEADER, MARKDOWN, PYTHON, write


@pytest.mark.parametrize("name", [HEADER, MARKDOWN, PYTHON])
def test_generated_files_are_up_to_date(name, tmp_path):
    write(tmp_path)
    assert (tmp_path / name).read_text() == (ROOT / name).read_text(), "type: make registers"


def test_names_are_the_same_in_python_c_and_documentation():
    header, documentation = (ROOT / HEADER).read_text(), (ROOT / MARKDOWN).read_text()
    for name, register in REGISTERS.items():
        assert f"### {name} register" in documentation
        for field, (low, width, _, _) in register.fields.items():
            prefix = f"#define CORE__{name}__{field.upper()}"
            assert f"{prefix}_bp {low}\n" in header
            assert f"{prefix}_bw {width}\n" in header
    for error in Error:
        assert f"#define CORE__STATUS__ERROR__{error.name} {error.value}\n" in header


def test_fields_of_a_register_do_not_overlap():
    for register in REGISTERS.values():
        masks = [((1 << width) - 1) << low for low, width, _, _ in register.fields.values()]
        assert sum(masks) < 2**32
        assert sum(masks).bit_count() == sum(mask.bit_count() for mask in masks)
    assert STATUS.unpack(0xB2) == {"busy": 0, "done": 1, "error": 11}
