"""Reads a program of torch.export (a .pt2 file), without running anything that the file brings.

PyTorch's own loader unpickles parts of such a file, and takes names of functions, expressions and
guards from it. So a copy of the file is loaded that holds numbers, names and operators of known
kinds alone; a file with anything else that matters is refused.
"""

import importlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.pt2_archive._package import PT2ArchiveWriter
from torch.fx import GraphModule

from pymodel.own_network.factory import without_warnings, words
from pymodel.support.errors import InputError

MOST_BYTES = 8 << 30  # largest size of a file, all parts together
# The libraries that define operators, and the module that registers them.
OPERATORS = {
    "aten": "torch",
    "quantized_decomposed": "torch.ao.quantization.fx._decomposed",
    "torchao": "torchao",
}
# An operator of these libraries that opens a file, and those of Python that compute a size
FORBIDDEN = ("torch.ops.aten.from_file.default", "torch.ops.aten.from_file.out")
SIZES = (
    *("getitem", "add", "sub", "mul", "floordiv", "mod", "neg"),
    *("eq", "ne", "lt", "le", "gt", "ge"),
)
NAME = re.compile(r"[\w.+]*", re.ASCII)  # nothing that could be code
# A size in the words of sympy, such as Symbol('s77', positive=True, integer=True), without powers
SIZE = re.compile(
    r"(?:(?:Symbol|Integer|Add|Mul|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv)\("
    r"|'[su]\d+'|(?:positive|nonnegative|integer)=True|[su]?\d+|[-+/(), ]|\*(?!\*))*",
    re.ASCII,
)
# The exceptions that reading a damaged file raises
MALFORMED = (
    *(zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError),
    *(KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError),
)
PLAIN = (None, "builtins.tuple", "builtins.list", "builtins.dict")  # containers of the inputs
MAY_STAND = ("archive_format", "archive_version", "version", "byteorder", ".data/", "extra/")


def is_program(name: str | Path) -> bool:
    """Returns whether a name is that of a file of torch.export."""
    return str(name).endswith(".pt2")


def load_program(path: Path) -> ExportedProgram:
    """Returns the program of a file.

    Raises InputError if the file cannot be read, or holds pickled payloads, custom objects,
    compiled code, or operators that are not PyTorch's.
    """
    buffer = io.BytesIO()
    try:
        with zipfile.ZipFile(path) as archive:
            _copy(path, _parts(path, archive), buffer)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or words(error)}") from None
    except MALFORMED as error:
        raise InputError(f"{path}: is no file of torch.export.save: {words(error)}") from None
    buffer.seek(0)
    try:
        with without_warnings():
            return torch.export.load(buffer)
    except Exception as error:
        raise InputError(f"{path}: PyTorch cannot load it: {words(error)}") from None


def input_of(path: Path, program: ExportedProgram) -> tuple[list[int | str], torch.dtype]:
    """Returns shape and dtype of the program's input, with "?" for sizes that are open.

    Raises InputError if it has several inputs, or one that is no tensor.
    """
    names = program.graph_signature.user_inputs
    if len(names) != 1:
        raise InputError(f"{path}: has {len(names)} inputs, expected one")
    (value,) = (node.meta["val"] for node in program.graph.nodes if node.name == names[0])
    if not isinstance(value, torch.Tensor):
        raise InputError(f"{path}: its input is {type(value).__name__}, expected a tensor")
    return [side if isinstance(side, int) else "?" for side in value.shape], value.dtype


def graph_of(program: ExportedProgram) -> GraphModule:
    """Returns the program as a module; the operators of its graph state which layer they are of."""
    return program.module(check_guards=False)


def inputs_at_a_time(program: ExportedProgram) -> int | None:
    """Returns the number of inputs for which a program was exported, or None if it is any number.

    Other numbers of inputs give the same for each of them unless the program counts on its own one.
    """
    (name, *_) = program.graph_signature.user_inputs
    (found,) = (node.meta["val"] for node in program.graph.nodes if node.name == name)
    size = found.shape[0] if found.ndim else None
    return size if isinstance(size, int) else None


def _parts(path: Path, archive: zipfile.ZipFile) -> dict[str, bytes]:
    """Returns the parts of an archive by name, without its folder.

    Raises InputError for parts that hold code or may, and for parts that are too large.
    """
    size = sum(one.file_size for one in archive.infolist())
    if size > MOST_BYTES:
        raise InputError(f"{path}: holds {size:,} bytes, expected at most {MOST_BYTES:,}")
    parts = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    if parts.get("archive_format") != b"pt2":
        raise InputError(f"{path}: is no file of torch.export.save")
    for name in parts:
        folder, _, file = name.rpartition("/")
        if folder in ("data/weights", "data/constants") and not file.endswith(".pt"):
            if "custom_obj" in file or "opaque" in file:
                raise InputError(f"{path}: holds a custom object ({name}), expected tensors alone")
        elif folder not in ("models", "data/sample_inputs") and not name.startswith(MAY_STAND):
            kind = "a pickled part" if file.endswith((".pt", ".pkl")) else "something else"
            raise InputError(f"{path}: holds {kind} ({name}), expected tensors and a program")
    return parts


def _copy(path: Path, parts: dict[str, bytes], buffer: io.BytesIO) -> None:
    """Writes an archive with the parts that are needed, checked, and without sample inputs."""
    models = [name for name in parts if name.startswith("models/")]
    if len(models) != 1 or not re.fullmatch(r"models/[\w-]+\.json", models[0], re.ASCII):
        raise InputError(f"{path}: holds {len(models)} programs, expected one")
    name = models[0].removeprefix("models/").removesuffix(".json")
    with PT2ArchiveWriter(buffer) as writer:
        writer.write_bytes(
            models[0], json.dumps(_program(path, _json(path, parts, models[0]))).encode()
        )
        writer.write_bytes(f"data/sample_inputs/{name}.pt", b"")
        for kind in ("weights", "constants"):
            config = f"data/{kind}/{name}_{kind}_config.json"
            payloads = _json(path, parts, config)
            for one in payloads["config"].values():
                file = f"data/{kind}/{one['path_name']}"
                if one["use_pickle"] is not False or file not in parts:
                    raise InputError(
                        f"{path}: holds a pickled payload ({file}), expected tensors alone"
                    )
                if not parts[file] and all(
                    size.get("as_int") for size in one["tensor_meta"]["sizes"]
                ):
                    raise InputError(f"{path}: {file} is empty, expected a tensor")
                if not writer.has_record(file):
                    writer.write_bytes(file, parts[file])
            _check(path, payloads)
            writer.write_bytes(config, json.dumps(payloads).encode())


def _json(path: Path, parts: dict[str, bytes], name: str) -> dict[str, Any]:
    """Returns a part as JSON; raises InputError if it is none, or if there is no such part."""
    try:
        return json.loads(parts[name])
    except (KeyError, ValueError, RecursionError):
        raise InputError(f"{path}: has no part {name} of JSON, expected one") from None


def _program(path: Path, program: dict[str, Any]) -> dict[str, Any]:
    """Checks a program, and returns it without the parts that its computation does not need."""
    module = program["graph_module"]
    for node in module["graph"]["nodes"]:
        stack = str(node["metadata"].get("nn_module_stack", ""))
        node["metadata"] = {"nn_module_stack": stack} if stack else {}
        _check_operator(path, node["target"])
    calls = module["module_call_graph"][:1]
    for call in calls:
        signature = call["signature"]
        for key in ("in_spec", "out_spec"):
            signature[key] = _containers(path, signature[key])
    kept = ("graph", "signature")
    program["graph_module"] = {key: module[key] for key in kept} | {
        "module_call_graph": calls,
        "metadata": {},
        "treespec_namedtuple_fields": {},
    }
    program["guards_code"] = []
    _check(path, program)
    return program


def _check_operator(path: Path, target: Any) -> None:
    """Raises InputError for an operator of none of the known libraries; registers the others."""
    found = re.fullmatch(r"torch\.ops\.(\w+)\.\w+\.\w+", str(target), re.ASCII)
    library = found and OPERATORS.get(found[1])
    if library and target not in FORBIDDEN:
        try:
            importlib.import_module(library)
        except ImportError as error:
            raise InputError(f"{path}: operator {target} needs {library}: {words(error)}") from None
    elif target not in [f"_operator.{name}" for name in SIZES]:
        raise InputError(
            f"{path}: operator {str(target)[:80]!r} belongs to no known library, expected one of "
            f"{', '.join(OPERATORS)}"
        )


def _containers(path: Path, text: str) -> str:
    """Returns how a program's inputs or outputs are nested, in Python's own containers alone."""

    def check(one: dict) -> None:
        context = json.loads(one["context"] or "null")
        keys = context is None or all(NAME.fullmatch(key) for key in context)
        if one["type"] not in PLAIN or not keys:
            raise InputError(f"{path}: its inputs and outputs are {one['type']}, expected tensors")
        for child in one["children_spec"]:
            check(child)

    version, found = json.loads(text)
    check(found)
    return json.dumps([int(version), found])


def _check(path: Path, found: Any) -> None:
    """Raises InputError unless all texts are names, sizes or plain strings of an operator."""
    for key, text in _texts(found):
        known = {
            "expr_str": SIZE.fullmatch,
            "as_string": str.isprintable,
            "as_strings": str.isprintable,
            "nn_module_stack": str.isprintable,
            "in_spec": str.isprintable,
            "out_spec": str.isprintable,
        }
        if key in ("as_operator", "as_graph", "as_custom_obj", "custom_obj") or not known.get(
            key, NAME.fullmatch
        )(text):
            raise InputError(f"{path}: {key} is {text[:80]!r}, expected a name or a number")


def _texts(found: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yields each text in JSON, also the keys, with the key that it stands under."""
    if isinstance(found, str):
        yield key, found
    elif isinstance(found, list):
        for one in found:
            yield from _texts(one, key)
    elif isinstance(found, dict):
        for name, one in found.items():
            yield "key", name
            yield from _texts(one, name)
