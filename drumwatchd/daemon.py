"""Start everything, watch over it, stop everything."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drumwatchd import notify
from drumwatchd.analysis.model_card import ModelCard, configured_model, read_card
from drumwatchd.analysis.model_store import choose, store_folder
from drumwatchd.analysis.workers import Workers, worker_count
from drumwatchd.archive.archive import Archive, ArchiveSettings, check_usable
from drumwatchd.archive.manifest import Manifests
from drumwatchd.archive.marker import check_marker, create_marker
from drumwatchd.archive.placement import archive_error
from drumwatchd.bulletin import Bulletin
from drumwatchd.config import ClassifyConfig, Config
from drumwatchd.config.model import DEFAULT_IGNORE
from drumwatchd.desk import analysis_settings, archive_settings
from drumwatchd.errors import ArchiveError, DrumwatchdError
from drumwatchd.files import Source, make_folders
from drumwatchd.hooks import Hook, Hooks
from drumwatchd.inbox.intake import Inbox, InboxSettings, check_readable
from drumwatchd.inbox.rescan import ignore_matcher
from drumwatchd.index import lock
from drumwatchd.index.store import Index, open_index
from drumwatchd.learning import LOOK_SECONDS, ModelWatch, PrecedentsFile, Retraining
from drumwatchd.live import LiveFile
from drumwatchd.log import configure as configure_log
from drumwatchd.log import get_logger
from drumwatchd.pipeline import Pipeline
from drumwatchd.rounds import Rounds, RoundSettings
from drumwatchd.wake import Wake
from drumwatchd.workloop import IDLE_SECONDS, WorkLoop

if TYPE_CHECKING:
    from drumwatchd.metrics import Metrics

# Together less than the five seconds in which it promises to be gone.
STOP_SECONDS, HOOKS_STOP_SECONDS = 2.5, 2.0
PROGRESS_SECONDS = 0.25
M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3  # of malloc.h
LARGE_BLOCK_BYTES = 128 << 10

log = get_logger()


@dataclass
class Signals:
    """What signal handlers may do: set a flag, and wake the loop."""

    wake: Wake = field(default_factory=Wake)
    stop: bool = False
    reload: bool = False
    _had_terminal: bool = False

    def install(self) -> None:
        """SIGTERM and SIGINT stop, SIGHUP reloads; it stops where it says that the terminal went."""
        self._had_terminal = _has_terminal()
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)

    def _on_stop(self, number: int, frame: object) -> None:
        self.stop = True
        self.wake.set()

    def _on_reload(self, number: int, frame: object) -> None:
        if self._had_terminal and not _has_terminal():
            self.stop = True
        self.reload = True
        self.wake.set()


def _has_terminal() -> bool:
    """Whether somebody started us at a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def run(config: Config, reload: Callable[[], Config], signals: Signals) -> None:
    """Work until told to stop; on SIGHUP go on with the configuration as it is then.

    Raises:
        DrumwatchdError: it can't start: inbox, archive, index or model can't be used.
    """
    kept: Config | None = None
    _keep_memory_small()
    while not signals.stop:
        configure_log(config.log.level, config.log.format)
        with contextlib.ExitStack() as stack:
            try:
                bulletin = Bulletin()
                metrics = stack.enter_context(listeners(config, bulletin))
                loop = stack.enter_context(started(config, signals, bulletin))
            except DrumwatchdError as error:
                if kept is None:
                    raise
                _say_kept(error)
                config, kept = kept, None
                continue
            notify.ready("watching")
            kept, config = config, _work(config, loop, reload, signals, metrics)
            if signals.stop:
                notify.stopping("stopping")


@contextlib.contextmanager
def listeners(config: Config, bulletin: Bulletin) -> Iterator[Metrics | None]:
    """Those that hear of what happens: hooks, and the figures for Prometheus where they are wanted.

    Raises:
        ConfigError: the port can't be listened on.
    """
    hooks = Hooks(
        [Hook(frozenset(hook.events), hook.command, hook.timeout_seconds) for hook in config.hooks]
    )
    metrics = None
    bulletin.listeners.append(hooks.take)
    try:
        if config.metrics.textfile or config.metrics.listen:
            from drumwatchd.metrics import Metrics  # some megabytes, for those who want them

            metrics = Metrics(
                textfile=config.metrics.textfile,
                listen=config.metrics.listen,
                index_path=str(config.index.path),
                root=str(config.archive.root),
            )
            bulletin.listeners.append(metrics.take)
        yield metrics
    finally:
        hooks.stop(HOOKS_STOP_SECONDS)
        if metrics is not None:
            metrics.stop()


def _keep_memory_small() -> None:
    """Have glibc give back what is freed: one heap, not one for each thread, and none of it for large blocks.

    Threads that take turns at the interpreter have little to gain by heaps of their own.

    References:
        mallopt(3): M_ARENA_MAX; M_MMAP_THRESHOLD, which grows by itself unless it is set.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def _work(
    config: Config,
    loop: WorkLoop,
    reload: Callable[[], Config],
    signals: Signals,
    metrics: Metrics | None,
) -> Config:
    """Go round until told to stop or given another sound configuration; return the one to use."""
    live = LiveFile(config, loop)
    models = ModelWatch(
        store_folder(config.index.path), _configured(config.classify), loop.model_id
    )
    retraining = scheduled_retraining(config, loop.bulletin)
    pulse = min(notify.watchdog_interval_seconds() or IDLE_SECONDS, LOOK_SECONDS)
    try:
        while not signals.stop:
            due = loop.step(time.monotonic())
            notify.watchdog()
            if retraining is not None:
                due = min(due, retraining.step(time.monotonic()))
            loop.model_id = models.look()
            due = min(due, live.update(time.monotonic()))
            if metrics is not None:
                due = min(due, metrics.update(loop, time.monotonic()))
            signals.wake.wait(max(0.0, min(due - time.monotonic(), pulse)))
            signals.wake.clear()
            if signals.reload and not signals.stop:
                signals.reload = False
                new = _reloaded(config, loop, reload)
                if new is not None:
                    return new
    finally:
        if retraining is not None:
            retraining.stop()
        live.write()
    return config


def scheduled_retraining(config: Config, bulletin: Bulletin | None = None) -> Retraining | None:
    """What has models made; under systemd a timer does."""
    if config.path is None or config.retrain.schedule == "off" or os.environ.get("NOTIFY_SOCKET"):
        return None
    store = store_folder(config.index.path)
    return Retraining(str(config.path), store, time.monotonic(), bulletin)


def _reloaded(config: Config, loop: WorkLoop, reload: Callable[[], Config]) -> Config | None:
    """Read the configuration again; a bad one changes nothing."""
    notify.reloading("reading the configuration again")
    try:
        new = reload()
        check_start(new)
        if new.archive.root == config.archive.root:
            loop.check_archive()  # without it no start, while now the files only wait
    except DrumwatchdError as error:
        _say_kept(error)
        notify.ready("watching, with the configuration from before")
        return None
    log.info("configuration reloaded", path=str(new.path))
    return new


def _say_kept(error: DrumwatchdError) -> None:
    log.error("configuration kept, the new one can't be used", reason=str(error))


def scan(config: Config, signals: Signals, on_progress: Callable[[WorkLoop], None]) -> WorkLoop:
    """Do the same work once, until every file in the inboxes is dealt with.

    Raises:
        DrumwatchdError: it can't start.
    """
    bulletin = Bulletin()
    with listeners(config, bulletin), started(config, signals, bulletin) as loop:
        live = LiveFile(config, loop)
        while not (signals.stop or loop.is_idle or loop.degraded):
            on_progress(loop)
            due = loop.step(time.monotonic())
            live.update(time.monotonic())
            signals.wake.wait(max(0.0, min(due - time.monotonic(), PROGRESS_SECONDS)))
            signals.wake.clear()
        if not signals.stop:
            loop.remove_emptied_folders()
        on_progress(loop)
        live.write()
    return loop


@contextlib.contextmanager
def started(config: Config, signals: Signals, bulletin: Bulletin) -> Iterator[WorkLoop]:
    """Everything that the work needs, recovered and with every inbox walked once.

    Raises:
        DrumwatchdError: inbox, archive, index or model can't be used.
    """
    with contextlib.ExitStack() as stack:
        index_path = str(config.index.path)
        stack.enter_context(lock.hold(index_path))
        card = check_start(config)
        index = open_index(index_path, config.index.hash_algorithm)
        stack.callback(index.close)
        # An upgrade may bring another network under the same id: embeddings from before are another's.
        index.meta(read_card(_configured(config.classify)).network_key, repr(time.time()))
        settings = archive_settings(config, index, card)
        check_archive(settings, index)
        manifests = Manifests(settings.root, index)
        archive = Archive(settings, index, manifests)
        store = store_folder(config.index.path)
        workers = analysis_workers(config.classify, store)
        precedents = PrecedentsFile(index, store, _configured(config.classify), archive.classes.own)
        stack.callback(workers.close)
        policies = {str(inbox.path): inbox.duplicates for inbox in config.inboxes}
        rounds = _rounds(config, index, archive, signals)
        pipeline = Pipeline(
            index, archive, workers, policies, rounds.is_sought, precedents.refresh, bulletin
        )
        notify.starting("recovering")
        recovered, mended = pipeline.recover(), manifests.recover()
        log.info(
            "started", model=card.id, index=index_path, archive=settings.root,
            mode=settings.mode, recovered=recovered, manifests_mended=mended,
        )  # fmt: skip
        loop = _loop(config, card, index, archive, workers, pipeline, rounds, signals, bulletin)
        stack.callback(lambda: loop.finish(seconds=STOP_SECONDS))
        for inbox in loop.inboxes.values():
            stack.callback(inbox.stop)
            _start_inbox(inbox)
        _start_rounds(rounds, settings.root)  # what watches there are go to the inboxes first
        yield loop
        log.info("stopping")


def check_start(config: Config) -> ModelCard:
    """Check all that must be there before the first file is touched; return the model's card.

    Raises:
        DrumwatchdError: what is missing, with its path and the way out.
    """
    for inbox in config.inboxes:
        check_readable(str(inbox.path))
    return check_model(config.classify, store_folder(config.index.path))


def check_model(classify: ClassifyConfig, store: str) -> ModelCard:
    """The card of the model that judges: the active one in `store`, else the configured one.

    Raises:
        ModelError: not even that can be used.
    """
    return choose(store, _configured(classify)).card


def _configured(classify: ClassifyConfig) -> str:
    return str(configured_model(classify.model))


def analysis_workers(classify: ClassifyConfig, store: str) -> Workers:
    """The workers that judge as configured; none is started yet."""
    return Workers(
        analysis_settings(classify, store),
        count=worker_count(classify.worker_count),
        timeout_seconds=classify.worker_timeout_seconds,
        memory_mb=classify.worker_memory_mb,
        idle_seconds=classify.worker_idle_seconds,
    )


def check_archive(settings: ArchiveSettings, index: Index) -> None:
    """A new archive is marked as ours; an old one must bear the mark."""
    try:
        if not index.count_filed() and not os.path.exists(settings.root):
            make_folders(settings.root)
    except OSError as error:
        raise archive_error(error, settings.root) from error
    check_usable(settings.root)
    try:
        check_marker(settings.root, settings.archive_id)
    except ArchiveError:
        if index.count_filed() or os.path.lexists(os.path.join(settings.root, "_manifests")):
            raise
        with contextlib.suppress(FileExistsError):
            create_marker(settings.root, settings.archive_id)
        check_marker(settings.root, settings.archive_id)


def _rounds(config: Config, index: Index, archive: Archive, signals: Signals) -> Rounds:
    settings = RoundSettings(
        rescan_seconds=config.archive.rescan_seconds,
        ignored=ignore_matcher(DEFAULT_IGNORE),
        is_stopping=lambda: signals.stop,
    )
    return Rounds(index, archive, settings, signals.wake.set)


def _loop(
    config: Config,
    card: ModelCard,
    index: Index,
    archive: Archive,
    workers: Workers,
    pipeline: Pipeline,
    rounds: Rounds,
    signals: Signals,
    bulletin: Bulletin,
) -> WorkLoop:
    def is_dealt_with(source: Source) -> bool:
        return loop.is_in_work(source.path) or index.is_remembered(source)

    inboxes = [
        Inbox(
            InboxSettings(
                path=str(inbox.path),
                watch=inbox.watch,
                settle_seconds=inbox.settle_seconds,
                rescan_seconds=inbox.rescan_seconds,
                poll_seconds=inbox.poll_seconds,
                ignore=inbox.ignore,
            ),
            is_dealt_with=is_dealt_with,
            wake=signals.wake.set,
            is_stopping=lambda: signals.stop,
        )
        for inbox in config.inboxes
    ]
    loop = WorkLoop(
        inboxes, pipeline, archive, workers, signals.wake, model_id=card.id, rounds=rounds,
        bulletin=bulletin,
    )  # fmt: skip
    return loop


def _start_rounds(rounds: Rounds, root: str) -> None:
    reason = rounds.start()
    if reason is not None:
        log.warning("archive without events", path=root, reason=reason)
    notify.starting(f"first look through {root}")
    rounds.step(time.monotonic())


def _start_inbox(inbox: Inbox) -> None:
    reason = inbox.start()
    if reason is not None:
        log.warning("polling instead of watching", path=inbox.settings.path, reason=reason)
    notify.starting(f"first scan of {inbox.settings.path}")
    inbox.rescan(time.monotonic())
    log.info(
        "watching",
        path=inbox.settings.path,
        mode=inbox.mode,
        found=len(inbox.settling),
        left_alone=inbox.tally.other_files,
    )
