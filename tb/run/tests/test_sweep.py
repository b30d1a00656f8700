"""A sweep does not repeat kept shards, uses no stale results, and loses little by a kill."""

import argparse
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from distributed import LocalCluster
from distributed.security import Security

from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from tb.host.compile_host import prepare_host
from tb.host.simulate import PROGRAM
from tb.run import sweep
from tb.run.sweep import Shard, cluster, spread
from tb.sim.errors import BenchError
from tb.sim.kept_results import Store
from tb.sim.sources import RTL

INPUTS = np.arange(12)
FIXED = {"rtl": "one"}


def square(inputs: np.ndarray, log: str, most: int = 100, crash: str = "") -> dict:
    """Squares its inputs, and writes the first one into `log`; runs in a worker.

    If `most` shards are kept already, the function waits for the file `go` beside `log`. If the
    file `crash` is named and missing, the second shard kills its process.
    """
    with Path(log).open("a") as file:
        file.write(f"{inputs[0]}\n")
    if crash and inputs[0] == 4 and not Path(crash).exists():
        Path(crash).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    folder = Path(log).parent
    while len(kept_shards(folder)) >= most and not (folder / "go").exists():
        time.sleep(0.02)
    return {"squares": inputs**2}


def kept_shards(folder: Path) -> list[Path]:
    """Returns the files of results in the store of a sweep in `folder`."""
    return list((folder / "store").glob("[!.]*.npz"))


def fail(inputs: np.ndarray, log: str) -> dict:
    """Raises BenchError for the third shard; runs in a worker."""
    if inputs[0] == 8:
        raise BenchError("mismatch somewhere")
    return square(inputs, log)


@pytest.fixture(scope="module")
def client():
    with cluster(None, 2) as client:
        yield client


@pytest.fixture
def run(client, tmp_path):
    """Returns a function that squares 0 to 11 in shards of 4.

    The function returns the first number of each shard that ran, and of each that was kept.
    """

    def run(work=square, inputs=INPUTS, fixed=FIXED, fresh=False, **arguments):
        log = tmp_path / "log"
        log.write_text("")
        arguments = {"log": str(log)} | arguments
        squares, kept = np.zeros_like(inputs), []
        parts = spread(client, work, inputs, 4, arguments, fixed, fresh, Store("store", tmp_path))
        for start, result, was_kept in parts:
            squares[start : start + 4] = result["squares"]
            kept += [start] * was_kept
        assert np.array_equal(squares, inputs**2)
        return sorted(map(int, log.read_text().split())), sorted(kept)

    return run


@pytest.mark.verify
def test_what_is_there_is_not_run_again(run):
    assert run() == ([0, 4, 8], [])
    assert run() == ([], [0, 4, 8])
    assert run(fresh=True) == ([0, 4, 8], [])


@pytest.mark.verify
def test_nothing_stale_counts(run):
    """Shards run again for other RTL, other inputs and another kind of work."""
    run()
    assert run(fixed={"rtl": "two"}) == ([0, 4, 8], [])
    changed = INPUTS.copy()
    changed[5] = 7
    assert run(inputs=changed) == ([4], [0, 8])
    assert run(work=fail, inputs=INPUTS[:8]) == ([0, 4], [])


@pytest.mark.verify
@pytest.mark.parametrize("damage", [b"", b"not a zip file", "half", "other"])
def test_a_damaged_result_is_run_again(run, damage, tmp_path):
    run()
    first, second, *_ = sorted((tmp_path / "store").iterdir())
    whole = first.read_bytes()
    contents = {"half": whole[: len(whole) // 2], "other": second.read_bytes()}
    first.write_bytes(contents.get(damage, damage))
    ran, kept = run()
    assert len(ran) == 1
    assert len(kept) == 2
    assert run() == ([], [0, 4, 8])


def test_a_wrong_shard_says_which(client, tmp_path):
    """The error names the images of the wrong shard; the other shards are kept."""
    arguments = {"log": str(tmp_path / "log")}
    with pytest.raises(BenchError, match="images 8 to 11: mismatch somewhere"):
        list(spread(client, fail, INPUTS, 4, arguments, FIXED, store=Store("store", tmp_path)))


def test_a_killed_worker_costs_its_shard(tmp_path, run):
    """If a worker dies in the middle of a shard, that shard runs again, and no other."""
    ran, kept = run(crash=str(tmp_path / "crashed"))
    assert ran == [0, 4, 4, 8]
    assert kept == []


def test_identities(tmp_path):
    """The key of a result holds checkpoint, code, RTL and simulator."""
    checkpoint = tmp_path / "model"
    checkpoint.write_text("a")
    software = sweep.software_identity(str(checkpoint), "code")
    assert sweep.software_identity(str(checkpoint), "other code") != software
    checkpoint.write_text("b")
    assert sweep.software_identity(str(checkpoint), "code") != software
    rtl = tmp_path / "rtl"
    rtl.mkdir()
    (rtl / "core.v").write_text("module core; endmodule")
    icarus = sweep.hardware_identity("icarus", rtl)
    assert sweep.hardware_identity("verilator", rtl) != icarus
    (rtl / "core.v").write_text("module  core; endmodule")
    assert sweep.hardware_identity("icarus", rtl) != icarus


# The program of a sweep that the tests below kill, interrupt, and start again
SCRIPT = """
import sys
import numpy as np
from pymodel.support.command import run_command
from tb.sim.kept_results import Store
from tb.run.sweep import cluster, spread
from tb.run.tests.test_sweep import FIXED, square

def main():
    scheduler, folder, most = sys.argv[1:]
    with cluster(scheduler if scheduler != "local" else None, 2) as client:
        from pathlib import Path
        arguments = {"log": folder + "/log", "most": int(most)}
        inputs, store = np.arange(24), Store("store", Path(folder))
        total = 0
        for _, result, kept in spread(client, square, inputs, 2, arguments, FIXED, store=store):
            total += int(result["squares"].sum())
        print("total", total)

if __name__ == "__main__":
    run_command(main)
"""
TOTAL = f"total {(np.arange(24) ** 2).sum()}"


@pytest.fixture
def start(tmp_path):
    """Returns a function that starts a sweep whose shards wait once `most` are kept.

    The sweep runs in `tmp_path`, and is killed after the test.
    """
    started = []

    def begin(scheduler: str, most: int = 100) -> subprocess.Popen:
        script = tmp_path / "script.py"
        script.write_text(SCRIPT)
        process = subprocess.Popen(
            [sys.executable, str(script), scheduler, str(tmp_path), str(most)],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
            # A process that a shell started in the background ignores Ctrl-C; this one must not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield begin
    (tmp_path / "go").touch()
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_for_results(folder: Path, count: int, process: subprocess.Popen) -> None:
    """Waits until `count` shards of the sweep `process` are kept."""
    while len(kept_shards(folder)) < count:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def shards_run(folder: Path) -> list[int]:
    """Returns the first inputs of all shards that ran, in order of size."""
    return sorted(map(int, (folder / "log").read_text().split()))


@pytest.mark.verify
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGKILL, -9, marks=pytest.mark.verify)],
)
def test_a_sweep_that_was_stopped_goes_on(number, code, start, tmp_path):
    """After Ctrl-C, or a kill of scheduler and workers, finished shards do not run again."""
    stopped = start("local", most=2)
    wait_for_results(tmp_path, 2, stopped)
    os.killpg(stopped.pid, number)  # as a terminal does
    _, errors = stopped.communicate()
    assert stopped.returncode == code, errors
    if code == 130:
        assert errors == "interrupted\n"
    finished, before = len(kept_shards(tmp_path)), len(shards_run(tmp_path))
    assert 2 <= finished < 12

    again = start("local")
    out, errors = again.communicate()
    assert out.strip() == TOTAL, errors
    assert len(shards_run(tmp_path)) == before + 12 - finished


def dask(*arguments: str) -> subprocess.Popen:
    """Starts a scheduler or a worker, as a user does by hand."""
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def scheduler(tmp_path):
    """Returns a function that starts a scheduler with one worker.

    The function returns the address and both processes, which are killed after the test.
    """
    started = []

    def begin():
        file = tmp_path / "scheduler.json"
        file.unlink(missing_ok=True)
        host = dask(
            "dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--scheduler-file",
            str(file),
        )
        worker = dask(
            "dask_worker",
            "--scheduler-file",
            str(file),
            "--nthreads",
            "1",
            "--no-dashboard",
            "--no-nanny",
            "--death-timeout",
            "600",
        )
        started.extend((host, worker))
        while not (text := file.read_text() if file.exists() else "").rstrip().endswith("}"):
            assert host.poll() is None, "the scheduler ended before it wrote its file"
            time.sleep(0.05)
        return json.loads(text)["address"], host, worker

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.verify
def test_the_scheduler_is_killed_and_started_again(scheduler, start, tmp_path):
    """A lost scheduler gives one line and exit code 2; the same command later does the rest."""
    address, host, worker = scheduler()
    stopped = start(address, most=2)
    wait_for_results(tmp_path, 2, stopped)
    host.kill()
    _, errors = stopped.communicate()
    assert stopped.returncode == 2, errors
    assert errors.startswith("error: the scheduler is lost")
    assert errors.count("\n") == 1
    worker.kill()
    finished, before = len(kept_shards(tmp_path)), len(shards_run(tmp_path))

    address, *_ = scheduler()
    again = start(address)
    out, errors = again.communicate()
    assert out.splitlines()[-1] == TOTAL, errors
    assert len(shards_run(tmp_path)) == before + 12 - finished


SIMULATION = """
import numpy as np
from tb.host.simulate import simulate
settings = {"out_channels": 8, "kernel": 3, "stride": 1, "padding": 1, "mode": 0, "pools": 0}
codes, weights = np.zeros((4000, 8, 4, 4), np.int8), np.zeros((8, 8, 3, 3), np.int8)
simulate("icarus", [settings], codes, [weights], [None])
"""


@pytest.mark.verify
@pytest.mark.parametrize(
    "sign",
    [pytest.param("program.npz", id="at once"), pytest.param("jobs.bin", id="in the middle")],
)
def test_a_killed_workers_simulator_dies_with_it(sign):
    """A simulator does not go on for minutes after its worker is killed.

    `sign` is the file in the simulator's folder for which the kill waits: the worker writes
    program.npz before it starts the simulator, and the bench in the simulator writes jobs.bin.
    """
    prepare_host("icarus", PROGRAM)
    worker = subprocess.Popen(
        [sys.executable, "-c", SIMULATION], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    simulator = None
    while simulator is None:
        assert worker.poll() is None, "the worker ended before it was killed"
        for child in psutil.Process(worker.pid).children():
            with suppress(psutil.Error, OSError):  # it may be a vvp that prints its version
                if child.name() == "vvp" and (Path(child.cwd()) / sign).exists():
                    simulator = child
        time.sleep(0.01)
    worker.kill()
    worker.wait()
    simulator.wait(timeout=300)


@pytest.mark.verify
def test_a_worker_with_other_code_refuses(run):
    """A worker whose code is not the one that the key names refuses the work."""
    with pytest.raises(InputError, match="has another code than the command had"):
        run(fixed={"code": "older"})


def test_no_shard_is_kept_of_rtl_that_changed_meanwhile(tmp_path):
    """The RTL may be the same in the end, and what a worker compiled may have been another."""
    rtl, store = shutil.copytree(RTL, tmp_path / "rtl"), Store("sweep", tmp_path / "kept")
    identity = sweep.hardware_identity("icarus", rtl)
    shard = Shard(identity, {"simulator": "icarus", "rtl": str(rtl)})

    def work(simulator, rtl):
        (source := Path(rtl) / "pe.v").write_text(source.read_text())
        return {"n": np.arange(3)}

    with pytest.raises(InputError, match=r"pe\.v: changed while the command ran"):
        sweep._run(work, shard, store, False)
    assert store.load_arrays(identity) is None
    sweep._run(lambda **_: {"n": np.arange(3)}, shard, store, False)
    assert store.load_arrays(identity) is not None


@pytest.mark.verify
def test_a_scheduler_without_the_module_of_the_work(client, tmp_path, monkeypatch):
    """Dask's scheduler reads what a client submits, and so needs the modules of this folder."""

    def absent(*_, **__):
        raise ModuleNotFoundError("No module named 'tb'", name="tb")

    monkeypatch.setattr(client, "submit", absent)
    shard = Shard({"start": 0, "stop": 1}, {})
    with pytest.raises(InputError, match="finds no module 'tb'; start both of them in this"):
        list(sweep.run(client, absent, [shard], store=Store("sweep", tmp_path)))


def test_a_full_disk_is_not_a_lost_scheduler(client, tmp_path):
    """The error names the path that a worker cannot write."""
    (tmp_path / "store").write_text("a file where the folder should be")
    arguments = {"log": str(tmp_path / "log")}
    with pytest.raises(InputError, match=r"a worker on .* failed: .*store"):
        list(spread(client, square, INPUTS, 4, arguments, FIXED, store=Store("store", tmp_path)))


@pytest.mark.verify
def test_no_scheduler_is_one_line():
    with (
        pytest.raises(InputError, match=r"--scheduler tcp://127.0.0.1:1: no scheduler there"),
        cluster("tcp://127.0.0.1:1", 1),
    ):
        pass


def doors(process: psutil.Process) -> set[tuple[str, int]]:
    """Returns the addresses at which a process and its children take connections."""
    found = set()
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):  # the process has just ended
            found |= {
                (c.laddr.ip, c.laddr.port)
                for c in one.net_connections(kind="inet")
                if c.status == psutil.CONN_LISTEN
            }
    return found


def is_refused(address: tuple[str, int], security: Security | None) -> bool:
    """Returns whether a TLS connection with the certificate of `security`, or none, is closed."""
    context = ssl.create_default_context()
    if security:
        context = security.get_connection_args("client")["ssl_context"]
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(address) as plain, context.wrap_socket(plain) as channel:
            channel.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return channel.recv(1) == b""
    except (ssl.SSLError, ConnectionError):
        return True


def page(address: tuple[str, int], path: str) -> bytes:
    """Returns the first line that comes for a page of HTTP; empty if the door is no HTTP server."""
    try:
        with socket.create_connection(address) as channel:
            channel.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            return channel.makefile("rb").readline()
    except ConnectionError:
        return b""


def is_closed(address: tuple[str, int]) -> bool:
    """Returns whether a door serves nothing to somebody without the run's certificate."""
    pages = [page(address, path) for path in ("/health", "/status", "/info/main/workers.html")]
    if any(line.startswith(b"HTTP/") for line in pages):
        return all(b" 404 " in line for line in pages)
    return is_refused(address, None) and is_refused(address, Security.temporary())


def test_the_local_processes_let_no_other_user_in():
    """All doors are on loopback, and open only with the certificate made for this run."""
    this = psutil.Process()
    before = doors(this)
    with cluster(None, 1) as client:
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        opened = doors(this) - before
        assert len(opened) >= 2  # of the scheduler and of a worker, at least
        assert {ip for ip, _ in opened} == {"127.0.0.1"}
        assert all(is_closed(address) for address in opened)
        assert client.submit(sum, (1, 2)).result() == 3


def test_an_open_door_is_found():
    """The check above finds the doors of a cluster as Dask starts it by default."""
    this = psutil.Process()
    before = doors(this)
    with LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50):
        opened = doors(this) - before
        assert any(ip != "127.0.0.1" for ip, _ in opened)
        assert not all(is_closed(("127.0.0.1", port)) for _, port in opened)


def test_a_door_that_asks_for_no_certificate_is_found():
    context = Security.temporary().get_listen_args("scheduler")["ssl_context"]
    context.verify_mode = ssl.CERT_NONE
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError), context.wrap_socket(server.accept()[0], True) as channel:
                channel.recv(1)
                channel.sendall(b"x")

        thread = threading.Thread(target=answer)
        thread.start()
        assert not is_refused(server.getsockname(), None)
        thread.join()


def pem_files(security: Security, folder: Path) -> dict[str, str]:
    """Writes the certificates of `security` to files, and returns the options that name them."""
    texts = {
        "--tls-ca": security.tls_ca_file,
        "--tls-cert": security.tls_client_cert,
        "--tls-key": security.tls_client_key,
    }
    for option, text in texts.items():
        (folder / f"{option[2:]}.pem").write_text(text)
    return {option: str(folder / f"{option[2:]}.pem") for option in texts}


def parsed(*options: str) -> argparse.Namespace:
    """Returns the options of a sweep."""
    parser = argparse.ArgumentParser()
    sweep.add_arguments(parser)
    return parser.parse_args(options)


@pytest.mark.verify
def test_certificates_are_passed_on(tmp_path):
    """A scheduler tls://… takes a client with the right certificate, and no other client."""
    authority = Security.temporary()
    options = pem_files(authority, tmp_path)
    (tmp_path / "other").mkdir()
    other = pem_files(Security.temporary(), tmp_path / "other")
    with LocalCluster(n_workers=1, security=authority, dashboard_address=None) as local:
        address = local.scheduler_address

        def sum_there(files: dict[str, str]) -> int:
            arguments = parsed(*(word for pair in files.items() for word in pair))
            with cluster(address, 1, sweep.tls_files(arguments)) as client:
                return client.submit(sum, (1, 2)).result()

        assert sum_there(options) == 3
        with pytest.raises(InputError, match=f"--scheduler {address}: no scheduler there"):
            sum_there(other)


def test_a_scheduler_without_certificates_is_refused(tmp_path):
    with (
        pytest.raises(InputError, match=r"tls://127.0.0.1:1: no certificate, expected --tls-ca"),
        cluster("tls://127.0.0.1:1", 1, sweep.tls_files(parsed())),
    ):
        pass
    with pytest.raises(InputError, match=r"--tls-ca .*no.pem: not found, expected a file in PEM"):
        sweep.tls_files(parsed("--tls-ca", str(tmp_path / "no.pem")))


@pytest.mark.verify
def test_an_open_scheduler_is_called_so(capsys):
    """A command says what an address tcp://… trusts."""
    with LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50) as local:
        with cluster(local.scheduler_address, 1):
            pass
        assert f"{local.scheduler_address} is neither encrypted nor" in capsys.readouterr().out
