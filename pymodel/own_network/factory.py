"""Finds what the user names in a module: the factory of a network, or a quantiser."""

import ast
import importlib
import logging
import operator
import site
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from pymodel.support.compiled_files import forget_compiled
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from pymodel.support.result_files import file_digest

BREVITAS = "brevitas==0.13.4"
EXPECTED = "package.module:factory, or package.module:factory(10, width=0.5) with literals"

# Folders whose modules are not the user's: Python's own, installed packages, and this project's
NOT_THE_USERS = (
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    *map(Path, site.getsitepackages()),
    Path(site.getusersitepackages()),
    *(ROOT / name for name in ("pymodel", "tb")),
)
_digests: dict[str, str] = {}  # of the modules of the user, by name, as they were when first seen


def digests_of_modules() -> dict[str, str]:
    """Returns the SHA-256 of the source of each module of the user that is imported, by its name.

    It is that of the source at the time when this function first found the module: a process goes
    on using the module as it was loaded, whatever becomes of its file.
    """
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name in _digests or name == "__main__" or not file or not Path(file).is_file():
            continue
        if not any(Path(file).is_relative_to(folder) for folder in NOT_THE_USERS):
            _digests[name] = file_digest(file)
    return dict(_digests)


def load_model(name: str) -> nn.Module:
    """Returns the torch.nn.Module that `package.module:factory` or `…:factory(10, k=0.5)` makes.

    The arguments are Python literals; nothing in them is evaluated. Raises InputError if the module
    does not import or has no such factory, and if the factory raises or returns anything but a
    torch.nn.Module.
    """
    module_name, colon, call = name.partition(":")
    if not (colon and module_name and call):
        raise InputError(f"factory is '{name}', expected {EXPECTED}")
    attribute, positional, keywords = _call(name, call)
    make = _named(module_name, attribute, "a factory")
    if not callable(make) or isinstance(make, nn.Module):
        raise InputError(
            f"{name} is a {type(make).__name__}, expected a function or class that returns "
            "a torch.nn.Module"
        )
    called = name if call.endswith(")") else f"{name}()"
    model = of_the_user(called, make, *positional, **keywords)
    if not isinstance(model, nn.Module):
        raise InputError(f"{called} is a {type(model).__name__}, expected a torch.nn.Module")
    return model


def load_quantiser(name: str) -> Callable:
    """Returns the function `package.module:function`; raises InputError if there is none."""
    module_name, _, attribute = name.partition(":")
    if not (module_name and attribute):
        raise InputError(f"quantiser is '{name}', expected package.module:function")
    found = _named(module_name, attribute, "a function")
    if not callable(found):
        raise InputError(f"{name} is a {type(found).__name__}, expected a function")
    return found


def _named(module_name: str, attribute: str, what: str) -> Any:
    """Returns an attribute of a module that is imported.

    Raises InputError if the module does not import, or has no such attribute.
    """
    try:
        with without_warnings():
            top, _, _ = module_name.partition(".")
            known = not top or top in sys.modules
            found = None if known else importlib.util.find_spec(top)
            if found and found.origin:
                forget_compiled(Path(found.origin))
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(f"{module_name}: does not import: {words(error)}") from None
        raise InputError(
            f"{module_name}: no module '{error.name}' found; run this in the folder that holds it, "
            "or name that folder in PYTHONPATH"
        ) from None
    except (Exception, SystemExit) as error:
        raise InputError(f"{module_name}: does not import: {words(error)}") from None
    try:
        return operator.attrgetter(attribute)(module)
    except AttributeError:
        raise InputError(
            f"{module_name}: has no '{attribute}', expected the name of {what}"
        ) from None


def of_the_user(what: str, function: Callable, *arguments: Any, **keywords: Any) -> Any:
    """Calls a function that may run the user's code, and returns the result of the function.

    Any exception of that code becomes an InputError of one line, which starts with `what`. Warnings
    of libraries are not shown: they would stand around the table.
    """
    try:
        with without_warnings():
            return function(*arguments, **keywords)
    except (Exception, SystemExit) as error:
        raise InputError(f"{what}: raises {words(error)}") from None


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keeps warnings, also those that PyTorch's libraries log, from being shown."""
    loggers = [logging.getLogger(name) for name in ("torch", "torchao")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def words(error: BaseException) -> str:
    """Returns a line that describes an exception."""
    if isinstance(error, ModuleNotFoundError) and error.name == "brevitas":
        return f"Brevitas is not installed; type: {sys.executable} -m pip install {BREVITAS}"
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"


def _call(name: str, call: str) -> tuple[str, list, dict[str, Any]]:
    """Returns attribute, positional and keyword arguments of what stands behind the colon.

    Raises InputError if that is neither a name nor a call with literals.
    """
    if "(" not in call:
        return call, [], {}
    try:
        found = ast.parse(call, mode="eval").body
        if not isinstance(found, ast.Call) or any(one.arg is None for one in found.keywords):
            raise ValueError("no call, or a call with **")
        if not isinstance(found.func, ast.Name | ast.Attribute):
            raise ValueError("a call of no name")
        positional = [ast.literal_eval(one) for one in found.args]
        keywords = {one.arg: ast.literal_eval(one.value) for one in found.keywords}
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise InputError(f"factory is '{name}', expected {EXPECTED}") from None
    return ast.unparse(found.func), positional, keywords
