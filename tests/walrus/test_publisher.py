"""The publisher's client against servers that answer, refuse, and break as each test says."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from walrus_sdk.errors import CODES, CodecError, ConfigurationError, ErrorClass, StorageError, WalrusError
from walrus_sdk.http.client import HttpClient, Timeouts
from walrus_sdk.model.plan import StoreKind
from walrus_sdk.model.units import BlobId, QuiltPatchId, SuiAddress
from walrus_sdk.ports import Part, StoreRequest
from walrus_sdk.walrus.aggregator import Aggregators
from walrus_sdk.walrus.body import HELD_BYTES
from walrus_sdk.walrus.publisher import Publisher, TokenProvider
from walrus_sdk.walrus.store import HttpBlobStore

pytestmark = pytest.mark.anyio

OWNER = SuiAddress(bytes(31) + b"\x05")
BLOB = BlobId(b"\x11" * 32)
OBJECT = "0x" + "ab" * 32


class Bytes:
    """Content of one chunk after another."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), 16_384):
            yield self.data[start : start + 16_384]


def part(data: bytes, identifier: str = "") -> Part:
    return Part(identifier, len(data), hashlib.sha256(data).digest(), Bytes(data))


def blob(data: bytes = b"hello") -> StoreRequest:
    return StoreRequest(StoreKind.BLOB, BLOB, (part(data),), 4, OWNER)


def created(**changes: Any) -> dict[str, Any]:
    found = {"id": OBJECT, "blobId": str(BLOB), "certifiedEpoch": None, "storage": {"endEpoch": 9}} | changes
    return {"newlyCreated": {"blobObject": found, "resourceOperation": {}, "cost": 2331000}}


def known(**changes: Any) -> dict[str, Any]:
    return {
        "alreadyCertified": {
            "blobId": str(BLOB),
            "event": {"txDigest": "x", "eventSeq": "0"},
            "endEpoch": 60,
            **changes,
        }
    }


class Story:
    """What a server saw, and whether the store was released."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.released = False

    async def release(self) -> None:
        self.released = True


async def store(
    served: Any, handler: Any, request: StoreRequest, story: Story, token: TokenProvider | None = None
) -> Any:
    # The error is carried out by hand: the server's task group would wrap it in an exception group.
    async with served(handler) as url, HttpClient() as http:
        publisher = Publisher(http, url, wall_ms=lambda: 0, token=token)
        try:
            return await publisher.store(request, story.release)
        except WalrusError as error:
            kept = error
    raise kept


def answering(story: Story, status: int, document: Any, *fields: str) -> Any:
    """Read a whole request, then answer."""

    async def handle(peer: Any) -> None:
        head = (await peer.head()).decode()
        story.heads.append(head)
        size = next(int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length"))
        story.bodies.append(await peer.body(size))
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        await peer.answer(status, body, *fields)

    return handle


async def failure(served: Any, handler: Any, story: Story, request: StoreRequest | None = None) -> WalrusError:
    with pytest.raises(WalrusError) as caught:
        await store(served, handler, request or blob(), story)
    return caught.value


# ── what is sent ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_blob_is_put_with_exactly_the_parameters_that_publishers_know(served: Any) -> None:
    story = Story()
    receipt = await store(served, answering(story, 200, created()), blob(b"hello"), story)
    line, *fields = story.heads[0].splitlines()
    assert line == f"PUT /v1/blobs?epochs=4&permanent=true&send_object_to={OWNER} HTTP/1.1"
    assert "content-type: application/octet-stream" in [field.lower() for field in fields]
    assert not any(field.lower().startswith("authorization") for field in fields)
    assert story.bodies == [b"hello"]
    assert (receipt.cost.units, receipt.end_epoch.number, str(receipt.object_id)) == (2331000, 9, OBJECT)


async def test_a_quilt_is_a_form_whose_field_names_are_the_identifiers(served: Any) -> None:
    story, names = Story(), ["/a.html", "/ünï.css"]
    patches = {name: QuiltPatchId(BLOB, n + 1, n + 2) for n, name in enumerate(names)}
    stored = [{"identifier": n, "quiltPatchId": str(p), "range": [1, 2]} for n, p in patches.items()]
    document = {"blobStoreResult": created(), "storedQuiltBlobs": stored}
    request = StoreRequest(StoreKind.QUILT, BLOB, tuple(part(n.encode(), n) for n in names), 4, OWNER)
    receipt = await store(served, answering(story, 200, document), request, story)
    assert receipt.patches == patches
    assert read_form(story) == {name: name.encode() for name in names}


def read_form(story: Story) -> dict[str, bytes]:
    """Read the form as a publisher does, with a parser of its own."""
    import python_multipart

    found: dict[str, bytes] = {}
    head = next(line for line in story.heads[0].splitlines() if line.lower().startswith("content-type"))
    fields = {"Content-Type": head.split(":", 1)[1].strip().encode()}

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        found[file.field_name.decode()] = file.file_object.read()

    import io

    python_multipart.parse_form(fields, io.BytesIO(story.bodies[0]), lambda _: None, on_file)
    return found


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "", "_metadata"])
async def test_a_name_that_a_form_would_change_is_never_sent(served: Any, name: str) -> None:
    story = Story()
    request = StoreRequest(StoreKind.QUILT, BLOB, (part(b"x", name),), 4, OWNER)
    with pytest.raises(CodecError):
        await store(served, answering(story, 200, created()), request, story)
    assert story.heads == []


async def test_the_last_bytes_wait_for_the_release(served: Any) -> None:
    story, data, seen = Story(), bytes(3 * HELD_BYTES), []

    async def handle(peer: Any) -> None:
        await peer.head()
        await peer.body(len(data) - HELD_BYTES)
        seen.append((len(peer.buffer), story.released))
        going.set()
        await peer.body(HELD_BYTES)
        await peer.answer(200, json.dumps(created()).encode())

    going = anyio.Event()

    class Waiting(Story):
        async def release(self) -> None:
            await going.wait()
            assert seen == [(0, False)], "nothing of the last chunk has left"
            story.released = True

    await store(served, handle, blob(data), Waiting())
    assert story.released


async def test_a_new_token_is_asked_for_before_each_store_and_never_shown(served: Any) -> None:
    story, given = Story(), iter(["first-secret", "second-secret"])

    async def token() -> str:
        return next(given)

    for expected in ("first-secret", "second-secret"):
        with pytest.raises(WalrusError) as caught:
            await store(served, answering(story, 401, b"no first-secret second-secret"), blob(), story, token)
        assert f"authorization: Bearer {expected}" in story.heads[-1]
        assert expected not in str(caught.value.to_dict())


async def fails(served: Any, handler: Any, story: Story, token: TokenProvider) -> WalrusError:
    with pytest.raises(WalrusError) as caught:
        await store(served, handler, blob(), story, token)
    return caught.value


async def nothing() -> None:
    return None


async def empty() -> str:
    return ""


async def broken() -> str:
    raise LookupError("s3cret")


async def hanging() -> str:
    raise TimeoutError("s3cret")


async def unusable() -> str:
    return "s3cret\r\nx: y"


async def bytes_of() -> Any:
    return b"s3cret"


@pytest.mark.parametrize("provider", [nothing, empty, broken, hanging, unusable, bytes_of])
async def test_a_provider_without_a_token_is_a_mistake_to_mend_and_nothing_is_sent(
    served: Any, provider: TokenProvider
) -> None:
    error = await fails(served, answering(story := Story(), 200, created()), story, provider)
    assert isinstance(error, ConfigurationError)
    assert (error.code, error.error_class) == ("token_refused", ErrorClass.FIX_INPUT)
    assert "token provider" in error.message
    assert "s3cret" not in "".join(traceback.format_exception(error))
    assert (story.heads, story.released) == ([], False)


async def test_a_provider_is_not_waited_for_longer_than_an_exchange(served: Any) -> None:
    async def never() -> str:
        await anyio.sleep_forever()
        return ""

    story = Story()
    async with served(answering(story, 200, created())) as url, HttpClient(timeouts=Timeouts(total_s=0.05)) as http:
        with pytest.raises(ConfigurationError, match="TimeoutError"):
            await Publisher(http, url, wall_ms=lambda: 0, token=never).store(blob(), story.release)
    assert story.heads == []


@pytest.mark.parametrize(("status", "reason"), [(429, "TOKEN_ALREADY_USED"), (504, "EXPIRED_SIGNATURE")])
async def test_a_token_that_was_refused_as_used_or_expired_is_never_sent_again(
    served: Any, status: int, reason: str
) -> None:
    given = iter(["old", "old", "new"])

    async def token() -> str:
        return next(given)

    story = Story()
    refusal = answering(story, status, structured("X", status, reason, AUTH))
    accepted = answering(story, 200, created())
    turns = iter([refusal, accepted])

    async def handle(peer: Any) -> None:
        await next(turns)(peer)

    async with served(handle) as url, HttpClient() as http:
        publisher = Publisher(http, url, wall_ms=lambda: 0, token=token)
        codes = []
        for _ in range(2):
            with pytest.raises(WalrusError) as caught:
                await publisher.store(blob(), Story().release)
            codes.append(caught.value.code)
        await publisher.store(blob(), Story().release)
    assert codes == [{429: "token_used", 504: "token_expired"}[status], "token_refused"]
    sent = [line for head in story.heads for line in head.splitlines() if line.startswith("authorization")]
    assert sent == ["authorization: Bearer old", "authorization: Bearer new"]


@pytest.mark.parametrize("status", [200, 400, 429, 500])
async def test_a_token_that_a_publisher_echoes_is_in_no_error(served: Any, status: int) -> None:
    secret = "abcdefghijklmnopqrstuvwxyz"
    echo = "x" * 60 + secret

    async def token() -> str:
        return secret

    for document in (
        echo.encode(),
        {echo: 1},
        {"newlyCreated": {echo: 1}},
        structured(echo, status, echo, echo) | {"blobStoreResult": echo},
        {"error": {"failurePhase": echo, "errorMsg": echo, "status": echo, "message": echo}},
        created(blobId=echo),
        known(endEpoch=echo),
    ):
        error = await fails(served, answering(story := Story(), status, document), story, token)
        told = str(error.to_dict()) + "".join(traceback.format_exception(error))
        assert not any(secret[:n] in told for n in range(6, 27)), document


# ── what is answered ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_certified_blob_is_told_apart_and_costs_nothing(served: Any) -> None:
    story = Story()
    receipt = await store(served, answering(story, 200, known()), blob(), story)
    assert (receipt.already_certified, receipt.cost.units, receipt.object_id) == (True, 0, None)
    assert receipt.end_epoch.number == 60


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (created(blobId=str(BlobId(b"\x12" * 32))), "blob_id_mismatch"),
        ({"error": {"blobId": None, "failurePhase": "check_blob_is_blocked", "errorMsg": "blocked"}}, "blob_blocked"),
        ({"error": {"blobId": None, "failurePhase": "certify", "errorMsg": "no result"}}, "store_failed"),
        ({"markedInvalid": {"blobId": str(BLOB), "event": {}}}, "blob_blocked"),
        ({"newlyCreated": {}}, "bad_answer"),
        ({}, "bad_answer"),
        ([], "bad_answer"),
        (b"<html>please log in</html>", "bad_answer"),
        (b'{"newlyCreated": {"blobOb', "bad_answer"),
        (known(endEpoch=-1), "bad_answer"),
        (known(blobId="nonsense"), "bad_answer"),
    ],
    ids=str,
)
async def test_a_200_is_believed_only_in_the_form_and_with_the_id_that_were_expected(
    served: Any, document: Any, code: str
) -> None:
    error = await failure(served, answering(Story(), 200, document), story := Story())
    assert error.code == code
    assert story.released


def structured(status: str, code: int, reason: str, domain: str) -> dict[str, Any]:
    info = {"@type": "ErrorInfo", "reason": reason, "domain": domain, "metadata": {}}
    return {"error": {"status": status, "code": code, "message": "why", "details": [info]}}


DAEMON, AUTH = "daemon.walrus.space", "auth.publisher.walrus.space"


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (400, structured("INVALID_ARGUMENT", 400, "INVALID_BLOB_PERSISTENCE", DAEMON), "store_refused"),
        (400, structured("INVALID_ARGUMENT", 400, "INVALID_SEND_OBJECT_TO", AUTH), "token_refused"),
        (400, b"Header of type `authorization` was missing", "token_refused"),
        (400, b"Failed to deserialize query string: unknown field", "store_refused"),
        (400, b"<p>" * 200 + b"Failed to buffer the request body: length limit exceeded", "body_too_large"),
        (401, structured("UNAUTHENTICATED", 401, "INVALID_TOKEN", AUTH), "token_refused"),
        (403, b"<html>forbidden</html>", "token_refused"),
        (403, structured("SIZE_EXCEEDED", 403, "SIZE_EXCEEDED", DAEMON), "body_too_large"),
        (404, b"", "http_error"),
        (413, b"Failed to buffer the request body: length limit exceeded", "body_too_large"),
        (429, b"the publisher is receiving too many requests; please try again later", "rate_limited"),
        (429, structured("RESOURCE_EXHAUSTED", 429, "TOKEN_ALREADY_USED", AUTH), "token_used"),
        (451, structured("UNAVAILABLE_FOR_LEGAL_REASONS", 451, "FORBIDDEN_BLOB", DAEMON), "blob_blocked"),
        (500, structured("INTERNAL", 500, "INTERNAL_ERROR", "global"), "store_failed"),
        (502, b"<html>bad gateway</html>", "store_failed"),
        (504, structured("DEADLINE_EXCEEDED", 504, "INSUFFICIENT_CONFIRMATIONS", DAEMON), "store_uncertified"),
        (504, structured("DEADLINE_EXCEEDED", 504, "EXPIRED_SIGNATURE", AUTH), "token_expired"),
        (504, b"upstream timed out", "store_failed"),
        # the same words of another service mean another thing
        (429, structured("RESOURCE_EXHAUSTED", 429, "TOKEN_ALREADY_USED", "storage.walrus.space"), "rate_limited"),
        (504, structured("DEADLINE_EXCEEDED", 504, "EXPIRED_SIGNATURE", "global"), "store_failed"),
        (504, structured("DEADLINE_EXCEEDED", 504, "INSUFFICIENT_CONFIRMATIONS", AUTH), "store_failed"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_each_refusal_has_its_meaning(served: Any, status: int, document: Any, code: str) -> None:
    error = await failure(served, answering(Story(), status, document), Story())
    assert error.code == code
    assert error.fields["http_status"] == status


@pytest.mark.parametrize("status", [*range(400, 418), *range(500, 512)])
async def test_every_status_has_a_meaning_and_a_server_error_after_the_release_wants_a_look(
    served: Any, status: int
) -> None:
    error = await failure(served, answering(Story(), status, b"?"), Story())
    assert error.code in CODES
    if status >= 500:
        assert error.error_class is ErrorClass.LOOK_FIRST


async def test_the_wait_that_a_service_asks_for_is_kept(served: Any) -> None:
    error = await failure(served, answering(Story(), 429, b"busy", "retry-after: 17"), Story())
    assert error.fields["retry_after"] == 17


@pytest.mark.parametrize("status", [400, 401, 413, 429, 500, 503])
async def test_an_early_answer_ends_the_sending_and_nothing_was_stored(served: Any, status: int) -> None:
    async def handle(peer: Any) -> None:
        await peer.head()
        await peer.answer(status, b"no")
        await peer.hang()

    error = await failure(served, handle, story := Story(), blob(bytes(5_000_000)))
    assert not story.released
    assert error.error_class is not ErrorClass.LOOK_FIRST


@pytest.mark.parametrize("how", ["close", "half an answer"])
async def test_an_answer_that_is_lost_after_the_last_byte_wants_a_look(served: Any, how: str) -> None:
    async def handle(peer: Any) -> None:
        await peer.head()
        await peer.body(5)
        if how != "close":
            await peer.stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")

    error = await failure(served, handle, story := Story())
    assert story.released
    assert error.error_class is ErrorClass.LOOK_FIRST


async def test_a_line_that_breaks_before_the_last_chunk_means_not_stored(served: Any) -> None:
    async def handle(peer: Any) -> None:
        await peer.head()
        await peer.body(1000)

    error = await failure(served, handle, story := Story(), blob(bytes(20_000_000)))
    assert not story.released
    assert error.error_class is ErrorClass.RETRY


async def test_a_structured_error_says_its_reason_however_much_stands_around_it(served: Any) -> None:
    document = structured("RESOURCE_EXHAUSTED", 429, "TOKEN_ALREADY_USED", AUTH)
    document["error"]["details"].insert(0, {"@type": "DebugInfo", "stackEntries": ["x" * 12_000]})
    error = await failure(served, answering(Story(), 429, document), Story())
    assert (error.code, error.fields["reason"]) == ("token_used", "TOKEN_ALREADY_USED")


# ── several publishers ────────────────────────────────────────────────────────────────────────────────────────────


async def test_another_publisher_is_asked_only_while_nothing_was_released(served: Any) -> None:
    first, second, story = Story(), Story(), Story()

    async def refuse(peer: Any) -> None:
        first.heads.append((await peer.head()).decode())
        await peer.answer(503, b"down")

    async with served(refuse) as one, served(answering(second, 200, created())) as two, HttpClient() as http:
        publishers = [Publisher(http, url, wall_ms=lambda: 0) for url in (one, two)]
        chosen = HttpBlobStore(publishers, Aggregators(http, [], wall_ms=lambda: 0))
        await chosen.store(blob(bytes(3_000_000)), story.release)
    assert (len(first.heads), len(second.heads)) == (1, 1)
    lost, third = Story(), Story()
    async with (
        served(answering(lost, 500, b"?")) as one,
        served(answering(third, 200, created())) as two,
        HttpClient() as http,
    ):
        publishers = [Publisher(http, url, wall_ms=lambda: 0) for url in (one, two)]
        chosen = HttpBlobStore(publishers, Aggregators(http, [], wall_ms=lambda: 0))
        with pytest.raises(StorageError):
            await chosen.store(blob(), Story().release)
    assert third.heads == [], "what the first may have stored is looked up first"


async def test_a_store_goes_to_the_publisher_that_is_asked_for_and_says_which_one_took_it(served: Any) -> None:
    first, second = Story(), Story()

    async def refuse(peer: Any) -> None:
        first.heads.append((await peer.head()).decode())
        await peer.answer(503, b"down", "retry-after: 60")

    async with served(refuse) as one, served(answering(second, 200, created())) as two, HttpClient() as http:
        publishers = [Publisher(http, url, wall_ms=lambda: 0) for url in (one, two)]
        chosen = HttpBlobStore(publishers, Aggregators(http, [], wall_ms=lambda: 0))
        assert chosen.publishers == 2
        data = bytes(3_000_000)
        receipts = [await chosen.store(blob(data), Story().release, at=at) for at in (1, 0, 0)]
    assert [receipt.publisher for receipt in receipts] == [1, 1, 1]
    assert len(first.heads) == 1, "it asked to be left alone, and there is another one"
