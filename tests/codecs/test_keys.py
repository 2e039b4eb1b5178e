"""Keys: texts, addresses and signatures of the official SDK; secrets never shown."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus_sdk.codecs import keystore, text
from walrus_sdk.codecs.keys import PrivateKey, Scheme, parse_signature, verify
from walrus_sdk.errors import CodecError, ConfigurationError

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "sui"
KEYS = json.loads((VECTORS / "keys.json").read_text(encoding="utf-8"))["keys"]
Json = dict[str, Any]
each_key = pytest.mark.parametrize("vector", KEYS, ids=[f"{k['scheme']}-{i}" for i, k in enumerate(KEYS)])


@each_key
def test_a_key_equals_the_official_one(vector: Json) -> None:
    key = PrivateKey.from_suiprivkey(vector["suiprivkey"])
    assert key == PrivateKey(Scheme(vector["flag"]), bytes.fromhex(vector["secretKeyHex"]))
    assert key == PrivateKey.from_keystore_entry(vector["keystoreEntry"])
    assert (key.to_suiprivkey(), key.to_keystore_entry()) == (vector["suiprivkey"], vector["keystoreEntry"])
    assert (key.public.raw.hex(), str(key.address)) == (vector["publicKeyHex"], vector["address"])


@each_key
def test_a_signature_equals_the_official_one_and_verifies(vector: Json) -> None:
    key, bcs = PrivateKey.from_suiprivkey(vector["suiprivkey"]), base64.b64decode(vector["transaction"]["bcs"])
    signature = key.sign_transaction(bcs)
    assert base64.b64encode(signature).decode() == vector["transaction"]["signature"]
    assert verify(signature, bcs) == key.address
    message = vector["personalMessage"]
    assert (
        base64.b64encode(key.sign_personal_message(bytes.fromhex(message["messageHex"]))).decode()
        == message["signature"]
    )
    for wrong in (signature[:-1] + bytes([signature[-1] ^ 1]), signature[:5] + b"\0" + signature[6:]):
        with pytest.raises(CodecError):
            verify(wrong, bcs)
    with pytest.raises(CodecError):
        verify(signature, bcs + b"\0")


@each_key
def test_a_key_is_never_shown(vector: Json) -> None:
    key = PrivateKey.from_suiprivkey(vector["suiprivkey"])
    secret = bytes.fromhex(vector["secretKeyHex"])
    shown = [repr(key), str(key), f"{key}", repr([key]), repr({"key": key})]
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as caught:
            attempt(key)
        shown.append("".join(traceback.format_exception(caught.value)))
    canaries = (vector["suiprivkey"], vector["keystoreEntry"], secret.hex(), repr(secret)[2:-1])
    assert not [c for c in canaries for line in shown if c in line]


def test_a_wrong_key_text_is_not_repeated_in_the_error() -> None:
    good = KEYS[0]["suiprivkey"]
    for wrong in (
        good[:-1] + "q",
        good.replace("suiprivkey", "suiprivkeys"),
        "correct-horse-battery-staple",
        good[:30],
    ):
        with pytest.raises(ConfigurationError) as caught:
            PrivateKey.from_suiprivkey(wrong)
        report = "".join(traceback.format_exception(caught.value))
        assert caught.value.code == "key_invalid"
        assert wrong[12:] not in str(caught.value.to_dict())
        assert "During handling" not in report


@given(st.binary(max_size=40), st.data())
def test_one_wrong_character_is_always_noticed(data: bytes, draw: st.DataObject) -> None:
    encoded = text.bech32_encode("test", data)
    assert text.bech32_decode("test", encoded) == data
    at = draw.draw(st.integers(5, len(encoded) - 1))
    other = draw.draw(st.sampled_from([c for c in "qpzry9x8gf2tvdw0s3jn54khce6mua7l" if c != encoded[at]]))
    with pytest.raises(CodecError):
        text.bech32_decode("test", encoded[:at] + other + encoded[at + 1 :])


@pytest.mark.parametrize("flag", [3, 5, 6, 200])
def test_other_schemes_are_refused_by_name(flag: int) -> None:
    with pytest.raises(CodecError):
        parse_signature(bytes([flag]) + bytes(96))


def test_a_keystore_and_its_aliases_are_read() -> None:
    entries = [vector["keystoreEntry"] for vector in KEYS]
    assert [str(k.address) for k in keystore.parse_keystore(json.dumps(entries))] == [v["address"] for v in KEYS]
    assert keystore.parse_aliases('[{"alias": "main", "public_key_base64": "AA=="}]') == {"AA==": "main"}


@pytest.mark.parametrize("bad", ["{}", "[1]", '["AA=="]', "nonsense", "[" * 100_000])
def test_a_damaged_keystore_is_refused(bad: str) -> None:
    with pytest.raises(ConfigurationError):
        keystore.parse_keystore(bad)


def test_client_yaml_is_read_safely() -> None:
    good = (
        "keystore:\n  File: /home/u/sui.keystore\nenvs:\n  - alias: testnet\n    rpc: https://x\n    ws: ~\n"
        f'active_env: testnet\nactive_address: "{KEYS[0]["address"]}"\n'
    )
    config = keystore.parse_client_yaml(good)
    assert (config.keystore, config.active_env, config.envs) == (
        "/home/u/sui.keystore",
        "testnet",
        (("testnet", "https://x"),),
    )
    assert str(config.active_address) == KEYS[0]["address"]
    assert keystore.parse_client_yaml(good.replace('"', "")).active_address == config.active_address
    for bad in ("a: &x [1]\nb: *x\n", "!!python/object:os.system {}", "- 1", "a: [", "x" * 2_000_000):
        with pytest.raises(ConfigurationError):
            keystore.parse_client_yaml(bad)


def test_base64_is_read_strictly() -> None:
    assert text.from_base64("AQI=") == b"\1\2"
    for bad in ("AQI", "AQJ=", "AQ I=", "=AQI", "é"):
        with pytest.raises(CodecError):
            text.from_base64(bad)
