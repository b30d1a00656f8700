"""A verdict stands for the figures of its own run alone, also where two runs end at once."""

import json

from pymodel.support import result_files
from pymodel.support.result_files import (
    about_path,
    publish_results,
    read_verdict,
    remove_results,
    write_results,
)


def test_a_verdict_is_read_back_and_counts_for_these_contents_alone(tmp_path):
    path = tmp_path / "layer.json"
    write_results(path, {"a": 1}, passed=True, about={"rtl": "x"})
    assert read_verdict(path).passed
    path.write_text('{"a": 2}')
    assert read_verdict(path) is None
    remove_results(path)
    assert not path.exists()
    assert not about_path(path).exists()


def test_results_of_another_run_that_ends_at_the_same_time(tmp_path, monkeypatch):
    """The other run puts its figures there just before this run writes its verdict."""
    path, own, other = (tmp_path / f"{name}.json" for name in ("layer", "own", "other"))
    own.write_text(json.dumps({"run": "own"}))
    other.write_text(json.dumps({"run": "other"}))
    write = result_files.write_verdict

    def later(*arguments, **options):
        path.write_bytes(other.read_bytes())
        write(*arguments, **options)

    monkeypatch.setattr(result_files, "write_verdict", later)
    publish_results(own, path, passed=True, about={})
    assert read_verdict(path) is None
    write_results(path, {"run": "own"}, passed=True, about={})
    assert read_verdict(path) is None
