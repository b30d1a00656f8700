"""Splits large simulations into shards, spreads them with Dask, and keeps each shard's result.

A shard's result is kept under the hash of everything that it depends on: checkpoint, images,
layers, RTL, bench, simulator and its version. So a shard whose result is kept need not run again,
whatever machine the result came from, and no stale result is ever used.
"""

import argparse
import importlib.metadata
import logging
import os
import platform
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil
from distributed import Client, KilledWorker, LocalCluster, as_completed
from distributed.comm.core import CommClosedError
from distributed.security import Security

from pymodel.checkpoint import SHIPPED
from pymodel.support.command import tell
from pymodel.support.errors import InputError
from pymodel.support.files import ROOT
from tb.host.simulate import PROGRAM
from tb.sim.errors import BenchError
from tb.sim.files_read import files_read
from tb.sim.kept_results import Store, code, digest
from tb.sim.simulators import check_simulator, simulator_identity
from tb.sim.sources import RTL, Untouched, check_sources, rtl_digest

STORE = Store("sweep")
ONLY_THIS_RUN = "only this run"  # key in the identity of a shard that no later run may use
# Options with the files that a scheduler tls://… asks for.
TLS_FILES = {
    "tls-ca": "certificate of the authority that signed the scheduler's",
    "tls-cert": "this client's certificate",
    "tls-key": "the key of this client's certificate",
}
LEAST_GIVEN = 16  # least number of shards that wait for workers, also for workers that come later
# Intervals at which Dask's processes monitor themselves. With Dask's defaults, which are meant for
# many small tasks, this takes 13 % of a core while two workers simulate; with these, 1.5 %.
QUIET = {
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.worker.memory.monitor-interval": "2s",
    "distributed.worker.profile.enabled": False,
}
# Dask's processes open a port for HTTP in any case; with these settings they serve no page there.
NO_PAGES = {f"distributed.{role}.http.routes": [] for role in ("scheduler", "worker", "nanny")}


@dataclass(frozen=True)
class Shard:
    """A part of a sweep: `work(**arguments)` gives arrays that depend on `identity` alone."""

    identity: dict[str, Any]  # JSON
    arguments: dict[str, Any] = field(repr=False)


def software_identity(checkpoint: str, code: str) -> dict[str, str]:
    """Returns everything but the inputs that a result in software depends on.

    `code` is `tb.sim.kept_results.code` of the module that does the work and of PROGRAM, found when
    the command started.
    """
    return {
        "checkpoint": digest(Path(checkpoint).read_bytes()),
        "code": code,
        "libraries": libraries(),
    }


def libraries() -> str:
    """Returns the versions of the libraries on which a result in software depends."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy"))


def hardware_identity(simulator: str, rtl: Path) -> dict[str, str]:
    """Returns what a simulated result depends on besides software: RTL and simulator."""
    return {"rtl": rtl_digest(rtl, simulator), "simulator": simulator_identity(simulator)}


def kept_for_nothing(simulator: str, rtl: Path) -> dict[str, str]:
    """Returns an identity that no later run has if the RTL may read unknown files, otherwise {}.

    A result is then kept only until the command has taken it.
    """
    if unknown := files_read(simulator, check_sources(rtl)).unknown:
        words = f"{rtl} may read files whose names are not known ({', '.join(unknown)})"
        tell(f"{words}, so no result is kept for a later run.")
        return {ONLY_THIS_RUN: secrets.token_hex(8)}
    return {}


def check_identity(shard: Shard, module: str) -> None:
    """Raises InputError if the worker has other files than the command had; runs in a worker.

    `module` is the name of the module that does the work.
    """
    arguments, found = shard.arguments, {}
    if "code" in shard.identity:
        found["code"] = code(module, PROGRAM)
    if "checkpoint" in arguments:
        found["checkpoint"] = digest(Path(arguments["checkpoint"]).read_bytes())
    if "rtl" in arguments:
        found |= hardware_identity(arguments["simulator"], Path(arguments["rtl"]))
    for name, value in found.items():
        if shard.identity[name] != value:
            raise InputError(
                f"a worker on {platform.node()} has another {name} than the command had when it "
                "started; change nothing while a sweep runs, and restart workers after a change"
            )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that all sweeps share."""
    parser.add_argument("--sim", default="verilator", help="verilator or icarus")
    parser.add_argument("--model", default=str(SHIPPED), help="checkpoint")
    parser.add_argument("--data", help="folder of cifar-10-batches-py; default $CIFAR10_ROOT")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="local processes")
    parser.add_argument(
        "--scheduler", help="a Dask scheduler, tls://… or tcp://…, instead of local processes"
    )
    for name, text in TLS_FILES.items():
        parser.add_argument(f"--{name}", help=f"{text}; default: Dask's own setting")
    parser.add_argument("--fresh", action="store_true", help="run again, even if a result was kept")
    parser.add_argument("--rtl", type=Path, default=RTL, help="folder of the Verilog sources")


def seconds_or_kept(seconds: float | None, kept: int) -> str:
    """Returns, for a table, a sweep's seconds, or the number of shards kept from before."""
    return f"{kept} shards kept from before" if seconds is None else f"{seconds:.1f}"


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raises InputError for the first option that is wrong."""
    check_simulator(arguments.sim, tested=True)
    check_sources(arguments.rtl)
    check_workers(arguments.workers)


def check_workers(workers: int) -> None:
    """Raises InputError unless the number of workers is 1 or more."""
    if workers < 1:
        raise InputError(f"--workers is {workers}, expected 1 or more")


def tls_files(arguments: argparse.Namespace) -> Security:
    """Returns the certificates of the options, or those of Dask's configuration.

    Raises InputError if an option names a file that is not there.
    """
    files = {name: getattr(arguments, name.replace("-", "_")) for name in TLS_FILES}
    for name, file in files.items():
        if file is not None and not Path(file).is_file():
            raise InputError(f"--{name} {file}: not found, expected a file in PEM format")
    given = zip(("tls_ca_file", "tls_client_cert", "tls_client_key"), files.values(), strict=True)
    return Security(**{name: file for name, file in given if file is not None})


@contextmanager
def cluster(
    scheduler: str | None, workers: int, security: Security | None = None
) -> Iterator[Client]:
    """Yields a Dask client of `scheduler` ("tls://…", "tcp://…"), or of `workers` local processes.

    The local processes take connections only with a certificate that is made for this run, and they
    serve no dashboard. `security` holds the certificates for a scheduler. Raises InputError if no
    scheduler answers at the address, or if it does not accept the certificates.
    """
    given = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), given)))  # for the workers
    for name in ("distributed", "distributed.client"):  # errors come as exceptions
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler:
        with _connected(scheduler, security or Security()) as client:
            yield client
        return
    with dask.config.set(QUIET | NO_PAGES), ExitStack() as stack:
        # The local processes ignore Ctrl-C: this process ends them.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            local = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    security=Security.temporary(),
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    silence_logs=50,
                )
            )
        finally:
            signal.signal(signal.SIGINT, before)
        yield stack.enter_context(Client(local, set_as_default=False))


def _connected(scheduler: str, security: Security) -> Client:
    """Returns a client of the scheduler at an address; raises InputError if there is none."""
    if scheduler.startswith("tls://"):
        wanted = ("tls_ca_file", "tls_client_cert", "tls_client_key")
        if not all(getattr(security, name) for name in wanted):
            options = " ".join(f"--{name} FILE" for name in TLS_FILES)
            raise InputError(f"--scheduler {scheduler}: no certificate, expected {options}")
    else:
        tell(
            f"{scheduler} is neither encrypted nor authenticated: whoever reaches its port can run "
            "programs as the user of its workers."
        )
    try:
        return Client(scheduler, timeout=10, set_as_default=False, security=security)
    except (OSError, ValueError, TimeoutError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"--scheduler {scheduler}: no scheduler there ({reason})") from None


class PeakMemory:
    """Samples, while open, the memory of this process and its children; `mib` is the peak in MiB.

    Shared pages count once (PSS). Workers of another machine's scheduler are not seen.
    """

    def __init__(self) -> None:
        self.mib = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _sample(self) -> None:
        """Updates the peak once a second until the end."""
        while True:
            total = 0
            for process in (this := psutil.Process(), *this.children(recursive=True)):
                with suppress(psutil.Error):  # the process has just ended
                    total += process.memory_full_info().pss
            self.mib = max(self.mib, total / 2**20)
            if self._end.wait(1.0):
                return


def spread(
    client: Client,
    work: Callable[..., dict[str, np.ndarray]],
    inputs: np.ndarray,
    size: int,
    arguments: dict[str, Any],
    fixed: dict[str, Any],
    fresh: bool = False,
    store: Store = STORE,
) -> Iterator[tuple[int, dict[str, np.ndarray], bool]]:
    """Runs `work(part, **arguments)` for all parts of `inputs`, `size` each; yields the results.

    Each part comes as its first index in `inputs`, its result, and whether the result was kept from
    before. The result is kept under `fixed`, the part, its first index, and the name of `work`.
    """

    def shards() -> Iterator[Shard]:
        for start in range(0, len(inputs), size):
            part = inputs[start : start + size]
            place = {"work": work.__name__, "start": start, "stop": start + len(part)}
            yield Shard(
                fixed | place | {"inputs": digest(part.tobytes())}, {"inputs": part, **arguments}
            )

    for shard, result, kept in run(client, work, shards(), fresh, store):
        yield shard.identity["start"], result, kept


def run(
    client: Client,
    work: Callable[..., dict[str, np.ndarray]],
    shards: Iterable[Shard],
    fresh: bool = False,
    store: Store = STORE,
) -> Iterator[tuple[Shard, dict[str, np.ndarray], bool]]:
    """Runs shards; yields each one as it ends, its result, and whether that was kept before.

    `shards` may be a generator, from which shards are taken as workers become free. With `fresh`
    all shards run. Raises what `work` raises, and InputError if the scheduler is lost, if a module
    is not found there, or if a shard ends its workers.
    """
    pending = as_completed(loop=client.loop)
    shards, known = iter(shards), {}

    def fill() -> Iterator[tuple[Shard, dict, bool]]:
        """Gives the present workers enough to do; yields the shards whose results are kept."""
        enough = max(2 * sum(client.nthreads().values()), LEAST_GIVEN)
        while len(known) < enough and (shard := next(shards, None)) is not None:
            if not fresh and (kept := store.load_arrays(shard.identity)) is not None:
                yield shard, kept, True
                continue
            key = f"shard-{store.path(shard.identity).name}"
            future = client.submit(_run, work, shard, store, fresh, key=key, pure=False)
            known[future.key] = shard
            pending.add(future)

    try:
        yield from fill()
        for future in pending:
            shard = known.pop(future.key)
            try:
                future.result()
            except BenchError as error:
                start, stop = shard.identity["start"], shard.identity["stop"]
                raise BenchError(f"images {start} to {stop - 1}: {error}") from None
            future.release()  # or Dask would run it again if its worker died
            result = _wait_for(shard, store)
            if ONLY_THIS_RUN in shard.identity:
                store.forget_arrays(shard.identity)
            yield shard, result, False
            yield from fill()
    except ModuleNotFoundError as error:
        raise InputError(
            f"the scheduler or a worker finds no module '{error.name}'; start both of them in this "
            "folder, with PYTHONPATH=. and with the folder of the network"
        ) from None
    except KilledWorker as error:
        raise InputError(
            f"{error.task}: {error.allowed_failures + 1} workers died while they ran this shard, "
            "expected workers that live until it ends"
        ) from None
    except (CancelledError, CommClosedError, OSError):
        raise InputError(
            "the scheduler is lost; finished shards are kept, and the same command runs the others"
        ) from None


def _wait_for(shard: Shard, store: Store) -> dict[str, np.ndarray]:
    """Returns a result that a worker has just kept, once the file system shows it.

    A network's file system may need a moment. Raises InputError if the result does not appear.
    """
    for _ in range(60):
        if (result := store.load_arrays(shard.identity)) is not None:
            return result
        time.sleep(0.5)
    raise InputError(
        f"{store.folder}: a worker's result does not appear, expected a folder shared with the "
        "workers"
    )


def _run(
    work: Callable[..., dict[str, np.ndarray]], shard: Shard, store: Store, fresh: bool
) -> None:
    """Does the work of a shard, and keeps the result; runs in a worker."""
    if not fresh and store.load_arrays(shard.identity) is not None:
        return
    rtl = shard.arguments.get("rtl")
    try:
        untouched = Untouched.of(Path(rtl)) if rtl else Untouched([])
        check_identity(shard, work.__module__)
        arrays = work(**shard.arguments)
        check_identity(shard, work.__module__)
        untouched.check()
    except OSError as error:
        raise InputError(f"a worker on {platform.node()} failed: {error}") from None
    try:
        store.save_arrays(shard.identity, arrays)
    except InputError as error:
        raise InputError(f"a worker on {platform.node()} failed: {error}") from None
