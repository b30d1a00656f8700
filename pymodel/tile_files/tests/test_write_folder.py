"""Written files are those of plain loops, and are read back under every convention."""

import re
from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pytest

from pymodel.layer_capture import capture
from pymodel.reference.layer_data import layer_data
from pymodel.support.errors import InputError
from pymodel.tile_files import layer_json
from pymodel.tile_files.agreement import find_reading
from pymodel.tile_files.conventions import CHOICES, Conventions
from pymodel.tile_files.identify_files import read_folder
from pymodel.tile_files.inputs import Geometry
from pymodel.tile_files.layer import map_layer
from pymodel.tile_files.tests.plain_tiles import PlainTiles
from pymodel.tile_files.write_folder import PER_CORE, FileNames, Written, write_folder

PLAIN = PlainTiles(4, 4)
RANDOM = np.random.default_rng(1)
FEW = FileNames(parts=("joint",))
NINE = FileNames(parts=("split",), psums="psum_{k}.txt", weights="w{k}.txt", first=1)


def plain_layer(plain: PlainTiles, height: int, width: int, **options) -> Written:
    """Returns the layer of the plain loops as `write_folder` takes it."""
    padded = np.array(plain.padded).reshape(height + 2, width + 2, 8).transpose(2, 0, 1)
    weights = np.array(plain.weights).reshape(3, 3, 8, 8).transpose(2, 3, 0, 1)
    return Written(padded[:, 1:-1, 1:-1], weights, Geometry(), **options)


def random_layer(inputs: int, outputs: int, most: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """Returns random activations [I, 4, 4] up to `most`, and weights [O, I, 3, 3]."""
    return (
        RANDOM.integers(0, most + 1, (inputs, 4, 4)),
        RANDOM.integers(-8, 8, (outputs, inputs, 3, 3)),
    )


@pytest.mark.parametrize(("height", "width"), [(4, 4), (1, 1), (2, 5)])
def test_written_files_are_those_of_the_plain_loops(tmp_path, height, width):
    plain = PlainTiles(height, width)
    plain.write(tmp_path / "plain", header="")
    written = tmp_path / "new" / "written"
    names = write_folder(written, plain_layer(plain, height, width, header=False))
    assert sorted(names) == sorted(path.name for path in written.iterdir())
    for path in (tmp_path / "plain").iterdir():
        assert (written / path.name).read_text() == path.read_text(), path.name
    assert (layer_json.NAME in names) == (height != width)


def test_header(tmp_path):
    """The header has no spaces: `$fscanf("%s")` in a bench that skips three lines stops at them."""
    write_folder(tmp_path, plain_layer(PLAIN, 4, 4))
    for path in tmp_path.iterdir():
        lines = path.read_text().splitlines()
        assert all(line.startswith("#") and " " not in line for line in lines[:3])
        assert set(lines[3]) <= {"0", "1"}
    first = (tmp_path / "activation.txt").read_text()
    assert re.match(r"#time0row7\[msb-lsb\],.*\n#time1row7.*\n#\.{16}#\n", first)


def combinations(**choices) -> list[Conventions]:
    """Returns the conventions of all combinations of the choices; a name alone has all of them."""
    values = [CHOICES[n] if given is all else given for n, given in choices.items()]
    return [Conventions(**dict(zip(choices, v, strict=True))) for v in product(*values)]


NUMBERS = {"weights": all, "weight_lines": all, "weight_numbers": all, "columns": all}
BLOCK = ("together", "apart")
TWO = {"activation_bits": ("2",), "weights": all, "pairs": all, "pair_lines": BLOCK}
WINDOWED = {
    "activations": ("windows", "outputs"),
    "windows": all,
    "pixels": all,
    "weights": all,
    "columns": all,
    "outputs_in": all,
    "outputs": ("relu", "raw"),
}
SHIPPED = "the shipped layer"
# What is combined: conventions; channels, or the shipped layer; names; options of `Written`.
SETS = {
    "weights, columns": (combinations(map=all, **NUMBERS), SHIPPED, FEW, {}),
    "outputs": (combinations(outputs=all, columns=all, map=all), SHIPPED, NINE, {}),
    "outputs in channels": (
        combinations(activations=("pixels", "channels"), pixels=all, map=all, outputs_in=all),
        SHIPPED,
        FEW,
        {},
    ),
    "windows": (combinations(**WINDOWED), SHIPPED, FEW, {}),
    "two bits, 8 channels": (
        combinations(activation_bits=("2",), weights=all, columns=all),
        (8, 8),
        NINE,
        {},
    ),
    "two bits, lines of 32": (combinations(**TWO), (16, 8), FEW, {"rows": 16}),
    "two bits, lines of 64": (
        combinations(**(TWO | {"weights": ("columns",)})),
        (16, 8),
        FEW,
        {"rows": 16, "weight_numbers": 16},
    ),
    "two bits, 16 outputs": (
        combinations(**TWO, channels=all),
        (16, 16),
        FEW,
        {"rows": 16, "output_numbers": 16},
    ),
    "two bits, two outputs in a line": (
        combinations(
            activation_bits=("2",),
            weight_lines=all,
            weight_numbers=all,
            pair_lines=BLOCK,
            output_pairs=all,
        ),
        (8, 16),
        FEW,
        {"weight_numbers": 16, "output_numbers": 16},
    ),
    "16 rows": (
        combinations(map=all, columns=all),
        (16, 8),
        NINE,
        {"rows": 16, "weight_numbers": 16},
    ),
    "two bits, an output for each half": (
        combinations(
            activation_bits=("2",),
            pair_lines=("separate",),
            pairs=all,
            weight_lines=all,
            columns=all,
        ),
        (16, 8),
        FEW,
        {"rows": 16, "output_numbers": 16},
    ),
    "tiles": (combinations(map=all, weights=all, columns=all), (16, 16), FEW, {}),
    "cores that share the inputs": (
        combinations(weights=all, columns=all, outputs=("relu", "raw")),
        (16, 8),
        PER_CORE["inputs"],
        {},
    ),
    "cores that share the outputs": (
        combinations(map=all, weights=all, cores=("outputs",)),
        (8, 16),
        PER_CORE["outputs"],
        {},
    ),
    "cores with the same activations": (
        combinations(columns=all, cores=("outputs",)),
        (8, 16),
        replace(PER_CORE["outputs"], activations="activation.txt", joint_psums="c{c}_psum.txt"),
        {},
    ),
    "cores that share both": (
        combinations(weights=all, cores=all),
        (16, 16),
        PER_CORE["inputs"],
        {},
    ),
}


@pytest.fixture(scope="module")
def squeezed_layer(shipped, images):
    """Returns the squeezed layer of the shipped network on one image."""
    return layer_data(capture(shipped, images.images[:1]))


@pytest.mark.parametrize("most", [4, pytest.param(None, marks=pytest.mark.verify)])
@pytest.mark.parametrize("name", SETS)
def test_every_convention_is_read_back(name, most, squeezed_layer, tmp_path):
    """Under each combination all files agree, and the layer is the one that was written.

    At `most` so many combinations of a set are drawn; None stands for all.
    """
    conventions, channels, names, options = SETS[name]
    for number, c in enumerate(np.random.default_rng(1).permutation(conventions)[:most]):
        if channels == SHIPPED:
            codes = squeezed_layer.activation_codes[0].numpy()
            weights = squeezed_layer.weight_codes.numpy()
        else:
            codes, weights = random_layer(*channels, 3 if c.activation_bits == "2" else 15)
        folder = tmp_path / str(number)
        write_folder(folder, Written(codes, weights, Geometry(), c, names, **options))
        finding = find_reading(read_folder(folder), Geometry(), {})
        assert finding.decided_by == "results", c
        assert finding.reading.share == 1, c
        assert not finding.faults, c
        assert not finding.stale, c
        assert not finding.reading.misfits, c
        edge = ((0, 0), (1, 1), (1, 1))
        kernels = weights.transpose(2, 3, 0, 1).reshape(9, *weights.shape[:2])
        whole = map_layer(np.pad(codes, edge).astype(np.int8), kernels.astype(np.int8))
        sums = whole.sums[: len(finding.reading.layer.sums)]
        # Channels and pixels may be numbered from the other end, which changes no value.
        found = finding.reading.layer.sums
        if c.pair_lines == "separate":  # two outputs, one for each half of the inputs
            found = found.reshape(len(found), -1, 2).sum(2)
        assert np.array_equal(np.sort(found, axis=None), np.sort(sums, axis=None)), c
        if c == finding.reading.conventions:
            assert np.array_equal(found, sums), c


def test_another_reading_is_not_taken(squeezed_layer, tmp_path):
    """A layer that is written in one way and read in another does not agree."""
    codes = squeezed_layer.activation_codes[0].numpy()
    written = Written(codes, squeezed_layer.weight_codes.numpy(), Geometry(), names=FEW)
    write_folder(tmp_path, written)
    for name, choices in CHOICES.items():
        if name in ("weights", "weight_numbers", "columns"):
            fixed = {n: usual for n, usual in asdict(Conventions()).items() if n in NUMBERS}
            fixed[name] = choices[1]
            finding = find_reading(read_folder(tmp_path), Geometry(), fixed)
            assert finding.decided_by == "no agreement", name


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "height"),
    [(1, 1, 0, 4), (5, 1, 2, 4), (3, 2, 1, 5), (2, 2, 0, 4)],
)
def test_what_the_files_cannot_say_is_in_layer_json(tmp_path, kernel, stride, padding, height):
    codes = RANDOM.integers(0, 16, (8, height, height + 1))
    weights = RANDOM.integers(-8, 8, (8, 8, kernel, kernel))
    geometry = Geometry(kernel, stride, padding)
    assert layer_json.NAME in write_folder(tmp_path, Written(codes, weights, geometry))
    found = layer_json.read_geometry(tmp_path)
    assert found == Geometry(kernel, stride, padding, height)
    finding = find_reading(read_folder(tmp_path), found, {})
    assert finding.reading.share == 1
    assert finding.decided_by == "results"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "expected an object with the keys kernel, stride, padding, height"),
        ('{"kernel": 3}', "expected an object with the keys"),
        ('{"kernel": "3", "stride": 1, "padding": 1, "height": 4}', "kernel is '3', expected"),
        ('{"kernel": 3, "stride": 0, "padding": 1, "height": 4}', "stride is 0, expected a whole"),
        ('{"kernel": 3, "stride": 1, "padding": 20000, "height": 4}', "from 0 to 64"),
        ('{"kernel": 3, "stride": true, "padding": 1, "height": 4}', "stride is True"),
    ],
)
def test_a_bad_layer_json(tmp_path, text, words):
    (tmp_path / layer_json.NAME).write_text(text)
    with pytest.raises(InputError, match=words):
        layer_json.read_geometry(tmp_path)


def test_missing_channels_are_zeros(tmp_path):
    codes, weights = random_layer(3, 6)
    write_folder(tmp_path, Written(codes, weights, Geometry(), names=FEW))
    finding = find_reading(read_folder(tmp_path), Geometry(), {})
    assert finding.reading.share == 1
    assert not finding.reading.layer.weights[:, 6:].any()
    assert not finding.reading.layer.streams[:, 3:].any()


@pytest.mark.parametrize(
    ("changes", "geometry", "words"),
    [
        ({"map": "unpadded"}, Geometry(padding=0), "--map is unpadded, .*no padding"),
        ({"activations": "windows"}, Geometry(stride=2), "for 8 output pixels; the layer has 4"),
        ({"outputs": "residual"}, Geometry(stride=2), "residual, expected .* stride 1"),
        ({"outputs": "residual", "activations": "windows"}, Geometry(), "residual, .* and a map"),
        ({"pair_lines": "separate"}, Geometry(), "--pair-lines separate: 8 input .* do not fit"),
        ({"cores": "outputs"}, Geometry(), "--cores is outputs, expected {c} in the names"),
        ({"activation_bits": "2"}, Geometry(), r"activation.txt: not written, 15 does not fit"),
    ],
)
def test_what_cannot_be_said_is_refused(tmp_path, changes, geometry, words):
    layer = plain_layer(PLAIN, 4, 4)
    layer = Written(layer.codes, layer.weights, geometry, Conventions(**changes))
    with pytest.raises(InputError, match=words):
        write_folder(tmp_path / "new", layer)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("cores", "names", "words"),
    [
        ("inputs", PER_CORE["outputs"], "core{c}_out.txt: outputs are sums of all cores"),
        ("outputs", replace(PER_CORE["outputs"], outputs="o.txt", psums="{c}.txt"), "0.txt: two "),
        ("inputs", FileNames(activations="act{o}.txt"), "act0.txt: two files"),
    ],
)
def test_names_that_do_not_fit_are_refused(tmp_path, cores, names, words):
    codes, weights = random_layer(16, 16)
    layer = Written(codes, weights, Geometry(), Conventions(cores=cores), names)
    with pytest.raises(InputError, match=re.escape(words)):
        write_folder(tmp_path, layer)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["w{z}.txt", "w{k.txt", "w{k.real}.txt", "{0}", "", "../w{k}.txt", "/w{k}.txt", "a/.."]
)
def test_a_name_that_is_no_place_in_the_folder(name):
    with pytest.raises(InputError, match="cannot be the name of a file in the folder"):
        FileNames(weights=name)


@pytest.mark.parametrize("cores", ["inputs", "outputs"])
def test_a_wrong_weight_of_one_core_is_named(tmp_path, cores):
    """Of the files of two cores one has a wrong weight: the file and the line are named."""
    codes, weights = random_layer(*((16, 8) if cores == "inputs" else (8, 16)))
    names = replace(PER_CORE[cores], parts=("split",))
    write_folder(tmp_path, Written(codes, weights, Geometry(), Conventions(cores=cores), names))
    name = "core1_weight_kij4.txt"
    path = tmp_path / name
    lines = path.read_text().splitlines()
    lines[5] = lines[5][:-1] + "10"[int(lines[5][-1])]
    path.write_text("\n".join(lines))
    fault = find_reading(read_folder(tmp_path), Geometry(), {}).fault
    assert (fault.file.name, fault.file.words.lines[fault.word], fault.number) == (name, 6, 0)


def test_all_files_or_none(tmp_path):
    (tmp_path / "activation.txt").write_text("of somebody")
    layer = plain_layer(PLAIN, 4, 4)
    with pytest.raises(InputError, match=r"weight.*txt: not written, 8 does not fit in 4 bits"):
        write_folder(tmp_path, Written(layer.codes, layer.weights * 0 + 8, Geometry()))
    (tmp_path / "out.txt").mkdir()
    with pytest.raises(InputError, match=r"out.txt: is a folder"):
        write_folder(tmp_path, layer)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["activation.txt", "out.txt"]
    assert (tmp_path / "activation.txt").read_text() == "of somebody"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/activation.txt: cannot be written \(File exists\)"):
        write_folder(tmp_path / "file", plain_layer(PLAIN, 4, 4))
