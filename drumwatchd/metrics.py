"""Figures for Prometheus: a file for node_exporter's textfile collector, or a port of one's own.

The work loop puts them together, every few seconds at most and only where they are wanted; who asks gets
the last ones, so that no request ever touches the loop's state.

References:
    https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric

from drumwatchd import __version__
from drumwatchd.bulletin import Event
from drumwatchd.errors import ConfigError, DrumwatchdError
from drumwatchd.files import write_atomically
from drumwatchd.index.reader import open_reader
from drumwatchd.log import get_logger
from drumwatchd.workloop import WorkLoop

EVERY_SECONDS = 5.0
CONFIDENCES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# The events that end the way of a file.
OUTCOMES = {"archived": "filed", "duplicate": "duplicate", "quarantined": "quarantined"}

log = get_logger()


class Metrics:
    """Counts what happens, and says how things stand.

    Raises:
        ConfigError: `listen` can't be listened on.
    """

    def __init__(self, *, textfile: str, listen: str, index_path: str, root: str) -> None:
        self._textfile, self._index_path, self._root = textfile, index_path, root
        self._files: Counter[tuple[str, str]] = Counter()
        self._confidences: list[int] = [0] * len(CONFIDENCES)
        self._confidence_sum = 0.0
        self._lock = threading.Lock()
        self._families: list[Metric] = []
        self._next = 0.0
        self._said = False
        self._registry = CollectorRegistry()
        self._registry.register(self)  # anything with `collect` will do
        self._server = _listening(listen, self._registry) if listen else None

    def take(self, event: Event) -> None:
        """Count an event; from any thread."""
        outcome = OUTCOMES.get(event.kind)
        if outcome is None:
            return
        with self._lock:
            self._files[outcome, str(event.fields.get("label") or "")] += 1
            confidence = event.fields.get("confidence")
            if event.kind == "archived" and confidence is not None:
                self._confidence_sum += confidence
                bucket = next(n for n, most in enumerate(CONFIDENCES) if confidence <= most + 1e-9)
                self._confidences[bucket] += 1

    def update(self, loop: WorkLoop, now: float) -> float:
        """Put the figures together where that is due; return when it is next."""
        if now >= self._next:
            self._next = now + EVERY_SECONDS
            try:
                self._families = self._state(loop, now)
            except DrumwatchdError as error:  # the index can't be read now; the loop says so
                log.debug("metrics not renewed", reason=str(error))
            self._write()
        return self._next

    def collect(self) -> Iterable[Metric]:
        """The figures as they were last put together."""
        return list(self._families)

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join(2.0)

    def _write(self) -> None:
        if not self._textfile:
            return
        try:
            write_atomically(
                self._textfile, generate_latest(self._registry).decode(), durable=False
            )
            self._said = False
        except OSError as error:
            if not self._said:
                log.warning("metrics not written", path=self._textfile, reason=error.strerror)
            self._said = True

    def _state(self, loop: WorkLoop, now: float) -> list[Metric]:
        files = CounterMetricFamily(
            "drumwatchd_files", "Files that were dealt with since the start.",
            labels=["outcome", "label"],
        )  # fmt: skip
        with self._lock:
            for (outcome, label), count in sorted(self._files.items()):
                files.add_metric([outcome, label], count)
            confidences, confidence_sum = list(self._confidences), self._confidence_sum
        modes = GaugeMetricFamily(
            "drumwatchd_watch_mode", "1 for how a folder is watched.", labels=["path", "mode"]
        )
        found = CounterMetricFamily(
            "drumwatchd_rescan_found", "Files that no event told of, found by a rescan.",
            labels=["path"],
        )  # fmt: skip
        for inbox in loop.inboxes.values():
            path = inbox.settings.path.encode("utf-8", "backslashreplace").decode()
            modes.add_metric([path, inbox.mode], 1)
            found.add_metric([path], inbox.found_by_rescan)
        oldest = loop.oldest()
        model = GaugeMetricFamily(
            "drumwatchd_model_info", "1 for the model that judges.", labels=["id", "version"]
        )
        model.add_metric([loop.model_id, __version__], 1)
        rounds = loop.rounds
        degraded = loop.degraded is not None or (rounds is not None and rounds.degraded is not None)
        return [
            files,
            _gauge("queue_depth", "Files that were seen and aren't dealt with yet.", loop.pending),
            _gauge(
                "oldest_pending_seconds", "Age of the file that waits longest.",
                0.0 if oldest is None else max(0.0, now - oldest),
            ),
            found,
            modes,
            *self._of_the_index(),
            *_free(self._root, os.path.dirname(self._index_path)),
            model,
            _gauge("degraded", "1 while files can't be filed.", float(degraded)),
            _gauge("workers", "Processes that listen right now.", loop.workers_alive),
            _histogram(confidences, confidence_sum),
        ]  # fmt: skip

    def _of_the_index(self) -> list[Metric]:
        samples = GaugeMetricFamily(
            "drumwatchd_samples", "Samples in the archive.", labels=["label"]
        )
        quarantined = 0
        with open_reader(self._index_path) as reader:
            for (state, label), count in reader.count_samples().items():
                if state == "filed":
                    samples.add_metric([label or ""], count)
                quarantined += count * (state == "quarantined")
        return [
            samples,
            _gauge("quarantine_files", "Samples that can't be judged.", quarantined),
        ]


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"drumwatchd_{name}", text, value=value)


def _free(root: str, state: str) -> list[Metric]:
    free = GaugeMetricFamily("drumwatchd_free_bytes", "Room on the disk.", labels=["place"])
    for place, path in (("archive", root), ("index", state)):
        try:
            found = os.statvfs(path)
        except OSError:
            continue  # not mounted; `degraded` says so
        free.add_metric([place], found.f_bavail * found.f_frsize)
    return [free]


def _histogram(counts: list[int], total: float) -> Metric:
    family = HistogramMetricFamily(
        "drumwatchd_confidence", "Confidence of the files that were filed since the start."
    )
    below, buckets = 0, []
    for most, count in zip(CONFIDENCES, counts, strict=True):
        below += count
        buckets.append((str(most), float(below)))
    family.add_metric([], [*buckets, ("+Inf", float(below))], total)
    return family


def _listening(listen: str, registry: CollectorRegistry) -> tuple[Any, Any]:
    host, _, port = listen.rpartition(":")
    try:
        return start_http_server(int(port), host.strip("[]") or "127.0.0.1", registry)
    except (OSError, ValueError, OverflowError) as error:
        hint = 'write listen = "127.0.0.1:9469", or another free port'
        raise ConfigError(
            f"metrics.listen: can't listen on {listen} ({error})", hint=hint
        ) from error
