"""The figures of a home for Prometheus: a collector for the official client library, a small server, a text file.

https://prometheus.io/docs/instrumenting/writing_exporters/: figures are made when they are asked for, and carry no
time of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread
from anyio.from_thread import BlockingPortal

from walrus_sdk.errors import ConfigurationError, StateError
from walrus_sdk.watch.metering import Meter
from walrus_sdk.watch.metrics import METRICS, PORT, Key, Metric

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family
    from prometheus_client.registry import CollectorRegistry

__all__ = ["families", "registry", "serve", "write_textfile"]


def families(figures: Mapping[Key, float]) -> Iterable[Family]:
    """Return figures as metric families of the client library, all of `METRICS` that have a value, in their order.

    Raises `ConfigurationError` ``extra_missing``.
    """
    core = _client()
    by_name: dict[str, dict[tuple[str, ...], dict[float | None, float]]] = {}
    for (name, labels, bound), value in figures.items():
        by_name.setdefault(name, {}).setdefault(labels, {})[bound] = value
    for name, metric in METRICS.items():
        found, sums = by_name.get(name, {}), by_name.get(f"{name}_sum", {})
        if metric.type == "counter":
            family = core.CounterMetricFamily(name, metric.help, labels=metric.labels)
        elif metric.type == "gauge":
            family = core.GaugeMetricFamily(name, metric.help, labels=metric.labels)
        else:
            family = core.HistogramMetricFamily(name, metric.help, labels=metric.labels)
        for labels in sorted(found):
            if metric.type == "histogram":
                family.add_metric(labels, _buckets(metric, found[labels]), sums[labels][None])
            else:
                family.add_metric(labels, found[labels][None])
        if found:
            yield family


def _buckets(metric: Metric, counts: Mapping[float | None, float]) -> list[tuple[str, float]]:
    """Return cumulative counts by upper bound, as texts of the exposition format."""
    total, found = 0.0, []
    for bound in (*metric.buckets, float("inf")):
        total += counts.get(bound, 0.0)
        found.append(("+Inf" if bound == float("inf") else repr(float(bound)), total))
    return found


class _Collector:
    """Implements the client library's collector over whatever gives figures."""

    def __init__(self, read: Callable[[], Mapping[Key, float]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Family]:
        """Return nothing: names are known, and registering is not to read the journal."""
        return []

    def collect(self) -> Iterable[Family]:
        """Return the figures of now."""
        return families(self._read())


def registry(read: Callable[[], Mapping[Key, float]]) -> CollectorRegistry:
    """Return a registry of the client library with the figures that `read` gives, which may block.

    Raises `ConfigurationError` ``extra_missing``.
    """
    _client()
    from prometheus_client.registry import CollectorRegistry

    made = CollectorRegistry(auto_describe=False)
    made.register(_Collector(read))
    return made


@asynccontextmanager
async def serve(meter: Meter, *, port: int = PORT, address: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve the figures of a home over HTTP as long as the block lasts; gives the address of the page.

    The client library's server answers in threads, in the text format or in OpenMetrics, as the scraper asks. `port` 0
    takes a free one. Raises `ConfigurationError` ``extra_missing``, and ``option_invalid`` when it cannot listen there.
    """
    _client()
    from prometheus_client import start_http_server

    with _as_it_is():
        async with BlockingPortal() as portal:
            made = registry(lambda: portal.call(meter.read))
            try:
                server, thread = start_http_server(port, address, made)
            except OSError as error:
                text = f"cannot listen on {address}, port {port}: {error.strerror}"
                raise ConfigurationError("option_invalid", text, option="port") from error
            try:
                host = f"[{address}]" if ":" in address else address
                yield f"http://{host}:{server.server_port}/metrics"
            finally:
                with anyio.CancelScope(shield=True):  # a cancelled block leaves no server behind either
                    await to_thread.run_sync(server.shutdown)
                    await to_thread.run_sync(thread.join)
                    server.server_close()


@contextmanager
def _as_it_is() -> Iterator[None]:
    """Let a single error out of a task group as it is, not as a group."""
    try:
        yield
    except ExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from group.exceptions[0].__cause__


async def write_textfile(meter: Meter, path: Path) -> None:
    """Write the figures to a file for the node exporter's textfile collector; it is there whole, or as it was before.

    Raises `ConfigurationError` ``extra_missing``, `StateError` ``state_unwritable``.
    """
    _client()
    from prometheus_client import write_to_textfile

    figures = await meter.read()
    try:
        await to_thread.run_sync(write_to_textfile, str(path), registry(lambda: figures))
    except OSError as error:
        raise StateError("state_unwritable", f"{path}: {error.strerror}", path=str(path)) from error


def _client() -> Any:
    """Return the client library's module of metric families."""
    try:
        import prometheus_client.core as core
    except ImportError as error:
        text = "metrics need the Prometheus client library: pip install 'walrus-sdk[metrics]'"
        raise ConfigurationError("extra_missing", text, extra="metrics") from error
    return core
