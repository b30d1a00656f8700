"""Files are written whole or not at all, by one process or by several, killed or not."""

import os
import resource
import signal
import subprocess
import sys

import pytest
import torch

from pymodel.support.checksummed_tensors import write_sealed
from pymodel.support.errors import InputError
from pymodel.support.files import (
    ROOT,
    publish,
    remove_leftovers,
    replacing,
    temporary_folder,
    write_json,
)


@pytest.fixture
def small_files():
    """Limits files to 4096 bytes, as if the disk were full after that many."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_json(path, list(range(10_000))),
        lambda path: write_sealed({"t": torch.zeros(10_000)}, {}, path),
        lambda path: publish(ROOT / "README.md", path),
    ],
    ids=["JSON", "tensors", "a copy"],
)
def test_a_write_that_fails(small_files, write, tmp_path):
    """One line names the file and the reason; the old file stays, and nothing else is left."""
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(
        InputError, match=r"file: cannot be written \(.*[Ff]ile too large.*\)$"
    ) as info:
        write(path)
    assert "\n" not in str(info.value)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "before"


def test_an_error_of_the_caller_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]


KILLED = """
import sys
from pathlib import Path
from pymodel.support.files import replacing, temporary_folder
here = Path(sys.argv[1])
with replacing(here / "file") as temporary, temporary_folder("run", here) as run:
    temporary.write_text("half")
    (run / "inside").write_text("half")
    print("written", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_leaves_goes(tmp_path):
    """Temporary files stay while their process lives; then the next writer removes them alone."""
    (tmp_path / ".other.tmp").write_text("of somebody else")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdin=subprocess.PIPE,  # nobody writes to it or closes it, so the process waits
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline() == "written\n"
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    with temporary_folder("run", tmp_path) as folder:
        assert {p.name for p in tmp_path.iterdir()} == {".other.tmp", folder.name}
    assert [p.name for p in tmp_path.iterdir()] == [".other.tmp"]


def test_names_are_of_one_call(tmp_path):
    """Two threads, or two calls one inside the other, do not share a temporary file."""
    with replacing(tmp_path / "file") as one, replacing(tmp_path / "file") as two:
        one.write_text("one")
        two.write_text("two")
    assert (tmp_path / "file").read_text() == "one"


def test_publish(tmp_path):
    """A source is copied; without a source, an older target is removed."""
    (tmp_path / "source").write_text("new")
    publish(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "new"
    publish(tmp_path / "none", tmp_path / "target")
    assert not (tmp_path / "target").exists()
