"""Writes and reads layer.json, which says of a layer what its tile text files cannot say."""

import json
from pathlib import Path

from pymodel.support.errors import InputError
from pymodel.support.limits import check_geometry
from pymodel.tile_files.inputs import Geometry

NAME = "layer.json"
KEYS = ("kernel", "stride", "padding", "height")


def text(geometry: Geometry, height: int) -> str:
    """Returns the text of layer.json for a map of `height` pixels without its padding."""
    values = {key: getattr(geometry, key) for key in KEYS} | {"height": height}
    return json.dumps(values, indent=2) + "\n"


def read_geometry(folder: Path) -> Geometry | None:
    """Returns what layer.json of `folder` says; None if the file is not there.

    Raises InputError if it is no JSON, lacks a key, or holds a value that is no whole number within
    its limits.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read as JSON: {reason}") from None
    if not isinstance(values, dict) or not set(KEYS) <= set(values):
        raise InputError(f"{path}: expected an object with the keys {', '.join(KEYS)}")
    check_geometry(str(path), **{key: values[key] for key in KEYS})
    return Geometry(**{key: values[key] for key in KEYS})
