"""Reads: routes, headers, ranges, patches, concat, and what is not there."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from walrus_sdk.codecs import redstuff
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.model.units import ObjectId

DATA = bytes(range(256)) * 5
NOWHERE = "A" * 43
PATCH = base64.urlsafe_b64encode(bytes(32) + b"\x01\x01\x00\x02\x00").rstrip(b"=").decode()
DOMAIN = "daemon.walrus.space"
OPAQUE = (500, "INTERNAL", "global", "INTERNAL_ERROR")
CACHE = "public, max-age=86400, stale-while-revalidate=3600"


@pytest.fixture
def blob(client: Any) -> str:
    return str(client.blob(DATA))


@pytest.fixture
def unfinished(client: Any, net: LocalNetwork) -> str:
    """A blob that was paid and never certified."""
    client.fault("publisher.after_pay", "error", times=1)
    assert client.put(b"unfinished").status_code == 500
    return str(redstuff.blob_id(b"unfinished", 10))


@pytest.fixture
def quilt(client: Any) -> dict[str, str]:
    """Patch ids by name; ``""`` is the quilt's own id."""
    metadata = [{"identifier": "a.html", "tags": {"content-type": "text/html", "rev": "7", "Content-Language": "en"}}]
    answer = client.quilt([("a.html", b"<h1>"), ("dir/ü.txt", b"umlaut"), ("plain", b"p")], metadata).json()
    found = {row["identifier"]: row["quiltPatchId"] for row in answer["storedQuiltBlobs"]}
    return found | {"": answer["blobStoreResult"]["newlyCreated"]["blobObject"]["blobId"]}


# ── headers ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_blob_has_the_official_headers(client: Any, blob: str) -> None:
    answer = client.get(f"/v1/blobs/{blob}")
    assert (answer.status_code, answer.content) == (200, DATA)
    assert answer.headers["etag"] == blob  # bare, without quotes
    assert answer.headers["cache-control"] == CACHE
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-length"] == str(len(DATA))
    for absent in ("content-type", "accept-ranges", "last-modified", "vary", "content-disposition", "content-range"):
        assert absent not in answer.headers


def test_a_matching_etag_is_never_304(client: Any, blob: str) -> None:
    assert client.get(f"/v1/blobs/{blob}", if_none_match=blob).status_code == 200


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("application/json", "application/json"), ("text/html, image/png", "text/html, image/png"), ("*/*", None),
     ("image/*", None)],
)  # fmt: skip
def test_an_accept_without_a_star_is_echoed_as_content_type(
    client: Any, blob: str, accept: str, kind: str | None
) -> None:
    assert client.get(f"/v1/blobs/{blob}", accept=accept).headers.get("content-type") == kind


def test_a_content_type_of_the_request_is_echoed_on_get(client: Any, blob: str) -> None:
    assert client.get(f"/v1/blobs/{blob}", content_type="image/png").headers["content-type"] == "image/png"


def test_head_is_get_without_the_body(client: Any, blob: str) -> None:
    answer = client.http.head(f"/v1/blobs/{blob}")
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, b"", blob)
    assert answer.headers["content-length"] == str(len(DATA))


# ── what is not there ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path",
    ["/v1/blobs/{}", "/v1/blobs/{}/byte-range?start=0&length=1", "/v1/quilts/{}/patches", "/v1alpha/blobs/{}/stream",
     "/v1/blobs/by-quilt-id/{}/x", f"/v1/blobs/by-quilt-patch-id/{PATCH}"],
)  # fmt: skip
def test_an_unknown_blob_is_404_with_a_reason(client: Any, refusal: Any, path: str) -> None:
    assert refusal(client.get(path.format(NOWHERE))) == (404, "NOT_FOUND", DOMAIN, "BLOB_NOT_FOUND")


def test_a_registered_blob_is_503_or_what_its_route_calls_it(client: Any, refusal: Any, unfinished: str) -> None:
    unavailable = (503, "UNAVAILABLE", DOMAIN, "BLOB_UNAVAILABLE")
    assert refusal(client.get(f"/v1/blobs/{unfinished}")) == unavailable
    assert refusal(client.get(f"/v1/quilts/{unfinished}/patches")) == unavailable
    assert refusal(client.get(f"/v1/blobs/{unfinished}/byte-range?start=0&length=1")) == OPAQUE
    stream = refusal(client.get(f"/v1alpha/blobs/{unfinished}/stream"))
    assert stream == (500, "INTERNAL", DOMAIN, "SLIVER_RETRIEVAL_FAILED")


def test_an_expired_blob_is_404(client: Any, net: LocalNetwork, refusal: Any) -> None:
    blob = client.blob(DATA, "epochs=2")
    net.world.chain.advance_walrus_epoch(1)
    assert client.get(f"/v1/blobs/{blob}").status_code == 200
    net.world.chain.advance_walrus_epoch(1)
    assert refusal(client.get(f"/v1/blobs/{blob}"))[3] == "BLOB_NOT_FOUND"


def test_an_unfinished_blob_expires_to_404_too(client: Any, net: LocalNetwork, unfinished: str) -> None:
    net.world.chain.advance_walrus_epoch(1)
    assert client.get(f"/v1/blobs/{unfinished}").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/v1/blobs/short", f"/v1/blobs/{'A' * 42}B", f"/v1/blobs/{'A' * 44}", "/v1/blobs/by-object-id/nobody",
     "/v1/blobs/by-quilt-patch-id/AA", f"/v1/blobs/by-quilt-id/{NOWHERE}/%ff", "/v1/quilts/short/patches"],
)  # fmt: skip
def test_an_id_that_cannot_be_read_is_400_as_text(client: Any, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.text.partition(":")[0]) == (400, "Invalid URL")


# ── queries ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "query", ["cb=123", "consistency=strict", "strict_consistency_check=1", "skip_consistency_check",
              "skip_consistency_check=true&skip_consistency_check=true"],
)  # fmt: skip
def test_the_documented_cache_buster_and_other_strays_are_400(client: Any, blob: str, query: str) -> None:
    answer = client.get(f"/v1/blobs/{blob}?{query}")
    assert answer.status_code == 400
    assert answer.text.startswith("Failed to deserialize query string: ")


@pytest.mark.parametrize(
    "query",
    ["strict_consistency_check=false", "skip_consistency_check=false", "strict_consistency_check=true",
     "skip_consistency_check=false&strict_consistency_check=false"],
)  # fmt: skip
def test_four_cache_keys_are_accepted(client: Any, blob: str, query: str) -> None:
    assert client.get(f"/v1/blobs/{blob}?{query}").content == DATA


def test_both_read_options_exclude_each_other(client: Any, refusal: Any, blob: str) -> None:
    answer = client.get(f"/v1/blobs/{blob}?strict_consistency_check=true&skip_consistency_check=true")
    assert refusal(answer) == (400, "INVALID_ARGUMENT", DOMAIN, "INVALID_CONSISTENCY_CHECK")


def test_routes_without_a_query_ignore_one(client: Any, quilt: dict[str, str], blob: str) -> None:
    assert client.get(f"/v1/blobs/by-quilt-patch-id/{quilt['plain']}?cb=1").content == b"p"
    assert client.get(f"/v1/quilts/{quilt['']}/patches?cb=1").status_code == 200
    assert client.get(f"/v1alpha/blobs/{blob}/stream?cb=1").status_code == 200


# ── ranges ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("start", "end"), [(0, 0), (10, 19), (1279, 1279), (0, 1279)])
def test_a_range_is_206_with_its_place(client: Any, blob: str, start: int, end: int) -> None:
    answer = client.get(f"/v1/blobs/{blob}", range=f"bytes={start}-{end}")
    assert (answer.status_code, answer.content) == (206, DATA[start : end + 1])
    assert answer.headers["content-range"] == f"bytes {start}-{end}/1280"
    assert (answer.headers["etag"], answer.headers["cache-control"]) == (blob, CACHE)


@pytest.mark.parametrize(
    "asked",
    ["bytes=5-", "bytes=-5", "bytes=0-1,3-4", "bytes=9-5", "bytes=0-1280", "bytes=1280-1280", "items=0-1", "bytes=a-b",
     "0-1", "bytes=0-99999999999999999999999"],
)  # fmt: skip
def test_every_other_range_is_416_and_says_no_size(client: Any, refusal: Any, blob: str, asked: str) -> None:
    answer = client.get(f"/v1/blobs/{blob}", range=asked)
    assert refusal(answer) == (416, "RANGE_NOT_SATISFIABLE", DOMAIN, "INVALID_BYTE_RANGE")
    assert "content-range" not in answer.headers


def test_byte_range_is_200_with_its_own_etag(client: Any, blob: str) -> None:
    answer = client.get(f"/v1/blobs/{blob}/byte-range?start=10&length=20")
    assert (answer.status_code, answer.content) == (200, DATA[10:30])
    assert answer.headers["etag"] == f"{blob}-10-20"
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("query", ["start=0&length=0", "start=0&length=1281", "start=1280&length=1",
                                   "start=18446744073709551615&length=18446744073709551615"])  # fmt: skip
def test_a_byte_range_outside_is_400(client: Any, refusal: Any, blob: str, query: str) -> None:
    answer = client.get(f"/v1/blobs/{blob}/byte-range?{query}")
    assert refusal(answer) == (400, "INVALID_ARGUMENT", DOMAIN, "INVALID_BYTE_RANGE")


@pytest.mark.parametrize("query", ["", "start=0", "length=1", "start=-1&length=1", "start=0&length=1&x=1",
                                   "start=0&length=18446744073709551616"])  # fmt: skip
def test_a_byte_range_needs_exactly_its_two_numbers(client: Any, blob: str, query: str) -> None:
    answer = client.get(f"/v1/blobs/{blob}/byte-range?{query}")
    assert (answer.status_code, answer.text.partition(":")[0]) == (400, "Failed to deserialize query string")


# ── by object, stream, concat ─────────────────────────────────────────────────────────────────────────────────────


def test_a_blob_is_read_by_its_object(client: Any, refusal: Any, net: LocalNetwork) -> None:
    made = client.store(DATA)["newlyCreated"]["blobObject"]
    answer = client.get(f"/v1/blobs/by-object-id/{made['id']}")
    assert (answer.content, answer.headers["etag"]) == (DATA, made["blobId"])
    part = client.get(f"/v1/blobs/by-object-id/{made['id']}", range="bytes=1-2")
    assert (part.status_code, part.content) == (206, DATA[1:3])
    assert client.get(f"/v1/blobs/by-object-id/{made['id']}?x=1").status_code == 400
    for other in ("0x5", str(net.world.genesis.system_object)):
        assert refusal(client.get(f"/v1/blobs/by-object-id/{other}")) == OPAQUE


def test_a_stream_says_so(client: Any, blob: str) -> None:
    answer = client.get(f"/v1alpha/blobs/{blob}/stream")
    assert (answer.content, answer.headers["x-walrus-streaming"], answer.headers["etag"]) == (DATA, "true", blob)
    assert answer.headers["content-length"] == str(len(DATA))


def test_concat_joins_blobs_and_objects_in_chunks(client: Any) -> None:
    first = client.blob(b"first ")
    second = client.store(b"second")["newlyCreated"]["blobObject"]["id"]
    tag = base64.urlsafe_b64encode(hashlib.sha256(f"{first},{second}".encode()).digest()).rstrip(b"=").decode()
    for answer in (
        client.get(f"/v1alpha/blobs/concat?ids={first},{second}"),
        client.http.post("/v1alpha/blobs/concat", json={"ids": [first, second], "strict_consistency_check": True}),
    ):
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, b"first second", tag)
        assert "content-length" not in answer.headers
        assert answer.headers["transfer-encoding"] == "chunked"


def test_concat_breaks_off_at_a_blob_that_is_missing(client: Any, connect: Any) -> None:
    first, third = client.blob(b"first "), client.blob(b"third")
    raw = connect().send("GET", f"/v1alpha/blobs/concat?ids={first},{NOWHERE},{third}").answer()
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == b"6\r\nfirst \r\n"  # no last chunk


@pytest.mark.parametrize(
    ("query", "status", "start"),
    [
        ("", 400, "Failed to deserialize query string"),
        ("ids=", 400, "at least one blob ID or object ID must be provided"),
        (f"ids={NOWHERE}&skip_consistency_check=true", 400, "Failed to deserialize query string"),
    ],
)
def test_concat_refuses_as_text(client: Any, query: str, status: int, start: str) -> None:
    answer = client.get(f"/v1alpha/blobs/concat?{query}")
    assert answer.status_code == status
    assert answer.text.startswith(start)


def test_concat_tells_bad_ids_from_objects_it_cannot_find(client: Any, refusal: Any) -> None:
    bad = refusal(client.get("/v1alpha/blobs/concat?ids=nobody"))
    assert bad == (400, "INVALID_ARGUMENT", DOMAIN, "INVALID_ID_FORMAT")
    missing = refusal(client.get(f"/v1alpha/blobs/concat?ids=0x{'1' * 64}"))
    assert missing == (404, "NOT_FOUND", DOMAIN, "OBJECT_ID_RESOLUTION_FAILED")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 422),
        (b'{"ids": [1]}', "application/json", 422),
        (b'{"ids": ["a"], "x": 1}', "application/json", 422),
        (b'{"ids": ["a"], "skip_consistency_check": "no"}', "application/json", 422),
        (b'{"ids": ["a"]}', "text/plain", 415),
    ],
)
def test_concat_refuses_other_bodies(client: Any, body: bytes, kind: str, status: int) -> None:
    answer = client.http.post("/v1alpha/blobs/concat", content=body, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/plain")


def test_concat_posts_cannot_ask_for_both_checks(client: Any, refusal: Any, blob: str) -> None:
    body = {"ids": [blob], "strict_consistency_check": True, "skip_consistency_check": True}
    assert refusal(client.http.post("/v1alpha/blobs/concat", json=body))[3] == "INVALID_CONSISTENCY_CHECK"


# ── quilts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_patches_share_the_quilts_etag(client: Any, quilt: dict[str, str]) -> None:
    answers = [client.get(f"/v1/blobs/by-quilt-patch-id/{quilt[name]}") for name in ("a.html", "plain")]
    answers.append(client.get(f"/v1/blobs/by-quilt-id/{quilt['']}/plain"))
    assert {answer.headers["etag"] for answer in answers} == {quilt[""]}
    assert [answer.headers["x-quilt-patch-identifier"] for answer in answers] == ["a.html", "plain", "plain"]
    assert all(answer.headers["cache-control"] == CACHE for answer in answers)


def test_only_known_tags_become_headers(client: Any, quilt: dict[str, str]) -> None:
    answer = client.get(f"/v1/blobs/by-quilt-patch-id/{quilt['a.html']}")
    assert (answer.headers["content-type"], answer.headers["content-language"]) == ("text/html", "en")
    assert "rev" not in answer.headers
    echoed = client.get(f"/v1/blobs/by-quilt-patch-id/{quilt['a.html']}", accept="image/png")
    assert echoed.headers["content-type"] == "image/png"


def test_an_identifier_is_one_encoded_segment_and_hidden_when_not_ascii(client: Any, quilt: dict[str, str]) -> None:
    answer = client.get(f"/v1/blobs/by-quilt-id/{quilt['']}/dir%2F%C3%BC.txt")
    assert answer.content == b"umlaut"
    assert "x-quilt-patch-identifier" not in answer.headers
    assert client.get(f"/v1/blobs/by-quilt-id/{quilt['']}/dir/x").content == b""


def test_patches_ignore_ranges(client: Any, quilt: dict[str, str]) -> None:
    answer = client.get(f"/v1/blobs/by-quilt-patch-id/{quilt['dir/ü.txt']}", range="bytes=0-1")
    assert (answer.status_code, answer.content) == (200, b"umlaut")


def test_the_list_of_patches_is_plain_json_in_order(client: Any, quilt: dict[str, str]) -> None:
    answer = client.get(f"/v1/quilts/{quilt['']}/patches")
    assert [row["identifier"] for row in answer.json()] == ["a.html", "dir/ü.txt", "plain"]
    assert all(row.keys() == {"identifier", "patch_id", "tags"} for row in answer.json())
    assert {row["identifier"]: row["patch_id"] for row in answer.json()} == {k: v for k, v in quilt.items() if k}
    assert answer.json()[0]["tags"] == {"content-type": "text/html", "rev": "7", "Content-Language": "en"}
    assert not {"cache-control", "etag"} & answer.headers.keys()


def test_a_patch_that_is_not_in_the_quilt_is_404(client: Any, refusal: Any, quilt: dict[str, str]) -> None:
    missing = (404, "NOT_FOUND", DOMAIN, "QUILT_PATCH_NOT_FOUND")
    assert refusal(client.get(f"/v1/blobs/by-quilt-id/{quilt['']}/nobody")) == missing
    raw = base64.urlsafe_b64decode(quilt["plain"] + "==")
    other = base64.urlsafe_b64encode(raw[:33] + b"\xf0\x00\xf1\x00").rstrip(b"=").decode()
    assert refusal(client.get(f"/v1/blobs/by-quilt-patch-id/{other}")) == missing


def test_quilt_routes_on_a_plain_blob_are_the_opaque_500(client: Any, refusal: Any, blob: str) -> None:
    patch = base64.urlsafe_b64encode(base64.urlsafe_b64decode(blob + "=") + b"\x01\x01\x00\x02\x00").decode()
    for path in (f"by-quilt-id/{blob}/x", f"by-quilt-patch-id/{patch.rstrip('=')}"):
        assert refusal(client.get(f"/v1/blobs/{path}")) == OPAQUE
    assert refusal(client.get(f"/v1/quilts/{blob}/patches")) == OPAQUE


def test_a_deleted_blob_is_gone_and_a_permanent_one_outlives_its_object(client: Any, net: LocalNetwork) -> None:
    deletable, kept = (client.store(data, query)["newlyCreated"]["blobObject"]
                       for data, query in ((b"deletable", ""), (b"kept", "permanent=true")))  # fmt: skip
    net.world.chain.system_transaction([], [ObjectId.parse(made["id"]) for made in (deletable, kept)])
    assert client.get(f"/v1/blobs/{deletable['blobId']}").status_code == 404
    assert client.get(f"/v1/blobs/{kept['blobId']}").content == b"kept"
