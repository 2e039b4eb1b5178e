"""OpenTelemetry: a span for each effect with the times of the journal; nothing at all without the packages."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from walrus_sdk.model.units import DeploymentId
from walrus_sdk.watch.exporters.otel import _name, keep_observed, observe, record_spans
from walrus_sdk.watch.metering import Meter
from walrus_sdk.watch.metrics import METRICS
from walrus_sdk.watch.runs import Run, fold

pytestmark = pytest.mark.anyio


async def lived(watched: Any) -> Run:
    deployment = await watched.deployment()
    await deployment.begin("1")
    watched.clock.advance(2)
    await deployment.failed("1")
    await deployment.begin("1", 2)
    watched.clock.advance(3)
    await deployment.done("1")
    await deployment.begin("2")
    await deployment.failed("2", "bad_answer")
    await deployment.move("failed")
    return fold(deployment.id, await watched.journal.events(DeploymentId(deployment.id)))


async def test_each_effect_is_a_span_inside_the_deployments_with_its_true_times(watched: Any) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    began = watched.clock.wall_ms()
    run = await lived(watched)
    assert record_spans(run, "testnet", "deploy", provider) == 3
    spans = {span.name: span for span in exporter.get_finished_spans()}
    root, store = spans["deploy"], spans["store store-1"]
    assert store.parent is not None
    assert store.parent.span_id == root.context.span_id
    assert (store.start_time, store.end_time) == (began * 10**6, (began + 5000) * 10**6)
    assert [(event.name, event.attributes["error.type"]) for event in store.events] == [("try failed", "store_failed")]
    assert store.attributes["walrus_sdk.effect.tries"] == 2
    assert store.status.status_code is StatusCode.UNSET
    assert spans["store store-2"].status.status_code is StatusCode.ERROR
    assert root.attributes["walrus_sdk.deployment.id"] == run.deployment
    assert root.status.status_code is StatusCode.ERROR


async def test_counters_and_gauges_are_observed_as_they_are_at_each_collection(watched: Any) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    await lived(watched)
    figures = await Meter(watched.journal, watched.eyes).read()
    assert observe(lambda: figures, provider)
    (resource,) = reader.get_metrics_data().resource_metrics
    found = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    points = {tuple(point.attributes.values()): point.value for point in found["walrus_sdk.tries"].data.data_points}
    assert points == {("testnet", "store", "failed"): 2, ("testnet", "store", "done"): 1}
    assert found["walrus_sdk.storage_paid_frost"].unit == "{FROST}"
    assert len({_name(name) for name in METRICS}) == len(METRICS)
    provider.shutdown()


async def test_without_the_packages_nothing_happens(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert record_spans(await lived(watched), "testnet", "deploy") == 0
    assert observe(dict) is False
    await keep_observed(Meter(watched.journal, watched.eyes), watched.clock.sleep)
