"""Writes a layer as tile text files, in any of the conventions."""

import re
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pymodel.support.errors import InputError
from pymodel.support.files import replacing
from pymodel.tile_files import layer_json
from pymodel.tile_files.compare_results import SUM_BITS, WINDOW_OUTPUTS, output_kinds
from pymodel.tile_files.conventions import Conventions, option
from pymodel.tile_files.inputs import WEIGHT_BITS, WINDOWS, Geometry
from pymodel.tile_files.layer import FileLayer, map_layer, window_layer
from pymodel.tile_files.layouts import (
    HALF,
    activation_layout,
    output_layout,
    sum_layout,
    weight_layout,
    window_layout,
)
from pymodel.tile_files.words import format_words

# What is written of each choice of the convention `outputs`; a key of `output_kinds`.
WRITTEN_OUTPUTS = {
    "relu": "ReLU",
    "raw": "sums",
    "leaky": "leaky ReLU of slope 0.125, rounded down",
    "residual": "input added, then ReLU",
}
SERIES, JOINT = "split", "joint"


@dataclass(frozen=True)
class FileNames:
    """Names of the files.

    `{k}` stands for a kernel position, `{i}` and `{o}` for tiles of input and output channels.
    `{c}` stands for a core, which has one tile of those that the convention `cores` names.
    """

    activations: str = "activation.txt"
    weights: str = "weight_itile{i}_otile{o}_kij{k}.txt"
    joint_weights: str = "weight.txt"
    psums: str = "psum_kij{k}.txt"
    joint_psums: str = "psum.txt"
    outputs: str = "out.txt"
    first: int = 0  # number of kernel position 0: 0 or 1
    # Which files of weights and psums are written: one per kernel position, a joint one, or both
    parts: tuple[str, ...] = (SERIES, JOINT)

    def __post_init__(self) -> None:
        """Raises InputError for a name that is no place in the folder."""
        for name in [value for value in vars(self).values() if isinstance(value, str)]:
            plain = re.sub(r"\{[kioc]\}", "0", name)
            path = Path(plain)
            if not path.name or path.is_absolute() or ".." in path.parts or set(plain) & set("{}"):
                raise InputError(
                    f"'{name}' cannot be the name of a file in the folder, expected a name such as "
                    "w{k}.txt; {k}, {i}, {o} and {c} stand for numbers"
                )

    def of(
        self, kind: str, c: Conventions, tiles: tuple[int, int], k: int = 0, i: int = 0, o: int = 0
    ) -> str:
        """Returns the name of a file.

        If there are several tiles and the name has neither {i} nor {o}, the numbers of the tile are
        added. `tiles` is the number of tiles of input and of output channels of which there are
        files.
        """
        name = getattr(self, kind)
        core, (itiles, otiles) = 0, tiles
        if "{c}" in name and c.cores == "outputs":
            core, o, otiles = o, 0, 1
        elif "{c}" in name:
            core, i, itiles = i, 0, 1
        if itiles * otiles > 1 and "{i}" not in name and "{o}" not in name:
            stem, dot, suffix = name.rpartition(".")
            tile = {"activations": "_tile{i}", "outputs": "_otile{o}"}
            name = f"{stem}{tile.get(kind, '_itile{i}_otile{o}')}{dot}{suffix}"
        numbers = {"{k}": k + self.first, "{i}": i, "{o}": o, "{c}": core}
        return re.sub(r"\{[kioc]\}", lambda found: str(numbers[found[0]]), name)


# The names where each core has files of its own.
PER_CORE = {
    "inputs": FileNames(
        "core{c}_activation.txt",
        "core{c}_weight_kij{k}.txt",
        "core{c}_weight.txt",
        "core{c}_psum_kij{k}.txt",
        "core{c}_psum.txt",
    )
}
PER_CORE["outputs"] = replace(PER_CORE["inputs"], outputs="core{c}_out.txt")


@dataclass(frozen=True)
class Written:
    """A layer on one input, with the sizes and names of the files to write."""

    codes: np.ndarray  # int8 [I, H, W], the map without its padding
    weights: np.ndarray  # int8 [O, I, k, k]
    geometry: Geometry
    conventions: Conventions = field(default_factory=Conventions)
    names: FileNames = field(default_factory=FileNames)
    header: bool = True
    rows: int = HALF  # input channels in each file of activations
    weight_numbers: int = HALF  # weights in a line
    output_numbers: int = HALF  # sums in a line

    @property
    def halves(self) -> int:
        """Number of outputs that the files have for each output channel of the layer."""
        return 2 if self.conventions.pair_lines == "separate" else 1

    @property
    def tiles(self) -> tuple[int, int]:
        """Number of tiles of input and of output channels."""
        outputs, inputs = self.weights.shape[:2]
        return -(-inputs // self.rows), -(-outputs * self.halves // self.output_numbers)


def header_of(line: str, lane: str) -> str:
    """Returns the three lines that usual exporters write above the data."""
    lines = [
        f"#{line}{n}{lane}7[msb-lsb],{line}{n}{lane}6[msb-lsb],....,{line}{n}{lane}0[msb-lsb]#\n"
        for n in range(2)
    ]
    return "".join(lines) + "#................#\n"


def texts(layer: Written) -> dict[str, str]:
    """Returns the text of each file, by its name.

    Missing channels of the last tiles are zeros. Raises InputError for what the conventions cannot
    hold.
    """
    c, geometry = layer.conventions, layer.geometry
    kernel, padding = geometry.kernel, geometry.padding
    outputs, inputs = layer.weights.shape[:2]
    _refuse(layer)
    rows, columns = layer.rows, layer.output_numbers
    itiles, otiles = layer.tiles
    codes = np.zeros((itiles * rows, *layer.codes.shape[1:]), np.int64)
    codes[:inputs] = layer.codes
    weights = np.zeros((kernel * kernel, otiles * columns, itiles * rows), np.int64)
    kernels = layer.weights.transpose(2, 3, 0, 1).reshape(-1, outputs, inputs)
    weights[:, : outputs * layer.halves, :inputs] = kernels.repeat(layer.halves, 1)
    places = _weight_places(layer, len(weights))
    held = np.isin(np.arange(len(weights) * columns * rows), places).reshape(-1, columns, rows)
    weights *= np.tile(held, (1, otiles, itiles))  # the output of a half lacks the other's weights
    edge = (padding, padding)
    padded = np.pad(codes, ((0, 0), edge, edge))
    whole = map_layer(padded.astype(np.int8), weights.astype(np.int8), geometry.stride)
    table: dict[str, tuple[np.ndarray, int, bool, str]] = {}
    windows = c.activations in WINDOWS
    used = np.stack([whole.streams[k][:, whole.pixels[k]] for k in range(len(weights))])
    used = used[..., :WINDOW_OUTPUTS]

    bits = int(c.activation_bits)
    for i in range(itiles):
        part = slice(i * rows, (i + 1) * rows)
        if windows:
            values, layout = used[:, part], window_layout(c, len(weights), rows, used.shape[2])
        else:
            values = (padded if c.map == "padded" else codes)[part].reshape(rows, -1)
            layout = activation_layout(c, *values.shape)
        entry = values.reshape(-1)[layout], bits, False, "time row"
        copies = c.cores == "outputs" and "{c}" in layer.names.activations
        for o in range(otiles if copies else 1):
            name = layer.names.of("activations", c, (itiles, 1), i=i, o=o)
            _add(table, name, entry)
        for o in range(otiles):
            lines = weights[:, o * columns : (o + 1) * columns, part].reshape(-1)[places]
            _weight_files(layer, table, np.split(lines, len(weights)), i, o)
    _result_files(layer, table, window_layer(used, whole.weights) if windows else whole)
    return {
        name: (header_of(*words.split()) if layer.header else "")
        + "".join(f"{word}\n" for word in _words(name, values, bits, signed))
        for name, (values, bits, signed, words) in table.items()
    }


def _words(name: str, values: np.ndarray, bits: int, signed: bool) -> list[str]:
    """Returns the words of one file; InputError names the file if a value does not fit."""
    try:
        return format_words(values, bits, signed)
    except InputError as error:
        raise InputError(f"{name}: not written, {error}") from None


def _refuse(layer: Written) -> None:
    """Raises InputError for conventions that cannot hold the layer."""
    c = layer.conventions
    height, width = layer.codes.shape[1:]
    if c.map == "unpadded" and not layer.geometry.padding:
        raise InputError(f"{option('map')} is unpadded, expected padded: the layer has no padding")
    if c.activations in WINDOWS:
        sides = ((n + 2 * layer.geometry.padding - layer.geometry.kernel) for n in (height, width))
        count = np.prod([side // layer.geometry.stride + 1 for side in sides])
        if count < WINDOW_OUTPUTS:
            raise InputError(
                f"{option('activations')} is {c.activations}, for {WINDOW_OUTPUTS} output pixels; "
                f"the layer has {count}"
            )
    if c.cores == "outputs" and "{c}" not in layer.names.weights + layer.names.joint_weights:
        raise InputError(
            f"{option('cores')} is outputs, expected {{c}} in the names of weights, for the core"
        )
    if c.cores == "inputs" and "{c}" in layer.names.outputs:
        raise InputError(
            f"{layer.names.outputs}: outputs are sums of all cores, which share the input "
            f"channels; expected no {{c}} in the name, or {option('cores')} outputs"
        )


def _add(table: dict, name: str, entry: tuple) -> None:
    """Adds a file to `table`; raises InputError if another file has its name already."""
    if name in table:
        raise InputError(
            f"{name}: two files would have this name, expected {{k}}, {{i}}, {{o}} or {{c}} in "
            "it, for the kernel position, the tiles of input and output channels, and the core"
        )
    table[name] = entry


def _weight_places(layer: Written, positions: int) -> np.ndarray:
    """Returns the layout of the weights [K, O, I] of one tile; InputError if it does not fit."""
    c, inputs, outputs = layer.conventions, layer.rows, layer.output_numbers
    layout = weight_layout(c, positions, outputs, inputs, layer.weight_numbers)
    if layout is None:
        raise InputError(
            f"{option('weights')} {c.weights}, {option('pair_lines')} {c.pair_lines}: {inputs} "
            f"input and {outputs} output channels do not fit into lines of "
            f"{layer.weight_numbers} weights"
        )
    return layout


def _weight_files(layer: Written, table: dict, lines: list[np.ndarray], i: int, o: int) -> None:
    """Adds the files of the weights of one tile, the lines of each kernel position, to `table`."""
    c, names = layer.conventions, layer.names
    if JOINT in names.parts:
        name = names.of("joint_weights", c, layer.tiles, i=i, o=o)
        _add(table, name, (np.concatenate(lines), WEIGHT_BITS, True, "col row"))
    if c.weights == "rows" and c.windows == "channel-first":
        return  # the lines of a kernel position lie apart
    if SERIES in names.parts:
        for k, rows in enumerate(lines):
            name = names.of("weights", c, layer.tiles, k=k, i=i, o=o)
            _add(table, name, (rows, WEIGHT_BITS, True, "col row"))


def _result_files(layer: Written, table: dict, whole: FileLayer) -> None:
    """Adds the files of psums and outputs to `table`."""
    c, names = layer.conventions, layer.names
    columns = layer.output_numbers
    kinds = output_kinds(whole, whole.sums)
    kind = WRITTEN_OUTPUTS[c.outputs]
    if kind not in kinds:
        outputs, inputs = whole.channels
        raise InputError(
            f"{option('outputs')} is {c.outputs}, expected as many output channels as input "
            f"channels in the files, an odd kernel, stride 1 and a map; the files have "
            f"{inputs} → {outputs} channels, kernel {layer.geometry.kernel}, stride "
            f"{layer.geometry.stride}"
        )
    sums = kinds[kind][1]()
    itiles, otiles = layer.tiles
    for o in range(otiles):
        values = sums[:, o * columns : (o + 1) * columns]
        layout = output_layout(c, *values.shape)
        name = names.of("outputs", c, (1, otiles), o=o)
        _add(table, name, (values.reshape(-1)[layout], SUM_BITS, True, "time col"))
    if whole.padded is None:
        return  # an output-stationary array has no psums of kernel positions
    for i in range(itiles):
        psums = whole.psums(slice(i * layer.rows, (i + 1) * layer.rows))
        layout = sum_layout(c, psums.shape[1], columns)
        for o in range(otiles):
            part = psums[..., o * columns : (o + 1) * columns]
            lines = [psum.reshape(-1)[layout] for psum in part]
            tile = {"tiles": layer.tiles, "i": i, "o": o}
            if JOINT in names.parts:
                name = names.of("joint_psums", c, **tile)
                _add(table, name, (np.concatenate(lines), SUM_BITS, True, "time col"))
            if SERIES in names.parts:
                for k, rows in enumerate(lines):
                    name = names.of("psums", c, k=k, **tile)
                    _add(table, name, (rows, SUM_BITS, True, "time col"))


def write_folder(folder: Path, layer: Written) -> list[str]:
    """Writes all files, all or none, and returns their names.

    layer.json is among them if the files alone do not say the geometry. Raises InputError for what
    the conventions cannot hold, a value that does not fit its bits, a folder that cannot be
    written, or one with text files of another layer.
    """
    contents = texts(layer)
    height, width = layer.codes.shape[1:]
    geometry = layer.geometry
    if (geometry.kernel, geometry.stride, geometry.padding) != (3, 1, 1) or height != width:
        contents[layer_json.NAME] = layer_json.text(geometry, height)
    strangers = sorted(file.name for file in folder.glob("*.txt") if file.name not in contents)
    if strangers:
        raise InputError(
            f"{folder}: holds {', '.join(strangers[:3])}{' and others' * (len(strangers) > 3)}, "
            "which are none of the files to write; expected an empty folder, or these files alone"
        )
    with ExitStack() as files:  # the files get their names when all of them are written
        for name, text in contents.items():
            if (folder / name).is_dir():
                raise InputError(f"{folder / name}: is a folder, expected a file to replace")
            files.enter_context(replacing(folder / name)).write_text(text)
    return list(contents)
