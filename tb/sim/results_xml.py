"""Reads the results file of a cocotb run: the run passes if all planned tests ran and passed."""

import importlib
import os
import re
from pathlib import Path
from xml.etree import ElementTree

from cocotb.regression import Test, TestGenerator

from pymodel.support.errors import InputError


def first_failure(results: Path, module: str) -> str | None:
    """Returns what cocotb's results file says went wrong; None if the tests of `module` passed.

    All tests that $COCOTB_TEST_FILTER leaves are planned. At least one must run, and each must have
    a result. Raises InputError if a test raised one.
    """
    if not results.exists():
        return "the simulation ended without results"
    try:
        cases = list(ElementTree.parse(results).iter("testcase"))
    except ElementTree.ParseError as error:
        results.unlink()  # or it might be published
        return f"cocotb's results are damaged ({error}): the simulation ended while it wrote them"
    if all(case.find("skipped") is not None for case in cases):
        return "no cocotb test ran: does COCOTB_TEST_FILTER match none?"
    for case in cases:
        for failure in (*case.findall("failure"), *case.findall("error")):
            text = failure.get("message") or failure.text or "failed without a message"
            line = re.sub(r"^(BenchError|AssertionError): ", "", text.strip().splitlines()[0])
            if failure.get("type") == InputError.__name__:
                raise InputError(line)
            return line
    planned = planned_tests(module)
    missing = planned - {f"{case.get('classname')}.{case.get('name')}" for case in cases}
    if missing:
        return (
            f"{len(missing)} of {len(planned)} cocotb tests left no result, such as "
            f"{min(missing)}: the simulation ended early"
        )
    return None


def planned_tests(module: str, wanted: str | None = None) -> set[str]:
    """Returns the full names of the cocotb tests of `module` that a regular expression leaves.

    The expression is by default that of $COCOTB_TEST_FILTER.
    """
    tests = []
    for value in vars(importlib.import_module(module)).values():
        if isinstance(value, Test):
            tests.append(value)
        elif isinstance(value, TestGenerator):
            tests += value.generate_tests()
    wanted = os.environ.get("COCOTB_TEST_FILTER", "") if wanted is None else wanted
    return {test.fullname for test in tests if re.search(wanted, test.fullname)}
