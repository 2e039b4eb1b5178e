"""The publisher's store of one blob: queries, answers, prices, and what it refuses in which words."""

from __future__ import annotations

from typing import Any

import pytest

from walrus_sdk.codecs import objects, redstuff
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.model.units import BlobId, ObjectId

OTHER = "0x" + "ab" * 32
BLOB = redstuff.blob_id(b"hello", 10)
OPAQUE = (500, "INTERNAL", "global", "INTERNAL_ERROR")


def created(answer: dict[str, Any]) -> dict[str, Any]:
    assert list(answer) == ["newlyCreated"]
    found: dict[str, Any] = answer["newlyCreated"]
    return found


def test_status_is_text_ok(client: Any) -> None:
    answer = client.get("/status")
    assert (answer.status_code, answer.text) == (200, "OK")
    head = client.http.head("/status")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "2")


@pytest.mark.parametrize("path", ["/v2/blobs", "/v1", "/v1/blobs/", "/v1/blobs/a/b", "/nowhere", "/v1/quilts/x"])
def test_an_unknown_route_is_404_with_an_empty_body(client: Any, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.content) == (404, b"")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/status", {"GET", "HEAD"}),
        ("GET", "/v1/blobs", {"PUT"}),
        ("POST", "/v1/quilts", {"PUT"}),
        ("DELETE", "/v1/blobs/" + "A" * 43, {"GET", "HEAD"}),
        ("PUT", "/v1alpha/blobs/concat", {"GET", "HEAD", "POST"}),
    ],
)
def test_a_wrong_method_is_405_with_allow(client: Any, method: str, path: str, allow: set[str]) -> None:
    answer = client.http.request(method, path)
    assert (answer.status_code, answer.content) == (405, b"")
    assert set(answer.headers["allow"].split(",")) == allow


def test_every_answer_may_be_read_by_scripts_of_any_origin(client: Any) -> None:
    assert client.put().headers["access-control-allow-origin"] == "*"
    assert client.put(query="cb=1").headers["access-control-allow-origin"] == "*"
    answer = client.http.options("/v1/blobs")
    assert (answer.status_code, answer.headers["access-control-max-age"]) == (200, "86400")


@pytest.mark.parametrize(
    "query",
    [
        "cb=1",
        "end_epoch=5",
        "epochs=abc",
        "epochs=-1",
        "epochs=",
        "epochs=4294967296",
        "epochs=1&epochs=1",
        "permanent=1",
        "permanent=True",
        "permanent=",
        "permanent",
        "force=yes",
        "deletable=0",
        "encoding_type=RS3",
        f"send_object_to={OTHER}&share=true",
        f"share=false&send_object_to={OTHER}",
        "permanent=true&permanent=true",
    ],
)
def test_a_strict_query_is_refused_as_text(client: Any, query: str, net: LocalNetwork) -> None:
    answer = client.put(query=query)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith("Failed to deserialize query string: ")
    assert net.ledger() == []


def test_permanent_and_deletable_exclude_each_other(client: Any, refusal: Any) -> None:
    answer = client.put(query="permanent=true&deletable=true")
    assert refusal(answer) == (400, "INVALID_ARGUMENT", "daemon.walrus.space", "INVALID_BLOB_PERSISTENCE")


def test_a_store_answers_with_every_field_of_the_official_one(client: Any, net: LocalNetwork) -> None:
    found = created(client.store(b"seventeen bytes!!", "epochs=5"))
    blob_id = str(redstuff.blob_id(b"seventeen bytes!!", 10))
    encoded = redstuff.encoded_size(17, 10)
    blob = found["blobObject"]
    storage = blob.pop("storage")
    object_id = blob.pop("id")
    assert blob == {
        "registeredEpoch": 1, "blobId": blob_id, "size": 17, "encodingType": "RS2", "certifiedEpoch": 1,
        "deletable": True,
    }  # fmt: skip
    assert storage.pop("id") != object_id
    assert storage == {"startEpoch": 1, "endEpoch": 6, "storageSize": encoded}
    assert found["resourceOperation"] == {"registerFromScratch": {"encodedLength": encoded, "epochsAhead": 5}}
    assert found.keys() == {"blobObject", "resourceOperation", "cost"}
    units = -(-encoded // 2**20)
    assert found["cost"] == units * 7000 * 5 + units * 2000
    assert net.ledger() == [
        {"kind": "blob", "blob_id": blob_id, "paid": True, "cost_frost": found["cost"], "bytes_received": 17,
         "owner": str(net.world.genesis.publisher)}
    ]  # fmt: skip


def test_epochs_are_one_by_default(client: Any) -> None:
    assert created(client.store())["blobObject"]["storage"]["endEpoch"] == 2


@pytest.mark.parametrize("epochs", [0, 54, 4294967295])
def test_epochs_out_of_range_are_the_opaque_500_and_cost_nothing(
    client: Any, refusal: Any, net: LocalNetwork, epochs: int
) -> None:
    assert refusal(client.put(query=f"epochs={epochs}")) == OPAQUE
    assert net.ledger() == []


def test_the_longest_lifetime_is_accepted(client: Any) -> None:
    assert created(client.store(query="epochs=53"))["blobObject"]["storage"]["endEpoch"] == 54


def test_an_empty_body_is_stored(client: Any) -> None:
    blob_id = client.blob(b"")
    answer = client.get(f"/v1/blobs/{blob_id}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.get(f"/v1/blobs/{blob_id}", range="bytes=0-0").status_code == 416


def test_a_chunked_body_is_stored(client: Any) -> None:
    answer = client.http.put("/v1/blobs", content=iter([b"in ", b"parts"]))
    assert client.get(f"/v1/blobs/{answer.json()['newlyCreated']['blobObject']['blobId']}").content == b"in parts"


def test_a_deletable_store_of_the_same_bytes_buys_again(client: Any, net: LocalNetwork) -> None:
    first, second = created(client.store()), created(client.store())
    assert first["blobObject"]["blobId"] == second["blobObject"]["blobId"]
    assert first["blobObject"]["id"] != second["blobObject"]["id"]
    assert [row["paid"] for row in net.ledger()] == [True, True]


def test_a_permanent_copy_that_lives_long_enough_is_reused(client: Any, net: LocalNetwork) -> None:
    first = created(client.store(query="permanent=true&epochs=5"))
    assert first["blobObject"]["deletable"] is False
    found = client.store(query=f"permanent=true&epochs=5&send_object_to={OTHER}")
    assert list(found) == ["alreadyCertified"]
    already = found["alreadyCertified"]
    assert already.keys() == {"blobId", "event", "endEpoch"}
    assert (already["blobId"], already["endEpoch"]) == (first["blobObject"]["blobId"], 6)
    assert already["event"]["eventSeq"] == "0"
    assert [(row["paid"], row["cost_frost"]) for row in net.ledger()] == [(True, first["cost"]), (False, 0)]
    assert list(net.world.chain.objects.ids_of(bytes.fromhex(OTHER[2:]))) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("permanent=true&epochs=5", "permanent=true&epochs=6"),
        ("permanent=true&epochs=5", "permanent=true&epochs=5&force=true"),
        ("permanent=true&epochs=5", "epochs=5"),
        ("epochs=5", "permanent=true&epochs=5"),
    ],
    ids=["too short", "forced", "deletable asked", "deletable there"],
)
def test_other_copies_are_not_reused(client: Any, first: str, second: str) -> None:
    created(client.store(query=first))
    created(client.store(query=second))


def test_an_expired_copy_is_not_reused(client: Any, net: LocalNetwork) -> None:
    created(client.store(query="permanent=true&epochs=2"))
    net.world.chain.advance_walrus_epoch(1)
    assert list(client.store(query="permanent=true&epochs=1")) == ["alreadyCertified"]
    net.world.chain.advance_walrus_epoch(1)
    assert created(client.store(query="permanent=true&epochs=1"))["blobObject"]["storage"]["startEpoch"] == 3


def test_a_copy_that_was_paid_but_never_certified_is_not_reused(client: Any) -> None:
    client.fault("publisher.after_pay", "error", times=1)
    assert client.put(query="permanent=true&epochs=5").status_code == 500
    created(client.store(query="permanent=true&epochs=5"))


def test_the_publishers_own_deletable_copy_is_reused_when_asked(client: Any) -> None:
    first = created(client.store())["blobObject"]
    found = client.store(query="reuse_resources=true")["alreadyCertified"]
    assert found == {"blobId": first["blobId"], "object": first["id"], "endEpoch": 2}


def test_a_registration_that_was_never_certified_is_finished_without_a_payment_when_asked(
    client: Any, net: LocalNetwork
) -> None:
    client.fault("publisher.after_pay", "error", times=1)
    assert client.put(query="permanent=true&epochs=5").status_code == 500
    (left,) = net.world.blobs.registrations(str(BLOB))
    for other in ("permanent=true&epochs=6", "epochs=5"):
        client.fault("publisher.after_pay", "error", times=1)
        client.put(query=f"{other}&reuse_resources=true")
        assert net.ledger()[-1]["paid"], "too short, or of the other kind"
    found = created(client.store(query=f"permanent=true&epochs=4&reuse_resources=true&send_object_to={OTHER}"))
    assert found["blobObject"]["storage"]["endEpoch"] >= left.end_epoch
    assert (found["cost"], list(found["resourceOperation"])) == (0, ["reuseRegistration"])
    assert found["resourceOperation"]["reuseRegistration"] == {"encodedLength": redstuff.encoded_size(5, 10)}
    assert owner_of(net, found["blobObject"]["id"]) == OTHER
    assert [row["paid"] for row in net.ledger()] == [True, True, True, False]


def test_a_store_whose_registration_another_one_took_and_gave_away_fails(
    client: Any, net: LocalNetwork, connect: Any, until: Any
) -> None:
    client.fault("publisher.after_pay", "latency", times=1, latency_s=1.5)
    first = connect().send("PUT", "/v1/blobs", b"hello", connection="close")
    until(net.ledger)
    found = created(client.store(query=f"reuse_resources=true&send_object_to={OTHER}"))
    assert list(found["resourceOperation"]) == ["reuseRegistration"]
    assert first.answer().startswith(b"HTTP/1.1 500 ")
    assert [row["paid"] for row in net.ledger()] == [True, False]


def test_a_copy_that_was_given_away_is_not_reused(client: Any) -> None:
    created(client.store(query=f"send_object_to={OTHER}"))
    created(client.store(query="reuse_resources=true"))


def owner_of(net: LocalNetwork, object_id: str) -> str:
    item = net.world.chain.objects.get(ObjectId.parse(object_id))
    assert item is not None
    return "0x" + item.owner.id.hex()


def test_an_object_is_sent_to_its_address(client: Any, net: LocalNetwork) -> None:
    found = created(client.store(query=f"send_object_to={OTHER}"))
    assert owner_of(net, found["blobObject"]["id"]) == OTHER
    assert net.ledger()[0]["owner"] == OTHER


@pytest.mark.parametrize("address", ["0xzz", "nobody", "", "0x" + "0" * 65])
def test_a_malformed_address_is_swallowed_and_the_publisher_keeps_the_object(
    client: Any, net: LocalNetwork, address: str
) -> None:
    found = created(client.store(query=f"send_object_to={address}"))
    assert owner_of(net, found["blobObject"]["id"]) == str(net.world.genesis.publisher)


def test_a_store_that_was_not_certified_leaves_its_object_with_the_publisher(client: Any, net: LocalNetwork) -> None:
    client.fault("publisher.after_pay", "error")
    client.put(query=f"send_object_to={OTHER}")
    assert list(net.world.chain.objects.ids_of(bytes.fromhex(OTHER[2:]))) == []
    (id_,) = net.world.chain.objects.ids_of(net.world.genesis.publisher.raw)
    item = net.world.chain.objects.get(id_)
    assert item is not None
    assert objects.decode_blob(item.contents).certified_epoch is None


def test_sharing_wraps_even_a_deletable_blob(client: Any, net: LocalNetwork) -> None:
    found = created(client.store(query="share=true"))
    shared = net.world.chain.objects.get(ObjectId.parse(found["sharedBlobObject"]))
    assert shared is not None
    assert (shared.owner.kind, shared.type.rsplit("::", 1)[1]) == ("Shared", "SharedBlob")
    assert net.world.chain.objects.get(ObjectId.parse(found["blobObject"]["id"])) is None
    assert client.get(f"/v1/blobs/by-object-id/{found['sharedBlobObject']}").content == b"hello"


@pytest.mark.parametrize("query", ["share=false", "share=maybe"])
def test_anything_but_true_shares_nothing(client: Any, query: str) -> None:
    assert "sharedBlobObject" not in created(client.store(query=query))


def test_any_quilt_version_means_the_first(client: Any) -> None:
    created(client.store(query="quilt_version=nine&encoding_type=RS2"))


def test_a_blob_over_the_limit_is_413_as_text(client: Any, net: LocalNetwork) -> None:
    net.faults.reshape(max_blob_body=1000)
    assert client.put(b"x" * 1000).status_code == 200
    answer = client.put(b"x" * 1001)
    assert answer.status_code == 413
    assert answer.text == "Failed to buffer the request body: length limit exceeded"
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(net.ledger()) == 1


def test_the_blob_id_is_that_of_the_network(client: Any) -> None:
    data = bytes(range(256)) * 40
    assert BlobId.parse(client.blob(data)) == redstuff.blob_id(data, 10)


def test_sink_mode_only_counts_bytes(client: Any, net: LocalNetwork) -> None:
    net.faults.reshape(sink=True)
    assert list(client.store(b"x" * 5000)) == ["alreadyCertified"]
    (row,) = net.ledger()
    assert (row["kind"], row["paid"], row["bytes_received"]) == ("blob", False, 5000)


def test_a_blob_too_large_to_encode_is_200_with_an_error(client: Any, net: LocalNetwork) -> None:
    found = client.store(bytes(redstuff.max_blob_size(10) + 1))
    assert list(found) == ["error"]
    assert found["error"]["blobId"] is None
    assert net.ledger() == []


def test_storage_that_is_over_before_the_blob_is_certified_is_paid_in_vain(
    client: Any, net: LocalNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay = net.world.blobs.pay

    def slow(*args: Any, **more: Any) -> Any:
        made = pay(*args, **more)
        net.world.chain.advance_walrus_epoch(1)
        return made

    monkeypatch.setattr(net.world.blobs, "pay", slow)
    answer = client.put(b"late", query="epochs=1")
    assert answer.status_code == 500
    assert [row["paid"] for row in net.ledger()] == [True]
    assert client.get(f"/v1/blobs/{redstuff.blob_id(b'late', 10)}").status_code in (404, 503)
