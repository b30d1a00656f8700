"""The files in the repository are those that are generated from the register map."""

from pymodel.hardware.core import TABLE_MODES
from pymodel.hardware.registers import REGISTERS, STATUS, VERSION, Error, Mode
from pymodel.support.files import ROOT
from tb.generate.write_register_files import HEADER, MARKDOWN, PYTHON, VERILOG, write


def test_generated_files_are_up_to_date(tmp_path):
    write(tmp_path)
    for name in (HEADER, MARKDOWN, PYTHON, VERILOG):
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


def test_names_and_numbers_are_the_same_in_python_and_verilog():
    lines = (ROOT / VERILOG).read_text().splitlines()
    found = {words[1]: words[2] for words in map(str.split, lines) if len(words) == 3}
    resets = (field.reset << field.low for field in VERSION.fields.values())
    expected = {"CORE_VERSION": f"32'h{sum(resets):08x}"}
    for name, register in REGISTERS.items():
        expected[f"CORE_REGISTER_{name}"] = f"5'h{register.address // 4:02x}"
    expected |= {f"CORE_ERROR_{error.name}": f"4'd{error.value}" for error in Error}
    expected |= {f"CORE_MODE_{mode.name}": f"4'd{mode.value}" for mode in Mode}
    assert found == expected


def test_modes_with_tables_have_the_bits_by_which_the_core_knows_them():
    """rtl/core.v and rtl/geometry.v take bits of a mode, which has four, for the mode."""
    assert "wire needs_thresholds = mode[1] || mode[2];" in (ROOT / "rtl/core.v").read_text()
    assert [mode for mode in Mode if mode & 2] == [Mode.CODES]
    assert [mode for mode in Mode if mode & 4] == [Mode.SCALED]
    assert all(mode in TABLE_MODES for mode in Mode if mode >> 1 & 3)


def test_fields_of_a_register_do_not_overlap():
    for register in REGISTERS.values():
        masks = [((1 << width) - 1) << low for low, width, _, _ in register.fields.values()]
        assert sum(masks) < 2**32
        assert sum(masks).bit_count() == sum(mask.bit_count() for mask in masks)
    assert STATUS.unpack(0xB2) == {"busy": 0, "done": 1, "error": 11}
