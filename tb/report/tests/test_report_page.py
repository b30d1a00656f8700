"""The report records the layer rightly, and a browser shows what was recorded."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from filelock import FileLock
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pymodel.checkpoint import SHIPPED
from pymodel.layer_capture import capture
from pymodel.own_network.layer_file import save_layers
from pymodel.own_network.tests.random_layer import random_layer
from pymodel.reference.layer_data import layer_data
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from pymodel.support.result_files import write_results
from tb.components.array_adapter import OWN
from tb.components.packing import unpack
from tb.components.trained_tiles import tile_run
from tb.modules.module_table import SIMULATORS
from tb.report import report_page as report_page
from tb.report.charts import PALETTES, busy_pes
from tb.report.command_results import CHECKS, read_all, read_log, table
from tb.report.cycle_view import hexadecimal
from tb.report.recording import PE_SIGNALS, number, pe_signals
from tb.sim.errors import BenchError
from tb.sim.result_about import about

IMAGES, IMAGE = 2, 1  # number of images, and the recorded one, of the page under test
HOSTILE = "</script><img src='http://localhost:9/x.png' onerror=alert(1)>"
ABOUT = about("tb.report.command_results", checkpoint=SHIPPED, adapter=OWN)
ACCURACY = {
    "images": 10,
    "accuracy_rtl": 0.5,
    "sums_checked": 80,
    "sum_mismatches": 3,
    "predictions_differing": 0,
}
CORE_ROW = {
    "layer": HOSTILE,
    "batch": 4,
    "cycles": 120,
    "limit_cycles": 100,
    "dense_limit_cycles": 144,
    "codes": 128,
    "codes_differing": 0,
}
FITS = """(width) => {
  const charts = [...document.querySelectorAll(".main-svg")].map((svg) => svg.clientWidth);
  const widest = Math.max(...charts);
  return document.documentElement.scrollWidth <= width && width / 2 < widest && widest < width;
}"""
MOTION = "getComputedStyle(document.querySelector('.work .act')).animationName"
LOAD_FIRST = ROOT / "tb" / "examples" / "load_first_array.py"
PATIENCE = 600_000  # milliseconds until a browser that does not do what it must is given up
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory, worker_id):
    """Returns a function that makes a page once, whichever process of pytest -n asks for it.

    The function takes the page's name and options of the command, and returns the page's file.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "report"
    folder.mkdir(exist_ok=True)

    def made(name: str, *options) -> Path:
        page = folder / name
        common = ("--sim", SIMULATORS[0], "--results", folder, "--output", page)
        with FileLock(folder / "lock"), pytest.MonkeyPatch.context() as patch:
            if not page.exists():
                write_results(folder / "core.json", [CORE_ROW], passed=True, about=ABOUT)
                write_results(folder / "accuracy.json", ACCURACY, passed=False, about=ABOUT)
                patch.setattr("sys.argv", ["report", *map(str, options + common)])
                assert report_page.main() == 0
        return page

    return made


@pytest.fixture(scope="module")
def page_file(made_once) -> Path:
    """Returns the page of our array."""
    return made_once("report.html", "--images", IMAGES, "--image", IMAGE)


@pytest.fixture(scope="module")
def foreign_file(made_once) -> Path:
    """Returns the page of another array."""
    return made_once("foreign.html", "--images", 1, "--dut", LOAD_FIRST)


@pytest.fixture(scope="module")
def data(page_file) -> dict:
    """Returns the data that the page holds for its script."""
    (text,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>',
        page_file.read_text(),
        re.DOTALL,
    )
    return json.loads(text)


@pytest.fixture(scope="module")
def recorded(data) -> dict[str, np.ndarray]:
    """Returns the PEs' signals, float [T, ROWS, COLS]; NaN stands for X."""
    return {
        name: np.array(data["recording"]["pe"][name], float).reshape(-1, 8, 8)
        for name in PE_SIGNALS
    }


@pytest.fixture(scope="module")
def browser(page_file, foreign_file, tmp_path_factory):
    """Returns a headless browser that can open our files; without one the tests are skipped.

    It starts after the pages were made: beside its event loop no simulation can be started.
    """
    probe = tmp_path_factory.mktemp("probe") / "probe.html"
    probe.write_text("<p>it opens</p>")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    found = list(filter(None, map(shutil.which, BROWSERS)))
    for executable in found:
        command = [executable, "--headless", *arguments, "--dump-dom", probe.as_uri()]
        # Ubuntu's chromium is a stub that starts a snap, which may not be able to open the file.
        if (
            "it opens"
            in subprocess.run(command, capture_output=True, text=True, timeout=600).stdout
        ):
            expect.set_options(timeout=PATIENCE)
            with sync_playwright() as playwright:
                yield playwright.chromium.launch(executable_path=executable, args=arguments)
            return
    reason = f"{', '.join(found)} cannot open {probe}" if found else f"none of {BROWSERS} is there"
    pytest.skip(f"the page needs a browser: {reason}; type: apt-get install chromium")


@pytest.fixture
def opened(browser: Browser, page_file):
    """Returns a function that opens the page, which must not complain or load anything else."""
    contexts = []

    def open_page(width: int = 1200, height: int = 900, file: Path = page_file, **settings) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: complaints.append(request.url))
        contexts.append((context, complaints, file.as_uri()))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context, complaints, address in contexts:
        context.close()
        asked = [text for text in complaints if not text.startswith("data:image/png")]
        assert asked == [address]


def at(page: Page) -> int:
    """Returns the cycle that is shown."""
    return int(re.match(r"Cycle (\d+)", page.inner_text("#now-cycle"))[1])


def cells(page: Page, part: str) -> list[str]:
    """Returns the texts of all PEs, row by row."""
    return page.locator(f".pe .{part}").all_inner_texts()


def texts(values: np.ndarray) -> list[str]:
    """Returns numbers as the page writes them: with a true minus, and x for unknown."""
    return ["x" if np.isnan(v) else str(int(v)).replace("-", "−") for v in values.ravel()]


@pytest.mark.verify
def test_recording_is_of_the_layer(recorded, data, shipped, images):
    """The weights in use are the tiles', and the psums that left are PyTorch's, in its order."""
    chosen = images.first(IMAGES).images[IMAGE:]
    array = SimpleNamespace(depth=8, cols=8, shows="psum")
    run = tile_run(layer_data(capture(shipped, chosen)), array)
    recording = data["recording"]
    edges = recording["edges"]
    left = [psums for psums, high in zip(edges["psum"], edges["psum_valid"], strict=True) if high]
    assert (np.array(left) == run.expected.reshape(-1, 8)).all()
    # What the bench compared left in the cycles in which the array's valid was high.
    assert [bool(vectors) for vectors in recording["leaving"]] == list(
        map(bool, edges["psum_valid"])
    )
    for tile, cycle in enumerate(recording["starts"]):
        # Row 0, column 0 uses its new weight in the cycle of the swap, the last corner 14 later.
        assert recorded["weight"][cycle, 0, 0] == run.tiles.weights[tile, 0, 0]
        assert (recorded["weight"][cycle + 14].diagonal() == np.diag(run.tiles.weights[tile])).all()


@pytest.mark.verify
def test_recording_moves_as_the_array_does(recorded):
    """Activations go east, psums south, and every PE adds its product."""
    act, psum, weight = (recorded[name] for name in ("act", "psum", "weight"))
    known = 23  # from this cycle on no recorded register is unknown
    assert (act[known + 1 :, :, 1:] == act[known:-1, :, :-1]).all()
    north = np.concatenate([np.zeros_like(psum[:, :1]), psum[:, :-1]], 1)
    following = north + act * weight
    assert (psum[known + 1 :] == following[known:-1]).all()
    assert np.abs(psum[known:]).max() > 20


@pytest.mark.verify
def test_charts_are_drawn_in_both_themes_and_nothing_is_too_wide(opened, data):
    """The charts have the colours that the browser asks for, also when it asks for others."""
    page = opened(color_scheme="dark")
    drawn = page.evaluate(
        "[...document.querySelectorAll('[data-chart]')].filter((c) => c.querySelector('.main-svg'))"
        ".map((c) => c.dataset.chart)"
    )
    assert sorted(drawn) == sorted(data["figures"])
    assert len(drawn) == 11
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        assert font_colours(page) == {PALETTES[theme].text}
    for width in (1200, 360):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(FITS, arg=width)  # the charts follow after a while


def font_colours(page: Page) -> set[str]:
    """Returns the font colours of all charts."""
    return set(
        page.evaluate(
            "[...document.querySelectorAll('[data-chart]')].map((c) => c._fullLayout.font.color)"
        )
    )


@pytest.mark.verify
def test_array_shows_what_was_recorded(opened, recorded, data):
    """The array is right at the start, with unknown values, in a swap, halfway, and at the end."""
    page = opened()
    last = len(recorded["act"]) - 1
    assert page.get_attribute("#cycle", "max") == str(last)
    swap = data["recording"]["starts"][0]
    for cycle in (0, swap + 3, 77, last):
        page.fill("#cycle", str(cycle))
        assert at(page) == cycle
        for part in ("act", "weight", "psum"):
            assert cells(page, part) == texts(recorded[part][cycle]), (cycle, part)
        assert [t.rstrip("›") for t in cells(page, "shadow")] == texts(recorded["shadow"][cycle])
        swapping = page.locator(".pe.swap").count()
        assert swapping == recorded["swap"][cycle].sum()
        assert swapping == (4 if cycle == swap + 3 else swapping)
        hops = recorded["hops"][cycle - 1] if cycle else np.zeros((8, 8))
        assert page.locator(".pe .new").count() == (hops > 0).sum()
        words = data["recording"]["captions"][cycle]
        for name, text in words.items():
            assert page.inner_text(f"#now-{name}") == text
    page.fill("#cycle", str(swap + 3))
    assert "4 on diagonal 3 take" in page.inner_text("#now-swap")
    assert "tile 0 of 9, kernel position (0, 0)" in page.inner_text("#now-where")
    assert "activations of tile 0, pixel (0, 3) enter" in page.inner_text("#now-west")


@pytest.mark.verify
def test_array_by_keyboard(opened, recorded):
    """Keys work while the array is in view and from its controls, but not at the page's top."""
    page = opened()
    last = len(recorded["act"]) - 1
    page.locator("#grid").scroll_into_view_if_needed()
    press = page.keyboard.press
    for key, cycle in (
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", last),
        ("ArrowRight", last),
        ("Home", 0),
        ("n", 8),
        ("n", 24),
    ):
        press(key)
        assert at(page) == cycle, key
    page.focus("#cycle")
    press("ArrowRight")
    assert at(page) == 25
    page.focus("#speed")
    press("ArrowRight")
    assert at(page) == 25
    assert page.input_value("#speed") == "8"
    page.focus("#step")
    press("Enter")
    assert at(page) == 26
    press("Shift+ArrowDown")
    press("Shift+ArrowRight")
    assert at(page) == 26
    north, act = recorded["psum"][26, 0, 1], recorded["act"][26, 1, 1]
    weight = recorded["weight"][26, 1, 1]
    values = texts(np.array([north, act, weight, north + act * weight]))
    assert page.inner_text("#inspected") == (
        "PE (1, 1): psum from the north {} + activation {} × weight {} → {} in the next cycle"
    ).format(*values)
    page.focus("#theme")
    press("ArrowRight")
    assert at(page) == 26


@pytest.mark.verify
def test_array_plays(opened, recorded):
    """Space and the button play and pause; the array stops at the end. Values slide as they go."""
    page = opened()
    page.clock.install(time=0)
    page.clock.pause_at(1)  # from here on the page's clock goes only as far as it is told to
    page.select_option("#speed", "8")
    page.focus("#cycle")
    page.keyboard.press(" ")
    page.clock.run_for(500)
    assert at(page) == 4
    page.keyboard.press(" ")
    page.clock.run_for(10_000)
    assert at(page) == 4
    page.select_option("#speed", "20")
    last = len(recorded["act"]) - 1
    page.fill("#cycle", str(last - 4))
    page.click("#play")
    page.clock.run_for(200)
    assert (page.inner_text("#play"), at(page)) == ("Pause", last)
    page.clock.run_for(50)
    assert (page.inner_text("#play"), at(page)) == ("Play", last)
    page.fill("#cycle", "30")
    page.click("#step")
    assert page.evaluate(MOTION).startswith("east")


@pytest.mark.verify
def test_motion_is_reduced_where_that_is_asked_for(opened):
    page = opened(reduced_motion="reduce")
    page.fill("#cycle", "30")
    page.click("#step")
    assert page.evaluate(MOTION) == "none"
    assert page.input_value("#speed") == "1"


@pytest.mark.verify
def test_buttons_of_the_charts(opened):
    """The theme's button works, by keyboard too, and so do the ranges of the utilisation."""
    page = opened(color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.focus("#theme")
    page.keyboard.press("Enter")
    assert font_colours(page) == {PALETTES["dark"].text}
    assert page.evaluate(background) != light
    page.click("#theme")
    assert font_colours(page) == {PALETTES["light"].text}
    assert page.evaluate(background) == light

    shown = "document.getElementById('chart-utilisation')._fullLayout.xaxis.range"
    whole = page.evaluate(shown)
    page.click("[data-range=end]")
    assert page.evaluate(shown) == [whole[1] - 64, whole[1]]
    assert page.get_attribute("[data-range=end]", "aria-pressed") == "true"
    page.click("[data-range=all]")
    assert page.evaluate(shown) == whole


@pytest.mark.verify
def test_images_by_keyboard(opened, data):
    """The chosen image's maps are in the heatmaps; the recorded one comes first."""
    page = opened()
    values = "document.getElementById('chart-{}').data.map((trace) => trace.z)"

    def shown(image: int) -> None:
        pictures = data["pictures"]["images"][image]
        assert page.get_attribute("#image", "src") == pictures["png"]
        assert page.inner_text("#image-name").startswith(f"{image}: ")
        for chart in ("input", "output"):
            assert page.evaluate(values.format(chart)) == pictures[chart]

    shown(IMAGE)
    page.focus("input[name=image]:checked")
    page.keyboard.press("ArrowLeft")
    shown(0)
    assert page.evaluate(values.format("weights")) == data["pictures"]["weights"]


@pytest.mark.verify
def test_pictures_are_the_layers(data, shipped, images):
    layer = layer_data(capture(shipped, images.first(IMAGES).images))
    for image, pictures in enumerate(data["pictures"]["images"]):
        assert pictures["input"] == layer.activation_codes[image].tolist()
        torch.testing.assert_close(
            torch.tensor(pictures["output"]), layer.reference[image], rtol=1e-3, atol=1e-5
        )
    weights = torch.tensor(data["pictures"]["weights"]).view(3, 3, 8, 8)
    assert torch.equal(weights.permute(3, 2, 0, 1), layer.weight_codes.long())


@pytest.mark.verify
def test_results_in_the_page(opened):
    """The page shows right, wrong and missing results, and texts from files as plain text."""
    page = opened()
    wrong = page.inner_text("tr.wrong")
    assert "3 of 80 sums and 0 predictions differ" in wrong
    assert "make accuracy" in wrong
    assert "0 of 2,304 psums differ" in page.inner_text("tr.right")
    missing = " ".join(page.locator("tr.missing").all_inner_texts())
    assert "not run yet: make network" in missing
    assert "make accuracy" not in missing
    assert "Measured on the RTL by make bench" in page.inner_text("#cycles")
    assert HOSTILE in page.text_content("#cycles table")


def test_utilisation_counts_multiplying_pes():
    """Two vectors go through 2 × 3 PEs one after the other: 1, 3, 4, 3, 1 PEs are at work."""
    assert busy_pes(np.array([4, 5]), 7, 2, 3).tolist() == [1, 3, 4, 3, 1, 0, 0]


def test_without_results_cycles_are_predicted(shipped):
    """Without results the closed form gives the cycles, for the same runs as make bench."""
    rows = report_page.predicted_cycles(shipped)
    assert len(rows) == 12
    (squeezed,) = [row for row in rows if row["layer"] == "features.27"]
    assert (squeezed["batch"], squeezed["cycles"], squeezed["limit_cycles"]) == (32, 3236, 3200)


DAMAGED = ("", '{"images": 1', "[" * 10**5, "\xff\n", "null", "[]", "{}", "[3]", "7")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_damaged_results(tmp_path, check):
    """A damaged results file is refused with one line that names it."""
    for text in DAMAGED:
        (tmp_path / f"{check.name}.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(InputError) as error:
            read_all(tmp_path)
        assert f"{check.name}.json: " in str(error.value)
        assert "\n" not in str(error.value)


def test_damaged_results_stop_the_command(refused, tmp_path):
    """The command is refused before it runs anything, and an older page stays as it was."""
    (tmp_path / "synth.json").write_text("{")
    page = tmp_path / "report.html"
    page.write_text("before")
    refused(
        report_page.main,
        "--results",
        tmp_path,
        "--output",
        page,
        words=["synth.json: no readable JSON", "make synth"],
    )
    assert page.read_text() == "before"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accuracy_rtl", 1.5),
        ("accuracy_rtl", "0.5"),
        ("sums_checked", -1),
        ("images", float("nan")),
        ("images", 10**400),
        ("images", True),
        ("images", None),
        ("sum_mismatches", "\n" * 99),
    ],
)
def test_foreign_values(tmp_path, key, value):
    (tmp_path / "accuracy.json").write_text(json.dumps(ACCURACY | {key: value}))
    with pytest.raises(InputError, match=rf"accuracy\.json: '{key}' is [^\n]+, expected [^\n]+$"):
        read_all(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no epoch"),
        ("a,b\n1,2\n", "line 2: epoch is None"),
        ("epoch\nx\n", "epoch is 'x'"),
        ("epoch,size\n1,nan\n", "size is 'nan'"),
        ("\xff", "no readable CSV"),
        ('epoch\n"' + "1" * 200_000, "no readable CSV"),
    ],
)
def test_damaged_log(tmp_path, text, words):
    path = tmp_path / "log.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=rf"log\.csv: [^\n]*{words}[^\n]*$"):
        read_log(path)


def test_the_log_lies_beside_the_checkpoint(refused, tmp_path):
    shutil.copy(report_page.SHIPPED, tmp_path / "model.safetensors")
    (tmp_path / "log.csv").write_text("epoch\nx\n")
    refused(
        report_page.main, "--model", tmp_path / "model.safetensors", words=["log.csv: line 2: "]
    )


@pytest.mark.parametrize(("image", "images"), [("2", "2"), ("-1", "2"), ("x", "2"), ("", "2")])
def test_image_outside_the_run(refused, image, images):
    refused(
        report_page.main,
        f"--image={image}",
        "--images",
        images,
        words=[f"IMAGE is '{image}'", "from 0 to 1"],
    )


def test_a_folder_is_no_page(refused, tmp_path):
    refused(report_page.main, "--output", tmp_path, words=[f"{tmp_path}: is a folder", "HTML file"])


def test_a_failing_run_leaves_no_page(command, monkeypatch, tmp_path):
    """A failing run also removes an older page, which would be of another run."""

    def fail(job, dut):
        raise BenchError("mismatch: image 0")

    monkeypatch.setattr(report_page, "run_layer", fail)
    written = tmp_path / "report.html"
    written.write_text("before")
    code, out, _ = command(report_page.main, "--results", tmp_path, "--output", written)
    assert code == 1
    assert "FAILED: mismatch: image 0" in out
    assert not written.exists()


def test_checks_know_their_commands(tmp_path):
    """Without results each row says that its check is missing, and names the command for it."""
    rows = table(tmp_path, read_all(tmp_path), {})
    assert {row.state for row in rows} == {"missing"}
    assert {"make layer", "make bench", "make accuracy", "make evaluate"} <= {
        r.command for r in rows
    }


def test_shipped_log():
    log = read_log(report_page.SHIPPED.with_name("log.csv"))
    assert [row["epoch"] for row in log] == list(range(1, 131))
    assert log[-1]["test_accuracy_1000"] == pytest.approx(0.953)


@pytest.fixture(scope="module")
def exported_file(made_once, tmp_path_factory) -> Path:
    """Returns the page of an exported layer of signed codes of 8 bits."""
    layers = tmp_path_factory.mktemp("exported") / "layers.safetensors"
    layer = random_layer("conv", bits=(8, 8), zero=128, channels=(6, 6), groups=3)
    save_layers(layers, {"conv": layer}, "none")
    return made_once("exported.html", "--model", layers, "--image", 1)


@pytest.mark.verify
def test_the_page_of_an_exported_layer(opened, exported_file):
    """The page lacks what only a whole network has; the array moves cycle by cycle."""
    page = opened(file=exported_file)
    header = page.inner_text("header")
    assert "conv of " in header
    assert "2 images of that file" in header
    assert "VGG16" not in header
    assert page.locator("#cycles").count() == page.locator("#training").count() == 0
    data = json.loads(page.text_content("#data"))
    layer = random_layer("conv", bits=(8, 8), zero=128, channels=(6, 6), groups=3)
    codes = layer.activation_codes - 128
    assert data["pictures"]["images"][1]["input"] == codes[1].tolist()
    edges = data["recording"]["edges"]
    entered = [act for act, valid in zip(edges["act"], edges["act_valid"], strict=True) if valid]
    assert min(map(min, entered)) < 0 <= 15 < max(map(max, entered))
    before = page.inner_text("#now-cycle")
    page.click("#step")
    assert page.inner_text("#now-cycle") != before
    assert page.locator("[data-chart] .main-svg").count() > 5


@pytest.mark.verify
def test_the_page_of_another_array(opened, foreign_file, shipped, images):
    """The page shows signals, psums and PEs of an array that is not ours, cycle by cycle."""
    page = opened(file=foreign_file)
    assert "load_first_array, 8 × 8" in page.inner_text("header")
    assert "0\nof 1,152, from PyTorch's" in page.inner_text("dl.cards")
    data = json.loads(page.text_content("#data"))["recording"]
    assert data["edges"] is None
    array = SimpleNamespace(depth=8, cols=8, shows="psum")
    run = tile_run(layer_data(capture(shipped, images.first(1).images)), array)

    left = [one for vectors in data["leaving"] for one in vectors]
    assert [one["values"] for one in left] == run.expected.reshape(-1, 8).tolist()
    bus, valid = (data["signals"][name]["values"] for name in ("psum_o", "psum_valid_o"))
    words = [int(text, 16) for text, high in zip(bus, valid, strict=True) if high == "1"]
    assert (unpack(words, 8, 16) == run.expected.reshape(-1, 8)).all()
    page.focus("#cycle")
    page.keyboard.press("n")
    first = at(page)
    assert first == data["starts"][0] == next(c for c, one in enumerate(data["leaving"]) if one)
    assert page.locator("#leaving tbody tr").all_inner_texts() == [
        "\t".join(["kernel position (0, 0), pixel (0, 0)", *texts(run.expected[0, 0, 0])])
    ]
    shown = page.locator("#signals .value").all_inner_texts()
    assert shown == [signal["values"][first] for signal in data["signals"].values()]
    for part in ("act", "weight", "psum"):
        assert cells(page, part) == texts(np.array(data["pe"][part][first], float)), part
    # The PEs hold the first tile, and the column at the east has made its first psum.
    assert data["pe"]["weight"][first] == run.tiles.weights[0].ravel().tolist()
    page.keyboard.press("n")
    assert at(page) == data["starts"][1] > first
    assert page.locator("[data-chart] .main-svg").count() > 5


@pytest.mark.verify
@pytest.mark.parametrize("name", ["dot_engine", "output_stationary", "convolution_core"])
def test_pages_of_arrays_that_name_no_pes(opened, made_once, name):
    """Sums are called sums; the tables have the outputs that leave and the values of the ports."""
    path = ROOT / "tb" / "examples" / f"{name}.py"
    page = opened(file=made_once(f"{name}.html", "--images", 1, "--dut", path))
    data = json.loads(page.text_content("#data"))["recording"]
    shows = "psum" if name == "dot_engine" else "sum"
    assert f"{shows}s that differ" in page.inner_text("dl.cards")
    assert page.locator("#grid").count() == 0
    assert "pe(row, col)" in page.inner_text("#array")
    cycle = next(cycle for cycle, vectors in enumerate(data["leaving"]) if vectors)
    page.fill("#cycle", str(cycle))
    lines = page.locator("#leaving tbody tr").all_inner_texts()
    assert len(lines) == len(data["leaving"][cycle])
    assert lines[0].split("\t")[1:] == texts(np.array(data["leaving"][cycle][0]["values"]))
    shown = page.locator("#signals .value").all_inner_texts()
    assert shown == [signal["values"][cycle] for signal in data["signals"].values()]


def test_other_names_of_pes_are_refused():
    """A name that the page does not know is an error of the adapter, told in one line."""
    array = SimpleNamespace(rows=1, cols=2, pe=lambda row, col: {"weights": None})
    with pytest.raises(InputError, match=r"pe\(\) names weights, expected for all PEs the same of"):
        pe_signals(array)
    array.pe = lambda row, col: {"act": None} if col else {}
    with pytest.raises(InputError, match=r"pe\(\) names act, expected"):
        pe_signals(array)


def test_unknown_bits_stay_unknown():
    assert [hexadecimal(text) for text in ("1", "X", "10100", "1Z0100", "0000X000")] == [
        "1", "x", "14", "x4", "0x"
    ]  # fmt: skip
    assert [number(text, True) for text in ("1000", "0111", "X000")] == [-8, 7, None]
