"""Writes a layer as tile text files in the form that a mode's benches read, and reads them back."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pymodel.reference.layer_data import LayerData
from pymodel.tile_files.agreement import Finding, find_reading
from pymodel.tile_files.conventions import Conventions
from pymodel.tile_files.identify_files import TileFolder, read_folder
from pymodel.tile_files.inputs import Geometry
from pymodel.tile_files.layer import FileLayer, map_layer
from pymodel.tile_files.layer_json import read_geometry
from pymodel.tile_files.layouts import HALF
from pymodel.tile_files.write_folder import Written, write_folder
from tb.components.tile_run import Record
from tb.run import replay
from tb.run.vectors import geometry_of
from tb.sim.errors import BenchError


@dataclass(frozen=True)
class ModeFiles:
    """The text files of one mode, as they were read back, in tiles for the array."""

    files: TileFolder
    finding: Finding
    layer: replay.CutLayer

    def compare(self, record: Record) -> tuple[dict, list[str]]:
        """Compares what left the array with PyTorch and with the files; see `replay.check`."""
        return replay.check(self.layer, self.files, self.finding, record)


def write_and_read(
    folder: Path, layer: LayerData, halves: bool, output_stationary: bool, cols: int
) -> ModeFiles:
    """Writes the first image of a layer to text files in `folder`, and reads the files back.

    What an earlier run wrote there is removed. With `halves` a line of activations has sixteen
    channels of two bits. Output stationary, a line has the activations of eight output pixels,
    which are the first eight of the layer. `cols` is the number of columns of the array. Raises
    InputError if files cannot hold the layer, and BenchError if what is read differs from what was
    written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    geometry = geometry_of(layer)
    rows = 2 * HALF if halves else HALF
    conventions = Conventions(
        activation_bits="2" if halves else "4",
        activations="windows" if output_stationary else "pixels",
    )
    codes, weights = layer.activation_codes[0].numpy(), layer.weight_codes.numpy()
    write_folder(folder, Written(codes, weights, geometry, conventions, rows=rows))
    files = read_folder(folder)
    finding = find_reading(files, read_geometry(folder) or Geometry(), {})
    if finding.faults or not same(finding.reading.layer, codes, weights, geometry):
        raise BenchError(f"{folder}: what is read from the files is not what was written")
    depth = None if output_stationary else rows
    return ModeFiles(files, finding, replay.cut(finding.reading, depth, cols))


def same(read: FileLayer, codes: np.ndarray, weights: np.ndarray, geometry: Geometry) -> bool:
    """Returns whether a layer that was read has these codes [I, H, W] and weights [O, I, k, k].

    Of a layer of windows, the windows that it has are compared. Channels that fill the files' last
    tiles are zeros.
    """
    positions = weights.transpose(2, 3, 0, 1).reshape(-1, *weights.shape[:2])
    edge = (geometry.padding, geometry.padding)
    whole = map_layer(np.pad(codes, ((0, 0), edge, edge)), positions, geometry.stride)
    outputs, inputs = whole.channels
    every = np.arange(len(positions))[:, None]
    count = read.pixels.shape[1]
    found = read.streams[every, :, read.pixels]  # [K, P, I]
    wanted = whole.streams[every, :, whole.pixels[:, :count]]
    return (
        np.array_equal(read.weights[:, :outputs, :inputs], positions)
        and np.array_equal(found[..., :inputs], wanted)
        and not read.weights[:, outputs:].any()
        and not read.weights[:, :, inputs:].any()
    )
