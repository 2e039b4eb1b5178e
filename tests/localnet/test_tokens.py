"""An authenticated publisher: the order of its checks, and tokens that are spent by the attempt."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

from walrus_sdk.codecs import quilt
from walrus_sdk.localnet.faults import Shape
from walrus_sdk.localnet.http_walrus.queries import store_query
from walrus_sdk.localnet.http_walrus.tokens import Tokens, sign_token
from walrus_sdk.localnet.replies import Answered
from walrus_sdk.localnet.server import LocalNetwork

SECRET = "a secret of tests"
AUTH = "auth.publisher.walrus.space"
USED = (429, "RESOURCE_EXHAUSTED", AUTH, "TOKEN_ALREADY_USED")
OTHER = "0x" + "ab" * 32
_numbers = itertools.count()


def token(secret: str = SECRET, **claims: Any) -> dict[str, str]:
    base = {"exp": int(time.time()) + 600, "jti": f"t{next(_numbers)}"}
    wanted = {name: value for name, value in (base | claims).items() if value is not ...}
    return {"authorization": f"Bearer {sign_token(wanted, secret)}"}


@pytest.fixture
def guarded(client: Any, net: LocalNetwork) -> Any:
    net.faults.reshape(jwt_secret=SECRET, jwt_verify_upload=True)
    return client


def test_a_token_lets_one_store_in_and_is_then_spent(guarded: Any, refusal: Any) -> None:
    bearer = token()
    assert guarded.put(headers=bearer).status_code == 200
    assert refusal(guarded.put(headers=bearer)) == USED


def test_reads_need_no_token(guarded: Any) -> None:
    answer = guarded.put(headers=token())
    blob_id = answer.json()["newlyCreated"]["blobObject"]["blobId"]
    assert guarded.get(f"/v1/blobs/{blob_id}").status_code == 200


@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer"}])
def test_a_missing_bearer_is_400_as_text(guarded: Any, headers: dict[str, str]) -> None:
    answer = guarded.put(headers=headers)
    assert (answer.status_code, answer.text) == (400, "Header of type `authorization` was missing")


def test_the_query_is_read_before_the_token(guarded: Any) -> None:
    bearer = token()
    assert guarded.put(query="cb=1").text.startswith("Failed to deserialize query string")
    assert guarded.put(query="cb=1", headers=bearer).status_code == 400
    assert guarded.put(headers=bearer).status_code == 200


@pytest.mark.parametrize(
    ("claims", "refused"),
    [
        ({"exp": 1}, (504, "DEADLINE_EXCEEDED", AUTH, "EXPIRED_SIGNATURE")),
        ({"exp": ...}, (400, "INVALID_ARGUMENT", AUTH, "INVALID_TOKEN")),
        ({"jti": ...}, (400, "INVALID_ARGUMENT", AUTH, "INVALID_TOKEN")),
        ({"jti": 7}, (400, "INVALID_ARGUMENT", AUTH, "INVALID_TOKEN")),
        ({"exp": "soon"}, (400, "INVALID_ARGUMENT", AUTH, "INVALID_TOKEN")),
        ({"size": "5"}, (400, "INVALID_ARGUMENT", AUTH, "INVALID_TOKEN")),
        ({"max_size": -1}, (400, "INVALID_ARGUMENT", AUTH, "INVALID_TOKEN")),
        ({"send_object_to": "nobody"}, (400, "INVALID_ARGUMENT", AUTH, "INVALID_TOKEN")),
        ({"size": 5, "max_size": 5}, (400, "INVALID_ARGUMENT", AUTH, "INCONSISTENT_TOKEN")),
        ({"epochs": 1, "max_epochs": 1}, (400, "INVALID_ARGUMENT", AUTH, "INCONSISTENT_TOKEN")),
        ({"epochs": 2}, (400, "INVALID_ARGUMENT", AUTH, "INVALID_EPOCHS")),
        ({"max_epochs": 0}, (400, "INVALID_ARGUMENT", AUTH, "INVALID_EPOCHS")),
        ({"send_object_to": OTHER}, (400, "INVALID_ARGUMENT", AUTH, "INVALID_SEND_OBJECT_TO")),
        ({"size": 6}, (400, "INVALID_ARGUMENT", AUTH, "INVALID_SIZE")),
        ({"max_size": 4}, (400, "INVALID_ARGUMENT", AUTH, "INVALID_SIZE")),
    ],
)
def test_a_claim_is_refused_by_its_own_reason(
    guarded: Any, refusal: Any, net: LocalNetwork, claims: dict[str, Any], refused: Any
) -> None:
    assert refusal(guarded.put(b"hello", headers=token(**claims))) == refused
    assert net.ledger() == []


@pytest.mark.parametrize(
    ("claims", "query"),
    [({"epochs": 1}, ""), ({"epochs": 3}, "epochs=3"), ({"max_epochs": 3}, "epochs=2"), ({"size": 5}, ""),
     ({"max_size": 5}, ""), ({"send_object_to": OTHER}, f"send_object_to={OTHER.upper().replace('X', 'x')}")],
)  # fmt: skip
def test_claims_that_hold_let_the_store_in(guarded: Any, claims: dict[str, Any], query: str) -> None:
    assert guarded.put(b"hello", query, headers=token(**claims)).status_code == 200


def test_a_malformed_address_is_caught_by_the_tokens_claim(guarded: Any, refusal: Any) -> None:
    answer = guarded.put(query="send_object_to=oops", headers=token(send_object_to=OTHER))
    assert refusal(answer)[3] == "INVALID_SEND_OBJECT_TO"


def test_a_wrong_signature_is_401(guarded: Any, refusal: Any) -> None:
    assert refusal(guarded.put(headers=token("another secret"))) == (401, "UNAUTHENTICATED", AUTH, "INVALID_SIGNATURE")


@pytest.mark.parametrize("text", ["abc", "a.b.c", "W10.W10.W10", "....", "é"])
def test_what_is_no_token_is_invalid(guarded: Any, refusal: Any, text: str) -> None:
    answer = guarded.put(headers={"authorization": f"Bearer {text}".encode("latin-1")})
    assert refusal(answer)[3] == "INVALID_TOKEN"


def test_a_refused_claim_gives_the_token_back(guarded: Any, refusal: Any) -> None:
    bearer = token(epochs=2)
    assert refusal(guarded.put(headers=bearer))[3] == "INVALID_EPOCHS"
    assert guarded.put(query="epochs=2", headers=bearer).status_code == 200


@pytest.mark.parametrize(
    "spend",
    [
        lambda client, bearer: client.fault("publisher.request", "too_many_requests", times=1),
        lambda client, bearer: client.fault("publisher.body", "error", times=1),
        lambda client, bearer: client.fault("publisher.after_pay", "error", times=1, status=504),
        lambda client, bearer: client.net.faults.reshape(max_blob_body=1),
    ],
    ids=["429", "500", "504", "413"],
)
def test_a_token_is_burnt_by_any_later_failure(guarded: Any, refusal: Any, spend: Callable[[Any, Any], None]) -> None:
    bearer = token()
    spend(guarded, bearer)
    assert guarded.put(headers=bearer).status_code in (413, 429, 500, 504)
    assert refusal(guarded.put(headers=bearer)) == USED


def test_a_body_of_the_wrong_size_burns_the_token_when_its_length_was_not_said(guarded: Any, refusal: Any) -> None:
    bearer = token(max_size=4)
    answer = guarded.http.put("/v1/blobs", content=iter([b"hel", b"lo"]), headers=bearer)
    assert refusal(answer)[3] == "INVALID_SIZE"
    assert refusal(guarded.put(b"hell", headers=bearer)) == USED


def test_without_upload_checks_only_the_read_size_counts(guarded: Any, refusal: Any, net: LocalNetwork) -> None:
    net.faults.reshape(jwt_verify_upload=False)
    assert guarded.put(headers=token(epochs=9, send_object_to=OTHER)).status_code == 200
    bearer = token(size=4)
    assert refusal(guarded.put(b"hello", headers=bearer))[3] == "INVALID_SIZE"
    assert refusal(guarded.put(b"hell", headers=bearer)) == USED


def test_a_lifetime_that_the_server_fixes_must_be_met(guarded: Any, refusal: Any, net: LocalNetwork) -> None:
    net.faults.reshape(jwt_expiring_s=300)
    now = int(time.time())
    assert refusal(guarded.put(headers=token()))[3] == "INVALID_EXPIRATION"
    assert refusal(guarded.put(headers=token(iat=now, exp=now + 301)))[3] == "INVALID_EXPIRATION"
    assert guarded.put(headers=token(iat=now, exp=now + 300)).status_code == 200


def test_a_quilt_is_measured_as_a_form_and_then_as_a_quilt(guarded: Any, refusal: Any, net: LocalNetwork) -> None:
    files = [("a", b"x" * 3000)]
    size = quilt.layout_of([quilt.QuiltFile("a", b"x" * 3000, {})], 10).blob_size
    assert size > 3400
    assert refusal(guarded.quilt(files, headers=token(max_size=size - 1)))[3] == "INVALID_SIZE"
    assert net.ledger() == []
    assert guarded.quilt(files, headers=token(max_size=size)).status_code == 200
    assert refusal(guarded.quilt(files, headers=token(max_size=2999)))[3] == "INVALID_SIZE"


def test_tokens_come_before_overload(guarded: Any, refusal: Any) -> None:
    guarded.fault("publisher.request", "too_many_requests")
    assert refusal(guarded.put(headers=token("another secret")))[3] == "INVALID_SIGNATURE"
    answer = guarded.put(headers=token())
    assert answer.text == "the publisher is receiving too many requests; please try again later"


def test_tokens_are_forgotten_when_they_have_expired() -> None:
    now = [1000.0]
    tokens, shape = Tokens(lambda: now[0]), Shape(jwt_secret=SECRET)
    bearer = f"Bearer {sign_token({'exp': 1100, 'jti': 'one'}, SECRET)}"
    longer = f"Bearer {sign_token({'exp': 9999, 'jti': 'one'}, SECRET)}"
    tokens.check(bearer, shape, store_query(""), None)
    now[0] = 1159.0
    with pytest.raises(Answered) as caught:
        tokens.check(longer, shape, store_query(""), None)
    assert caught.value.response.status_code == 429
    now[0] = 1161.0
    tokens.check(longer, shape, store_query(""), None)


def test_a_token_is_taken_a_minute_after_its_end() -> None:
    now = [1160.0]
    tokens, shape = Tokens(lambda: now[0]), Shape(jwt_secret=SECRET)
    tokens.check(f"Bearer {sign_token({'exp': 1100, 'jti': 'a'}, SECRET)}", shape, store_query(""), None)
    now[0] = 1160.5
    with pytest.raises(Answered) as caught:
        tokens.check(f"Bearer {sign_token({'exp': 1100, 'jti': 'b'}, SECRET)}", shape, store_query(""), None)
    assert caught.value.response.status_code == 504


def test_a_full_memory_of_tokens_is_the_opaque_500() -> None:
    tokens, shape = Tokens(lambda: 1000.0), Shape(jwt_secret=SECRET)
    for number in range(10_000):
        tokens._used[str(number)] = 5000.0
    with pytest.raises(Answered) as caught:
        tokens.check(f"Bearer {sign_token({'exp': 1100, 'jti': 'x'}, SECRET)}", shape, store_query(""), None)
    assert caught.value.response.status_code == 500
