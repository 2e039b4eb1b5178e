"""A caching proxy before the aggregator: it keeps a 404 after the blob is there."""

from __future__ import annotations

from typing import Any

import pytest

from walrus_sdk.codecs import redstuff
from walrus_sdk.localnet.exchange import Exchange
from walrus_sdk.localnet.faults import Faults, Shape
from walrus_sdk.localnet.http_walrus.cache import CachingProxy
from walrus_sdk.localnet.replies import text_response
from walrus_sdk.localnet.server import LocalNetwork

DATA = b"late"
BLOB = str(redstuff.blob_id(DATA, 10))
STATUS = "x-cache-status"


@pytest.fixture
def cached(client: Any, net: LocalNetwork) -> Any:
    net.faults.reshape(not_found_cache_s=3600.0)
    return client


def how(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.headers[STATUS]


def test_without_the_proxy_nothing_says_cache(client: Any) -> None:
    assert STATUS not in client.get(f"/v1/blobs/{BLOB}").headers


def test_a_404_is_kept_after_the_blob_is_there(cached: Any) -> None:
    assert how(cached.get(f"/v1/blobs/{BLOB}")) == (404, "MISS")
    cached.store(DATA)
    assert how(cached.get(f"/v1/blobs/{BLOB}")) == (404, "HIT")
    assert cached.get(f"/v1/blobs/{BLOB}").json()["error"]["details"][0]["reason"] == "BLOB_NOT_FOUND"


def test_another_cache_key_sees_the_blob(cached: Any) -> None:
    cached.get(f"/v1/blobs/{BLOB}")
    cached.store(DATA)
    assert how(cached.get(f"/v1/blobs/{BLOB}?skip_consistency_check=false")) == (200, "MISS")
    assert cached.get(f"/v1/blobs/{BLOB}?cb=1").status_code == 400


def test_a_request_with_cache_control_goes_past_it_and_repairs_it(cached: Any) -> None:
    cached.get(f"/v1/blobs/{BLOB}")
    cached.store(DATA)
    assert how(cached.get(f"/v1/blobs/{BLOB}", cache_control="no-cache")) == (200, "BYPASS")
    assert how(cached.get(f"/v1/blobs/{BLOB}")) == (200, "HIT")


def test_a_deaf_proxy_ignores_cache_control(cached: Any, net: LocalNetwork) -> None:
    net.faults.reshape(cache_deaf=True)
    cached.get(f"/v1/blobs/{BLOB}")
    cached.store(DATA)
    assert how(cached.get(f"/v1/blobs/{BLOB}", cache_control="no-cache")) == (404, "HIT")


def test_an_expired_blob_is_still_served(cached: Any, net: LocalNetwork) -> None:
    cached.store(DATA)
    assert how(cached.get(f"/v1/blobs/{BLOB}")) == (200, "MISS")
    net.world.chain.advance_walrus_epoch(1)
    answer = cached.get(f"/v1/blobs/{BLOB}")
    assert (how(answer), answer.content, answer.headers["etag"]) == ((200, "HIT"), DATA, BLOB)
    assert how(cached.get(f"/v1/blobs/{BLOB}", cache_control="no-cache")) == (404, "BYPASS")


def test_a_stale_copy_covers_an_upstream_5xx(cached: Any) -> None:
    cached.store(DATA)
    cached.get(f"/v1/blobs/{BLOB}")
    cached.fault("aggregator.request", "error", status=502, kind="html")
    answer = cached.get(f"/v1/blobs/{BLOB}", cache_control="no-cache")
    assert (how(answer), answer.content) == ((200, "STALE"), DATA)


def test_a_5xx_itself_is_not_kept(cached: Any) -> None:
    cached.store(DATA)
    cached.fault("aggregator.request", "error", status=503, times=1)
    assert how(cached.get(f"/v1/blobs/{BLOB}")) == (503, "MISS")
    assert how(cached.get(f"/v1/blobs/{BLOB}")) == (200, "MISS")


def test_a_range_meets_a_kept_404_but_a_kept_blob_does_not_answer_it(cached: Any) -> None:
    cached.get(f"/v1/blobs/{BLOB}")
    cached.store(DATA)
    assert how(cached.get(f"/v1/blobs/{BLOB}", range="bytes=0-0")) == (404, "HIT")
    cached.get(f"/v1/blobs/{BLOB}", cache_control="no-cache")
    assert how(cached.get(f"/v1/blobs/{BLOB}", range="bytes=0-0")) == (206, "MISS")
    assert how(cached.get(f"/v1/blobs/{BLOB}")) == (200, "HIT")


def test_a_deaf_proxy_answers_a_range_with_the_whole_blob(cached: Any, net: LocalNetwork) -> None:
    net.faults.reshape(cache_deaf=True)
    cached.store(DATA)
    cached.get(f"/v1/blobs/{BLOB}")
    answer = cached.get(f"/v1/blobs/{BLOB}", range="bytes=0-0")
    assert (how(answer), answer.content) == ((200, "HIT"), DATA)


def test_an_echoed_content_type_is_handed_to_everyone(cached: Any) -> None:
    cached.store(DATA)
    cached.get(f"/v1/blobs/{BLOB}", accept="application/json")
    assert cached.get(f"/v1/blobs/{BLOB}").headers["content-type"] == "application/json"


def test_a_head_meets_a_kept_404_like_a_get(cached: Any) -> None:
    assert how(cached.http.head(f"/v1/blobs/{BLOB}")) == (404, "MISS")
    cached.store(DATA)
    assert how(cached.http.head(f"/v1/blobs/{BLOB}")) == (404, "HIT")
    cached.get(f"/v1/blobs/{BLOB}", cache_control="no-cache")
    answer = cached.http.head(f"/v1/blobs/{BLOB}")
    assert (how(answer), answer.content) == ((200, "HIT"), b"")


def test_stores_and_other_methods_are_not_cached(cached: Any) -> None:
    assert STATUS not in cached.put(DATA).headers
    assert cached.http.delete(f"/v1/blobs/{BLOB}").status_code == 405
    assert cached.get("/v1/nowhere").status_code == 404


@pytest.mark.anyio
async def test_a_404_lives_as_long_as_it_is_told_and_a_blob_a_day() -> None:
    now, status = [0.0], [404]
    proxy, shape = CachingProxy(lambda: now[0]), Shape(not_found_cache_s=60.0)
    scope = {"type": "http", "method": "GET", "path": "/v1/blobs/x", "query_string": b"", "headers": []}

    async def nothing(*_: Any) -> Any:
        raise AssertionError("the connection is not used")

    async def origin(_exchange: Exchange) -> Any:
        return text_response("body", status[0])

    async def ask() -> str:
        answer = await proxy.serve(Exchange(scope, nothing, nothing, Faults(), nothing), shape, origin)
        assert answer is not None
        return f"{answer.status_code} {answer.headers[STATUS]}"

    assert await ask() == "404 MISS"
    status[0] = 200
    now[0] = 59.0
    assert await ask() == "404 HIT"
    now[0] = 61.0
    assert await ask() == "200 MISS"
    status[0] = 404
    now[0] = 61.0 + 86399
    assert await ask() == "200 HIT"
    now[0] = 61.0 + 86401
    assert await ask() == "404 MISS"
