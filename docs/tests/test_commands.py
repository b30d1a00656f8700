"""`make help` lists every target in a group, and docs/commands.md has every target."""

import re
import subprocess

import pytest

from pymodel.support.files import ROOT

GROUPS = [
    "most used",
    "run",
    "look",
    "own network and array",
    "trust",
    "hardware",
    "training",
    "maintain",
]


def grouped(makefile: str) -> tuple[dict[str, list[str]], list[str]]:
    """Returns the targets of each group, and a line for each without group, words or `.PHONY`."""
    groups: dict[str, list[str]] = {}
    wrong, group = [], ""
    phony = {
        name for line in re.findall(r"^\.PHONY: (.*)$", makefile, re.M) for name in line.split()
    }
    described: set[str] = set()
    named: set[str] = set()
    for line in makefile.splitlines():
        if line.startswith("##@ "):
            group = line.removeprefix("##@ ")
        if not (rule := re.match(r"([a-z][\w-]*):(?!=)(?! *\w+ *[?:+]?=)", line)):
            continue
        target = rule[1]
        named.add(target)
        if not group:
            wrong.append(f"{target}: in no group")
        elif re.match(r"[a-z-]+:.*## \w", line):
            groups.setdefault(group, []).append(target)
            described.add(target)
    wrong += [f"{target}: no words for make help" for target in sorted(named - described)]
    wrong += [f"{target}: not .PHONY" for target in sorted(named - phony)]
    return groups, wrong


MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = {name for names in grouped(MAKEFILE)[0].values() for name in names}


def unknown_targets(text: str, targets: set[str]) -> list[str]:
    """Returns the targets that `text` calls, in examples or backticks, and that do not exist."""
    called = set(re.findall(r"(?:`|^ {4}|^\w+=\w+ )(?:\w+=\w+ )?make ([a-z][a-z-]*)\b", text, re.M))
    return sorted(called - targets)


def test_every_target_is_in_a_group():
    groups, wrong = grouped(MAKEFILE)
    assert wrong == []
    assert list(groups) == GROUPS
    assert len(groups["most used"]) == 3


def test_help_prints_the_groups():
    command = ["make", "--no-print-directory", "help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    blocks = [block.splitlines() for block in done.stdout.strip().split("\n\n")]
    shown = {first: [line.split()[1] for line in rest] for first, *rest in blocks}
    assert shown == grouped(MAKEFILE)[0]
    assert all(line.startswith("  make ") for _, *rest in blocks for line in rest)


def test_the_document_has_every_target():
    rows = re.findall(
        r"^\| (`make.*?) \|", (ROOT / "docs" / "commands.md").read_text(), re.MULTILINE
    )
    assert {name for row in rows for name in re.findall(r"`make ([\w-]+)`", row)} == TARGETS


@pytest.mark.parametrize(
    "document",
    sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("[!.]*/README.md")}),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_targets_that_documents_call_are_there(document):
    assert unknown_targets(document.read_text(), TARGETS) == []


def test_what_is_wrong_is_found():
    good = "##@ run\n.PHONY: one two\none: SIM ?= x\none: ## Does one\n\ntwo: one ## Does two\n"
    assert grouped(good) == ({"run": ["one", "two"]}, [])
    assert grouped(good.replace("##@ run\n", ""))[1][:2] == ["one: in no group", "two: in no group"]
    assert grouped(good.replace(" ## Does two", ""))[1] == ["two: no words for make help"]
    assert grouped(good.replace("one two", "one"))[1] == ["two: not .PHONY"]
    text = (
        "Call `make one`,\n\n    SIM=x make three ARGS=1\n    make two\n\nor make nothing of it.\n"
    )
    assert unknown_targets(text, {"one", "two"}) == ["three"]
