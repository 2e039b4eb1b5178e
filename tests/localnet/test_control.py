"""What its owner may do: with the token, from this machine, never from a browser; and a state that survives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from walrus_sdk.codecs import ids, objects
from walrus_sdk.codecs.text import from_base64
from walrus_sdk.codecs.type_tags import PrimitiveTag
from walrus_sdk.errors import ConfigurationError
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.localnet.world import open_world
from walrus_sdk.model.units import BlobId, ObjectId, SuiAddress

OTHER = "0x" + "ab" * 32


@pytest.mark.parametrize("token", ["", "wrong", b"\xe9\xe9"])
def test_without_the_token_nothing_is_told(client: Any, token: Any) -> None:
    for method, what in (("GET", "status"), ("GET", "ledger"), ("POST", "stop"), ("GET", "nowhere")):
        answer = client.http.request(method, f"/_localnet/{what}", headers={"x-localnet-token": token})
        assert answer.status_code == 401
        assert client.net.token not in answer.text


def test_a_missing_token_is_refused(client: Any) -> None:
    assert client.get("/_localnet/status").status_code == 401


@pytest.mark.parametrize("host", ["example.com", "localhost.evil.test", "10.0.0.1:80", "127.0.0.1.nip.io", ""])
def test_another_host_is_refused_even_with_the_token(client: Any, host: str) -> None:
    assert client.control("GET", "status", host=host).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1234"])
def test_this_machines_names_are_accepted(client: Any, host: str) -> None:
    assert client.control("GET", "status", host=host).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://127.0.0.1"])
def test_a_browser_is_refused_even_with_the_token(client: Any, origin: str) -> None:
    answer = client.control("GET", "status", origin=origin)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert client.http.options("/_localnet/status", headers={"origin": origin}).status_code == 403


def test_status_tells_chain_and_instance(client: Any, net: LocalNetwork) -> None:
    found = client.control("GET", "status").json()
    assert (found["instance"], found["n_shards"], found["walrus_epoch"]) == (net.instance, 10, 1)
    assert found["chain_id"] == net.network.chain_id
    for name in ("call_package", "type_package", "redirects_package", "system_object", "staking_object"):
        assert found[name] == str(getattr(net.network, name))


@pytest.mark.parametrize(
    "data",
    [
        [], "rules", 7, {"rules": {}}, {"rules": [1]}, {"rules": [{"point": "publisher.body"}]},
        {"rules": [{"point": "nowhere", "action": "drop"}]}, {"rules": [{"point": "*", "action": "explode"}]},
        {"rules": [{"point": "*", "action": "drop", "surprise": 1}]},
        {"rules": [{"point": "*", "action": "drop", "times": "two"}]},
        {"rules": [{"point": "*", "action": "drop", "times": -1}]},
        {"rules": [{"point": "*", "action": "drop", "probability": 1.5}]},
        {"rules": [{"point": "*", "action": "latency", "latency_s": -1}]},
        {"rules": [{"point": "*", "action": "error", "status": 99}]},
        {"rules": [{"point": "*", "action": "error", "kind": "xml"}]},
        {"rules": [{"point": "aggregator.request", "action": "wrong_blob_id"}]},
        {"rules": [{"point": "publisher.*", "action": "lag"}]},
        {"shape": []}, {"shape": {"slots": 0}}, {"shape": {"slots": True}}, {"shape": {"speed": 1}},
        {"shape": {"on_disconnect": "maybe"}}, {"shape": {"latency_s": -0.1}}, {"shape": {"max_blob_body": -1}},
        {"rule": []},
    ],
    ids=repr,
)  # fmt: skip
def test_bad_faults_are_refused_and_change_nothing(client: Any, net: LocalNetwork, data: Any) -> None:
    client.fault("publisher.body", "latency")
    before = net.faults.to_json()
    answer = client.control("PUT", "faults", data)
    assert answer.status_code == 400
    assert answer.json().keys() == {"code", "message"}
    assert net.faults.to_json() == before


@pytest.mark.parametrize(
    "text", [b"{", b"\xff", b'{"shape": {"latency_s": NaN}}', b'{"shape": {"latency_s": Infinity}}']
)
def test_what_is_no_json_is_refused(client: Any, net: LocalNetwork, text: bytes) -> None:
    headers = {"x-localnet-token": net.token}
    assert client.http.put("/_localnet/faults", content=text, headers=headers).status_code == 400
    assert net.faults.shape.latency_s == 0


def test_a_request_that_is_too_large_is_refused(client: Any, net: LocalNetwork) -> None:
    headers = {"x-localnet-token": net.token}
    answer = client.http.put("/_localnet/faults", content=b" " * (1024 * 1024 + 1), headers=headers)
    assert answer.status_code == 413


def test_faults_are_set_told_counted_and_cleared(client: Any, net: LocalNetwork) -> None:
    rule = {"point": "aggregator.*", "action": "error", "status": 503, "times": 1}
    told = client.control("PUT", "faults", {"rules": [rule], "shape": {"slots": 3, "jwt_secret": "hidden"}}).json()
    assert told["shape"]["slots"] == 3
    assert told["shape"]["jwt"] is True
    assert "hidden" not in str(told)
    assert client.get("/v1/blobs/" + "A" * 43).status_code == 503
    assert client.get("/v1/blobs/" + "A" * 43).status_code == 404
    (found,) = client.control("GET", "faults").json()["rules"]
    assert (found["hits"], found["fired"]) == (2, 1)
    again = client.control("PUT", "faults", client.control("GET", "faults").json())
    assert again.status_code == 200  # what was told can be set
    cleared = client.control("DELETE", "faults").json()
    assert (cleared["rules"], cleared["shape"]["slots"]) == ([], 3)


def test_epochs_advance(client: Any) -> None:
    assert client.control("POST", "advance-epoch", {"walrus": 3}).json()["walrus_epoch"] == 4
    found = client.control("POST", "advance-epoch", {"walrus": 1, "sui": 2}).json()
    assert (found["walrus_epoch"], found["sui_epoch"]) == (5, 2)


@pytest.mark.parametrize(
    "data",
    [{}, {"walrus": 0}, {"walrus": -1}, {"walrus": -1, "sui": 2}, {"walrus": "1"}, {"walrus": 1.5}, {"sui": True},
     {"walrus": 10**30}, {"sui": 2**62}, [], "1"],
    ids=repr,
)  # fmt: skip
def test_other_advances_are_refused_and_change_nothing(client: Any, data: Any) -> None:
    before = client.control("GET", "status").json()
    assert client.control("POST", "advance-epoch", data).status_code == 400
    assert client.control("GET", "status").json() == before


def test_prices_change_for_what_is_stored_and_sent_from_now_on(client: Any, net: LocalNetwork) -> None:
    first = client.store(b"first")["newlyCreated"]["cost"]
    found = client.control("POST", "prices", {"storage": 14_000, "write": 4_000}).json()
    assert (found["storage_price_frost"], found["write_price_frost"]) == ("14000", "4000")
    assert client.store(b"other")["newlyCreated"]["cost"] == 2 * first
    system = net.network.system_object
    field = ids.dynamic_field_id(system, (1).to_bytes(8, "little"), PrimitiveTag("u64"))
    query = f'{{ object(address: "{field}") {{ asMoveObject {{ contents {{ bcs }} }} }} }}'
    contents = client.http.post("/graphql", json={"query": query}).json()["data"]["object"]["asMoveObject"]["contents"]
    inner = objects.decode_system_inner(objects.decode_field(from_base64(contents["bcs"]), 8).value)
    assert (inner.storage_price, inner.write_price) == (14_000, 4_000)
    assert client.control("POST", "prices", {"gas": 1500}).json()["gas_price_mist"] == "1500"
    query = "{ epoch { referenceGasPrice } }"
    answer = client.http.post("/graphql", json={"query": query}).json()
    assert answer["data"]["epoch"]["referenceGasPrice"] == "1500"


@pytest.mark.parametrize("data", [{}, {"storage": -1}, {"gas": 100_000}, {"write": "7"}, {"fee": 7}, {"gas": True}, []])
def test_other_prices_are_refused_and_change_nothing(client: Any, data: Any) -> None:
    before = client.control("GET", "status").json()
    assert client.control("POST", "prices", data).status_code == 400
    assert client.control("GET", "status").json() == before


def test_the_faucet_gives_sui(client: Any, net: LocalNetwork) -> None:
    found = client.control("POST", "faucet", {"address": OTHER, "mist": 123}).json()
    assert found["mist"] == 123
    coin = net.world.chain.objects.get(ObjectId.parse(found["coin"]))
    assert coin is not None
    assert coin.owner.id == SuiAddress.parse(OTHER).raw


@pytest.mark.parametrize(
    "data", [{}, {"mist": 5}, {"address": "nobody"}, {"address": 5}, {"address": OTHER, "mist": 0},
             {"address": OTHER, "mist": -5}, {"address": OTHER, "mist": 2**64}, {"address": OTHER, "mist": "1"}],
    ids=repr,
)  # fmt: skip
def test_the_faucet_refuses_the_rest(client: Any, data: Any) -> None:
    before = client.control("GET", "status").json()["checkpoint"]
    assert client.control("POST", "faucet", data).status_code == 400
    assert client.control("GET", "status").json()["checkpoint"] == before


def test_the_ledger_has_no_clock(client: Any) -> None:
    client.store(b"one")
    client.quilt([("a", b"two")])
    rows = client.control("GET", "ledger").json()
    assert [row["kind"] for row in rows] == ["blob", "quilt"]
    assert all(list(row) == ["kind", "blob_id", "paid", "cost_frost", "bytes_received", "owner"] for row in rows)


def test_an_unknown_request_is_404(client: Any) -> None:
    assert client.control("GET", "nowhere").status_code == 404
    assert client.control("DELETE", "ledger").status_code == 404


def test_stop_ends_the_server(client: Any, net: LocalNetwork, until: Any) -> None:
    assert client.control("POST", "stop").json() == {"stopping": True}
    client.http.close()
    thread = net._thread
    assert thread is not None
    until(lambda: not thread.is_alive())


# ── state ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_keeps_blobs_ledger_sites_and_epochs(
    world_folder: Path, make_client: Any, make_sites: Any, resource: Any
) -> None:
    with LocalNetwork(n_shards=10, folder=world_folder) as net:
        client = make_client(net)
        blob = client.blob(b"kept", "permanent=true&epochs=5")
        client.fault("publisher.after_pay", "error", times=1)
        client.put(b"unfinished", "epochs=5")
        site = make_sites(net.world).publish([resource("/index.html", b"kept", blob, ("x-a", "b"))])
        net.world.chain.advance_walrus_epoch(1)
        before = (net.ledger(), net.network.chain_id, client.control("GET", "status").json(), net.key.address)
        client.http.close()
    with LocalNetwork(n_shards=10, folder=world_folder) as net:
        client = make_client(net)
        status = client.control("GET", "status").json()
        after = (net.ledger(), net.network.chain_id, status | {"instance": before[2]["instance"]}, net.key.address)
        assert after == before
        assert client.get(f"/v1/blobs/{blob}").content == b"kept"
        assert client.get(f"/v1/blobs/{before[0][1]['blob_id']}").status_code == 503
        shown = client.get("/", host=f"{site.base36}.localhost")
        assert (shown.content, shown.headers["x-a"]) == (b"kept", "b")
        assert list(client.store(b"kept", "permanent=true&epochs=1")) == ["alreadyCertified"]
        assert [row["paid"] for row in net.ledger()] == [True, True, False]
        client.http.close()


def test_a_folder_belongs_to_its_owner(world_folder: Path, make_client: Any) -> None:
    with LocalNetwork(n_shards=10, folder=world_folder) as net:
        client = make_client(net)
        client.store(b"kept")
        client.http.close()
        for place in [world_folder, *world_folder.rglob("*")]:
            assert place.stat().st_mode & 0o777 == (0o700 if place.is_dir() else 0o600), place


def test_an_empty_blob_survives_too(world_folder: Path, make_client: Any) -> None:
    with LocalNetwork(n_shards=10, folder=world_folder) as net:
        client = make_client(net)
        blob = client.blob(b"")
        client.http.close()
    world = open_world(world_folder, now_ms=lambda: 1, n_shards=10)
    assert world.blobs.read(BlobId.parse(blob)) == b""
    world.close()


def test_other_shards_are_refused(world_folder: Path) -> None:
    open_world(world_folder, now_ms=lambda: 1, n_shards=10).close()
    with pytest.raises(ConfigurationError) as caught:
        open_world(world_folder, now_ms=lambda: 1, n_shards=13)
    assert caught.value.code == "localnet_other_genesis"
    open_world(world_folder, now_ms=lambda: 1).close()
