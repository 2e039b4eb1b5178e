"""Deployments for OpenTelemetry: one span for each effect with its true times, and the figures of a home.

Spans are made from the journal after the fact, so a deployment that died, or that another process did, has them too.
Without the packages of the extra `otel` nothing happens, and nothing is said: who wants spans has installed them.
Names follow https://opentelemetry.io/docs/specs/semconv/: attributes of this package begin with ``walrus_sdk.``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from walrus_sdk.model.deployment import Status
from walrus_sdk.ports import Sleep
from walrus_sdk.watch.metering import Meter
from walrus_sdk.watch.metrics import METRICS, Key, Metric
from walrus_sdk.watch.runs import Run, Try

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["keep_observed", "observe", "record_spans"]

_NAME = "walrus_sdk"
_MS = 1_000_000
"""Nanoseconds in a millisecond: spans count the former, the journal the latter."""


def record_spans(run: Run, network: str, verb: str, tracer_provider: TracerProvider | None = None) -> int:
    """Make a span for a deployment and one for each of its effects that has ended; returns how many.

    A span's events are the tries that failed. `tracer_provider`: instead of the global one. 0 without the packages.
    """
    try:
        from opentelemetry import context, trace
    except ImportError:
        return 0
    tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
    failed = run.status == Status.FAILED.value
    root = tracer.start_span(
        f"{verb} {run.facts.get('site', '')}".strip(),
        context=context.Context(),
        start_time=run.began_ms * _MS,
        attributes={
            "walrus_sdk.deployment.id": run.deployment,
            "walrus_sdk.deployment.status": run.status,
            "walrus_sdk.network": network,
            "walrus_sdk.files": int(run.facts.get("files", 0)),
            "walrus_sdk.owners": run.owners,
        },
    )
    if failed:
        root.set_status(trace.StatusCode.ERROR)
    inside, count = trace.set_span_in_context(root), 1
    for tries in _effects(run.tries):
        first, last = tries[0], tries[-1]
        span = tracer.start_span(
            f"{last.kind} {last.operation}".strip(),
            context=inside,
            kind=trace.SpanKind.CLIENT,
            start_time=first.began_ms * _MS,
            attributes=_attributes(last, len(tries)),
        )
        for one in tries:
            if one.is_failure:
                met: dict[str, str | int] = {
                    "error.type": one.code,
                    "walrus_sdk.try": one.number,
                    "server.address": one.endpoint,
                }
                span.add_event("try failed", met, timestamp=(one.ended_ms or one.began_ms) * _MS)
        if last.outcome != "done":
            span.set_status(trace.StatusCode.ERROR, last.code)
        span.end(end_time=(last.ended_ms or last.began_ms) * _MS)
        count += 1
    root.end(end_time=max(run.last_ms, run.began_ms) * _MS)
    return count


def _effects(tries: Iterable[Try]) -> Sequence[Sequence[Try]]:
    """Return the tries of each effect, in the order of their beginning."""
    found: dict[tuple[str, str], list[Try]] = {}
    for one in tries:
        found.setdefault((one.kind, one.name), []).append(one)
    return list(found.values())


def _attributes(last: Try, count: int) -> dict[str, Any]:
    unit = "frost" if last.kind == "store" else "mist"
    return {
        "walrus_sdk.effect.kind": last.kind,
        "walrus_sdk.effect.name": last.name,
        "walrus_sdk.effect.outcome": last.outcome,
        "walrus_sdk.effect.tries": count,
        "walrus_sdk.effect.size": last.size,
        f"walrus_sdk.effect.paid_{unit}": last.paid,
        "server.address": last.endpoint,
        **({"error.type": last.code} if last.code else {}),
    }


def observe(latest: Callable[[], Mapping[Key, float]], meter_provider: MeterProvider | None = None) -> bool:
    """Register the counters and gauges of a home with OpenTelemetry; `latest` is asked at each collection.

    Histograms are not among them: OpenTelemetry has none that is observed. `False` without the packages.
    """
    try:
        from opentelemetry import metrics
    except ImportError:
        return False
    meter = metrics.get_meter(_NAME, meter_provider=meter_provider)

    def asked(metric: Metric) -> Callable[[Any], Iterable[metrics.Observation]]:
        def values(_: Any) -> Iterable[metrics.Observation]:
            for (name, labels, _bound), value in latest().items():
                if name == metric.name:
                    yield metrics.Observation(value, dict(zip(metric.labels, labels, strict=True)))

        return values

    for metric in METRICS.values():
        if metric.type == "histogram":
            continue
        create = meter.create_observable_counter if metric.type == "counter" else meter.create_observable_gauge
        create(_name(metric.name), callbacks=[asked(metric)], unit=_unit(metric.name), description=metric.help)
    return True


async def keep_observed(
    meter: Meter, sleep: Sleep, *, every_s: float = 15.0, meter_provider: MeterProvider | None = None
) -> None:
    """Read the figures of a home every `every_s` seconds for OpenTelemetry's collections, until it is cancelled.

    Returns at once without the packages. Raises `StateError` when the journal cannot be read.
    """
    latest = await meter.read()
    if not observe(lambda: latest, meter_provider):
        return
    while True:
        await sleep(every_s)
        latest = await meter.read()


def _name(name: str) -> str:
    """Return a metric's name by OpenTelemetry's conventions: dots between names, no unit or ``_total`` in it."""
    rest = name.removeprefix("walrus_sdk_").removesuffix("_total").removesuffix("_seconds").removesuffix("_bytes")
    return f"walrus_sdk.{rest}"


def _unit(name: str) -> str:
    """Return a unit by UCUM, as OpenTelemetry asks for."""
    for part, unit in (("_bytes", "By"), ("_seconds", "s"), ("_frost", "{FROST}"), ("_mist", "{MIST}")):
        if part in name:
            return unit
    return "1"
