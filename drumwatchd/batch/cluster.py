"""Workers on other machines: a Dask cluster as an `Executor` for the same functions as at home.

What judges goes there once, when a worker starts: the model and what its owner corrected. Files are
read there, below folders that may be mounted elsewhere than here, or are sent. A worker that dies is
no loss: the scheduler gives what it was at to another.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drumwatchd import __version__
from drumwatchd.analysis.model_card import REPLAY_NAME, read_card
from drumwatchd.analysis.precedents import FILE_NAME as PRECEDENTS_NAME
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.batch.work import Digested, Trouble, analyse_files, digest_files
from drumwatchd.errors import DrumwatchdError, ModelError, UsageError
from drumwatchd.files import OPEN_FLAGS, source_from_stat

# A longer file isn't sent: it would be held in memory on both sides.
MOST_SENT_BYTES = 64 << 20
CONNECT_SECONDS = 10.0
HINT = 'install it with: pip install "drumwatchd[cluster]"'
PLUGIN_NAME = "drumwatchd"


@dataclass(frozen=True, slots=True)
class Roads:
    """How the workers come by the files.

    Attributes:
        mounted: folders here and where workers find them; others are the same there.
        send: files go there with the task; `mounted` doesn't count.
    """

    mounted: tuple[tuple[str, str], ...] = ()
    send: bool = False

    def there(self, path: str) -> str:
        """Where a worker finds a file: by the longest folder that it lies in."""
        for here, there in sorted(self.mounted, key=lambda pair: -len(pair[0])):
            if path == here or path.startswith(here.rstrip("/") + "/"):
                return there.rstrip("/") + path[len(here.rstrip("/")) :]
        return path


@dataclass(frozen=True, slots=True)
class Kit:
    """What judges, to be unpacked on a worker.

    Attributes:
        model: files of the model's folder, by name.
        store: likewise of the run's: what it heeds.
        version: of drumwatchd.
    """

    model: Mapping[str, bytes]
    store: Mapping[str, bytes]
    version: str = __version__

    @property
    def digest(self) -> str:
        """What tells it from others."""
        whole = hashlib.sha256(self.version.encode())
        for part in (self.model, self.store):
            for name, content in sorted(part.items()):
                whole.update(f"{name} {len(content)} ".encode() + content)
        return whole.hexdigest()


def kit_of(settings: AnalysisSettings) -> Kit:
    """Pack what judges by these settings, the model pinned.

    Raises:
        ModelError: it can't be read.
    """
    folder = read_card(settings.model_dir).folder
    said = Path(settings.store, PRECEDENTS_NAME) if settings.store else None
    try:
        # What adaptations learn from is of no use to who judges.
        files = [p for p in folder.iterdir() if p.is_file() and p.name != REPLAY_NAME]
        model = {path.name: path.read_bytes() for path in files}
        store = {said.name: said.read_bytes()} if said is not None and said.is_file() else {}
    except OSError as error:
        raise ModelError(f"can't be read ({error.strerror})", path=str(folder)) from error
    return Kit(model, store)


class Cluster(Executor):
    """An executor whose hands are the workers of a Dask scheduler.

    Attributes:
        count: of the workers' threads when it began.

    Raises:
        ModelError: what judges can't be packed, or the workers can't use it.
    """

    def __init__(self, client: Any, settings: AnalysisSettings, roads: Roads) -> None:
        self._client = client
        try:
            kit = kit_of(settings)
            self._digest, self._roads = kit.digest, roads
            self._equip(kit)
            self.count = sum(self._client.nthreads().values())
            self._there = self._client.get_executor(pure=False)
            self._here = ThreadPoolExecutor(2)
        except BaseException:
            self._client.close()
            raise

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand one task over."""
        if fn is digest_files and self._roads.send:
            return self._here.submit(fn, *args, **kwargs)
        if fn is digest_files:
            return self._hand_over(digest_there, *args, self._roads)
        if fn is analyse_files and self._roads.send:
            files, settings = args
            packed = [(file, name, _content_of(file)) for file, name in files]
            return self._hand_over(analyse_sent, packed, settings, self._digest)
        if fn is analyse_files:
            return self._hand_over(analyse_there, *args, self._roads, self._digest)
        return self._hand_over(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let go of the workers; they stay where they are."""
        self._here.shutdown(wait, cancel_futures=cancel_futures)
        self._client.close()

    def _equip(self, kit: Kit) -> None:
        try:
            self._client.register_plugin(_plugin(kit), name=f"{PLUGIN_NAME}-{kit.digest[:12]}")
        except DrumwatchdError:
            raise
        except Exception as error:
            raise ModelError(
                f"the workers can't use what judges ({type(error).__name__}: {error})",
                hint="install the same drumwatchd on all machines",
            ) from error

    def _hand_over(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        task: Future[Any] = self._there.submit(fn, *args, **kwargs)
        return task


def connected(address: str) -> Any:
    """A client of the scheduler at `address`, which has workers; to be closed.

    Raises:
        UsageError: dask.distributed isn't installed, or no worker can be reached.
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import parse_host_port
    except ImportError as error:
        raise UsageError("there is no dask.distributed", hint=HINT) from error
    try:
        parse_host_port(address.partition("://")[2] or address)
    except ValueError as error:
        raise UsageError(f"no address of a scheduler ({error})", path=address,
                         hint="name it as tcp://host:8786") from error  # fmt: skip
    try:
        client: Any = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UsageError(f"no scheduler answers ({error})", path=address) from error
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError) as error:
        client.close()
        hint = f"start some: dask worker {address} --nthreads 1 --nworkers auto"
        raise UsageError("the scheduler has no workers", path=address, hint=hint) from error
    return client


def _content_of(file: Digested) -> bytes | Trouble:
    """A file to be sent, if it still is what was digested."""
    source = file.source
    if source.size > MOST_SENT_BYTES:
        return Trouble("unreadable", f"more than {MOST_SENT_BYTES >> 20} MB aren't sent")
    try:
        with os.fdopen(os.open(source.path, OPEN_FLAGS), "rb") as stream:
            content = stream.read()
        if source.is_same(os.lstat(source.path)):
            return content
    except FileNotFoundError:
        return Trouble("vanished", "it vanished")
    except OSError as error:
        return Trouble("unreadable", error.strerror or str(error))
    return Trouble("changed", "it changed while it was read")


# -- there ----------------------------------------------------------------------------------------

_unpacked: dict[str, tuple[str, str]] = {}
# One after the other in a process, however many threads it has: what judges is shared in it.
_judging = threading.Lock()


def _plugin(kit: Kit) -> Any:
    """What unpacks the kit on each worker, also on one that comes later."""
    from distributed import WorkerPlugin

    class Unpack(WorkerPlugin):
        idempotent = True

        def setup(self, worker: Any) -> None:
            unpack(kit, worker.local_directory)

    return Unpack()


def unpack(kit: Kit, below: str) -> None:
    """Put what judges into a new folder of a worker.

    Raises:
        ModelError: it is of another version than what is installed there.
    """
    if kit.version != __version__:
        raise ModelError(
            f"drumwatchd {kit.version} asks, but {__version__} is installed on a worker",
            hint="install the same on all machines",
        )
    if kit.digest in _unpacked:
        return
    folder = tempfile.mkdtemp(prefix="drumwatchd-", dir=below)
    for name, files in (("model", kit.model), ("store", kit.store)):
        Path(folder, name).mkdir()
        for file, content in files.items():
            Path(folder, name, file).write_bytes(content)
    _unpacked[kit.digest] = os.path.join(folder, "model"), os.path.join(folder, "store")


def digest_there(paths: Sequence[str], algorithm: str, roads: Roads) -> list[Digested | Trouble]:
    """`digest_files` on a worker; what comes back speaks of the files as they are called here."""
    found = digest_files([roads.there(path) for path in paths], algorithm)
    return [
        item if isinstance(item, Trouble) else _called(item, path)
        for path, item in zip(paths, found, strict=True)
    ]


def _called(file: Digested, path: str) -> Digested:
    # Each machine has numbers of its own for devices.
    source = replace(file.source, path=path, inbox=os.path.dirname(path), device=0, inode=0)
    return Digested(source, file.digest)


def analyse_there(
    files: Sequence[tuple[Digested, str]], settings: AnalysisSettings, roads: Roads, digest: str
) -> list[str | Trouble]:
    """`analyse_files` on a worker, of files that are mounted there."""
    found = [(_as_it_is(file, roads.there(file.source.path)), name) for file, name in files]
    return _judged(found, settings, digest)


def analyse_sent(
    files: Sequence[tuple[Digested, str, bytes | Trouble]], settings: AnalysisSettings, digest: str
) -> list[str | Trouble]:
    """`analyse_files` on a worker, of files that came with the task."""
    with tempfile.TemporaryDirectory(prefix="drumwatchd-") as folder:
        found = []
        for number, (file, name, content) in enumerate(files):
            if isinstance(content, Trouble):
                continue
            path = os.path.join(folder, f"{number}{os.path.splitext(file.source.path)[1]}")
            Path(path).write_bytes(content)
            source = source_from_stat(path, folder, os.lstat(path))
            found.append((Digested(source, file.digest), name))
        answers = iter(_judged(found, settings, digest))
        return [
            content if isinstance(content, Trouble) else next(answers) for _, _, content in files
        ]


def _as_it_is(file: Digested, path: str) -> Digested:
    """The file by its name there, with the size and time of when it was digested."""
    source = replace(file.source, path=path, inbox=os.path.dirname(path))
    try:
        now = source_from_stat(path, source.inbox, os.lstat(path))
    except OSError:
        return Digested(source, file.digest)  # whoever opens it says why
    return Digested(replace(source, device=now.device, inode=now.inode), file.digest)


def _judged(
    files: Sequence[tuple[Digested, str]], settings: AnalysisSettings, digest: str
) -> list[str | Trouble]:
    if digest not in _unpacked:
        raise ModelError("a worker has lost what judges", hint="start it anew")
    model_dir, store = _unpacked[digest]
    settings = replace(settings, model_dir=model_dir, store=store if settings.store else "")
    with _judging:
        return analyse_files(files, settings)
