"""The documents have right links, anchors, files, modules, sentences, figures and lengths.

Each check returns a line for each thing that is wrong, so that a test can also plant a fault.
pytest itself runs the examples in docs/*.md (pyproject.toml).
"""

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from pymodel.checkpoint import load_checkpoint
from pymodel.support.files import ROOT
from pymodel.support.old_names import FILES
from tb.report.command_results import CHECKS

README_LINES = 160
FOLDERS = ("rtl", "tb", "pymodel", "training", "docs")
# Names that a document may use although no such file is there: placeholders, and files of a user
PLACEHOLDER = re.compile(r"\bX\b|_X\b|my_|<")


def files(*endings: str) -> list[Path]:
    """Returns the files of the repository with these endings, without built or installed ones."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    return sorted(path for path in [*ROOT.iterdir(), *found] if path.suffix in endings)


DOCUMENTS = files(".md")
every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def prose(text: str) -> str:
    """Returns `text` without its code blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Returns the anchors of the headings, as GitHub forms them."""
    found: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r"^#+ +(.*)$", prose(text), re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        name = re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-")
        names.add(f"{name}-{found[name]}" if found[name] else name)
        found[name] += 1
    return names


def wrong_links(document: Path, text: str) -> list[str]:
    """Returns a line for each relative link to no file, or to an anchor that no heading has."""
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if path and not target.exists():
            wrong.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(target.read_text() if path else text):
            wrong.append(f"{link}: no such heading")
    return wrong


def wrong_files(text: str) -> list[str]:
    """Returns a line for each file that `text` names, in prose or examples, and that is missing."""
    named = set(re.findall(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w\.\w+", text))
    wrong = [
        f"{name}: no such file"
        for name in sorted(named - FILES.keys())
        if not PLACEHOLDER.search(name) and not (ROOT / name).exists()
    ]
    names = {path.name for path in files(".py", ".v", ".sv", ".toml")}
    for name in sorted(set(re.findall(r"`(\w+\.(?:py|v|sv|toml))`", text))):
        if name not in names and not PLACEHOLDER.search(name) and name != "adapter.py":
            wrong.append(f"{name}: no file of this name")
    return wrong


def wrong_modules(text: str) -> list[str]:
    """Returns a line for each module that `text` runs or names, as `tb.…`, and that is missing."""
    named = set(re.findall(r"python -m ((?:tb|pymodel|training)[\w.]*\w)", text))
    named |= set(re.findall(r"`((?:tb|pymodel|training)(?:\.\w+)+)`", text))
    wrong = []
    for name in sorted(named):
        places = [ROOT / name.replace(".", "/")]
        package, _, old = name.partition(".")
        places.append(ROOT / package / "old_names" / old)
        if not any(place.is_dir() or place.with_suffix(".py").exists() for place in places):
            wrong.append(f"{name}: no such module")
    return wrong


def sentence(init: Path) -> str:
    """Returns the first line of a package's docstring, "" without one."""
    return (ast.get_docstring(ast.parse(init.read_text())) or "").partition("\n")[0]


def wrong_rooms(folder: Path, text: str) -> list[str]:
    """Returns a line for each room of `folder` whose row in `text` is missing or differs."""
    rows = dict(re.findall(r"^\| \[`(\w+)/`\]\(\1\) \| (.*) \|$", text, re.MULTILINE))
    rooms = {
        path.parent.name: path
        for path in folder.glob("*/__init__.py")
        if path.parent.name != "tests"
    }
    wrong = [f"{name}: a row without a room" for name in sorted(rows.keys() - rooms.keys())]
    for name, init in sorted(rooms.items()):
        if rows.get(name) != sentence(init):
            wrong.append(f"{name}: the table has {rows.get(name)!r}, the room {sentence(init)!r}")
    return wrong


def without_sentence(folders: list[Path]) -> list[str]:
    """Returns a line for each folder whose `__init__.py` has no sentence about it."""
    wrong = []
    for folder in folders:
        init = folder / "__init__.py"
        if not init.exists() or not sentence(init).endswith("."):
            wrong.append(f"{folder.name}: no sentence in {init.name}")
    return wrong


def figures(text: str) -> list[str]:
    """Returns the figures in bold, in the rows of `text` that name a command of make."""
    rows = re.findall(r"^\| .* \| `make[^|]*` \|$", text, re.MULTILINE)
    return [figure for row in rows for figure in re.findall(r"\*\*(.*?)\*\*", row)]


def missing_keys(text: str) -> list[str]:
    """Returns the keys of JSON results that the report needs, and that `text` does not name."""
    rows = dict(re.findall(r"^\| `build/results/(\w+)\.json` \| (.*) \|$", text, re.MULTILINE))
    wrong = []
    for check in CHECKS:
        row = re.sub(
            r"`act_`, `weight_`, `threshold_` and `result_bits_per_cycle`",
            "",
            rows.get(check.name, ""),
        )
        named = set(re.findall(r"`(\w+)`", row))
        named |= {f"{s}_bits_per_cycle" for s in ("act", "weight", "threshold", "result")}
        wrong += [f"{check.name}.json: {key}" for key in check.keys if key not in named]
    return wrong


def missing_tests(document: Path, text: str) -> list[str]:
    """Returns a line for each link that names a test, and whose file does not define that test."""
    wrong = []
    for name, path in re.findall(r"\[`(test_\w+)`\]\(([\w./]+\.py)\)", text):
        target = document.parent / path
        if not target.exists() or f"\ndef {name}(" not in target.read_text():
            wrong.append(f"{path}: no test {name}")
    return wrong


def too_long(text: str) -> list[str]:
    """Returns a line if `text` has more than README_LINES lines, else nothing."""
    lines = len(text.splitlines())
    return [f"{lines} lines, expected at most {README_LINES}"] if lines > README_LINES else []


def not_linked(text: str, names: set[str]) -> list[str]:
    """Returns those of `names` to which `text` has no link."""
    return sorted(name for name in names if f"]({name})" not in prose(text))


def newest_version(changelog: str) -> str:
    """Returns the version that the changelog begins with."""
    return re.findall(r"^## (.*)$", changelog, re.MULTILINE)[0]


def project_version(pyproject: str) -> str:
    """Returns the version in the text of pyproject.toml."""
    return tomllib.loads(pyproject)["project"]["version"]


def old_names(changelog: str) -> dict[str, str]:
    """Returns old and new names of modules in the changelog's table."""
    return dict(re.findall(r"^\| `(.*)` \| `(.*)` \|$", changelog, re.MULTILINE))


@every_document
def test_links(document):
    assert wrong_links(document, document.read_text()) == []


@every_document
def test_files_and_modules_that_are_named_are_there(document):
    text = document.read_text()
    assert wrong_files(text) + wrong_modules(text) == []


def test_every_command_has_a_test_of_what_would_make_it_pass_wrongly():
    """The table of docs/trust.md names tests that are there, and every command with a verdict."""
    document = ROOT / "docs" / "trust.md"
    text = document.read_text()
    _, _, rest = text.partition("## What would make a command pass wrongly\n")
    table, _, _ = rest.partition("\n## ")
    assert missing_tests(document, table) == []
    named = set(re.findall(r"`(make\b[ \w-]*|pytest)`", table))
    judging = "check replay test accuracy network bench evaluate mutate mutate-python formal"
    judging += " coverage netlist soak report generate verify"
    assert named >= {"make", "pytest", *(f"make {name}" for name in judging.split())}


def test_the_readme_is_short():
    assert too_long((ROOT / "README.md").read_text()) == []


def test_the_index_has_every_document():
    """docs/README.md links all documents of its folder; the README links the index."""
    names = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert len(names) > 10
    assert not_linked((ROOT / "docs" / "README.md").read_text(), names) == []
    assert not_linked((ROOT / "README.md").read_text(), {"docs/README.md"}) == []


@pytest.mark.parametrize("folder", ["tb", "pymodel"])
def test_rooms_are_in_the_table_with_their_sentence(folder):
    assert wrong_rooms(ROOT / folder, (ROOT / folder / "README.md").read_text()) == []


def test_every_folder_says_what_it_holds():
    folders = {path.parent for path in files(".py")} - {ROOT}
    assert len(folders) > 15
    assert without_sentence(sorted(folder for folder in folders if folder.name != "tests")) == []


def test_figures_of_the_readme_are_those_of_the_results_page():
    """Pages that show printed tables have the same figures; the accuracy is the checkpoint's."""
    readme = (ROOT / "README.md").read_text()
    results = (ROOT / "docs" / "results.md").read_text()
    found = figures(readme)
    assert len(found) == 5
    assert set(found) <= set(figures(results))
    _, metadata = load_checkpoint()
    accuracy = f"{float(metadata['accuracy']):.2%}"
    assert accuracy in found
    assert figures(results).count(accuracy) == 3
    network = (ROOT / "docs" / "whole-network.md").read_text()
    for words in ("accuracy with the RTL in the loop  ", "accuracy in software               "):
        assert f"\n{words}{accuracy}\n" in network
    for figure in ("10,265,600", "103.3", "1,280,000", "1.9"):
        assert figure in readme
        assert re.search(rf"  {re.escape(figure)}$", network, re.MULTILINE), figure
    core = (ROOT / "docs" / "core.md").read_text()
    assert set(figures(results)[-4:]) == set(re.findall(r"\*\*([\d.%MHz ]+)\*\*", core))


def test_version_is_that_of_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert newest_version(changelog) == project_version((ROOT / "pyproject.toml").read_text())


def test_the_changelog_has_every_old_name():
    moved = {}
    for package in ("pymodel", "tb"):
        for path in (ROOT / package / "old_names").glob("[!_]*.py"):
            (new,) = re.findall(r'forward\(__spec__, "(.*)"\)', path.read_text())
            moved[f"{package}.{path.stem}"] = new
    assert old_names((ROOT / "CHANGELOG.md").read_text()) == moved


def test_json_keys_are_documented():
    assert missing_keys((ROOT / "docs" / "results.md").read_text()) == []


# Each check finds a planted fault.

PAGE = ROOT / "docs" / "page.md"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a](guide.md) [b](../rtl/README.md#rules) [c](https://example.org/x)", []),
        ("# Two words\n[here](#two-words)", []),
        ("# Twice\n# Twice\n[here](#twice-1)", []),
        ("```\n[not a link](nowhere.md)\n```", []),
        ("[a](nowhere.md)", ["nowhere.md: no such file"]),
        ("![picture](nowhere.png)", ["nowhere.png: no such file"]),
        ("[a](guide.md#nothing)", ["guide.md#nothing: no such heading"]),
        ("# Two words\n[here](#two)", ["#two: no such heading"]),
        ("```\n# No heading\n```\n[here](#no-heading)", ["#no-heading: no such heading"]),
    ],
)
def test_a_wrong_link_is_found(text, wrong):
    assert wrong_links(PAGE, text) == wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`tb/run/sweep.py`, tb/test_X.py, build/results/none.json, `sweep.py`", []),
        ("see tb/sweep.py", ["tb/sweep.py: no such file"]),
        ("```\nmake DUT=tb/examples/none.py\n```", ["tb/examples/none.py: no such file"]),
        ("[`tb/run/sweeps.py`](../tb/run/sweep.py)", ["tb/run/sweeps.py: no such file"]),
        ("a bench, `test_none.py`", ["test_none.py: no file of this name"]),
    ],
)
def test_a_file_that_is_not_there_is_found(text, wrong):
    assert wrong_files(text) == wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`python -m tb.run layer`, `python -m tb.layer`, `tb.components.packing`", []),
        ("    .venv/bin/python -m tb.runs layer", ["tb.runs: no such module"]),
        ("import `pack` of `tb.components.pack`", ["tb.components.pack: no such module"]),
    ],
)
def test_a_module_that_is_not_there_is_found(text, wrong):
    assert wrong_modules(text) == wrong


def test_a_test_that_is_not_there_is_found():
    right = "[`test_links`](tests/test_documents.py)"
    assert missing_tests(PAGE, right) == []
    assert missing_tests(PAGE, right.replace("links", "link")) == [
        "tests/test_documents.py: no test test_link"
    ]
    assert missing_tests(PAGE, right.replace("documents", "nothing")) == [
        "tests/test_nothing.py: no test test_links"
    ]


def test_a_room_that_says_something_else_is_found(tmp_path):
    for room, words in (("one", '"""Holds one."""\n'), ("two", '"""Holds two."""\n'), ("none", "")):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text(words)
    (tmp_path / "bare").mkdir()
    row = "| [`{0}/`]({0}) | {1} |\n".format
    right = row("one", "Holds one.") + row("two", "Holds two.") + row("none", "")
    assert wrong_rooms(tmp_path, right) == []
    assert wrong_rooms(tmp_path, right.replace("Holds two", "Holds it")) == [
        "two: the table has 'Holds it.', the room 'Holds two.'"
    ]
    assert wrong_rooms(tmp_path, right + row("three", "Holds three.")) == [
        "three: a row without a room"
    ]
    assert wrong_rooms(tmp_path, right.replace(row("one", "Holds one."), "")) == [
        "one: the table has None, the room 'Holds one.'"
    ]
    folders = [tmp_path / name for name in ("one", "two", "none", "bare")]
    assert [line.partition(":")[0] for line in without_sentence(folders)] == ["none", "bare"]


def test_a_figure_and_a_key_that_are_missing_are_found():
    row = "| cycles | **136**; **1.42** | `make bench` |\n"
    assert figures(row + "| no | **1** | figure |\n") == ["136", "1.42"]
    text = (ROOT / "docs" / "results.md").read_text()
    assert missing_keys(text.replace("`psum_mismatches` (of what it gives)", "")) == [
        "layer.json: psum_mismatches"
    ]


def test_length_index_version_and_old_names_are_found():
    assert too_long(README_LINES * "line\n") == []
    assert too_long((README_LINES + 1) * "line\n") == ["161 lines, expected at most 160"]
    assert not_linked("[a](a.md)\n```\n[b](b.md)\n```\n", {"a.md", "b.md"}) == ["b.md"]
    assert newest_version("# Changelog\n\n## 0.3.0\n\n## 0.2.0\n") == "0.3.0"
    assert project_version('[project]\nversion = "0.2.0"\n') == "0.2.0"
    assert old_names("| `tb.layer` | `tb.run.layer` |\n| a | b |\n") == {"tb.layer": "tb.run.layer"}
