"""Signers, and where a key is looked for: nothing of a key is ever shown."""

from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from walrus_sdk.codecs import keys
from walrus_sdk.codecs.keys import PrivateKey, Scheme
from walrus_sdk.codecs.transaction import transaction_digest
from walrus_sdk.errors import BlockchainError, ConfigurationError, NetworkError, WalrusError
from walrus_sdk.model.plan import SiteChange
from walrus_sdk.ports import SigningRequest
from walrus_sdk.sui import signers
from walrus_sdk.sui.signers import CallbackSigner, KeySigner, default_wallet, find_key, key_of_file

KEYS = [PrivateKey(scheme, bytes([0x40 + scheme]) * 32) for scheme in Scheme]
ONE, TWO, THREE = KEYS


@pytest.fixture
def request_(wallet: Any) -> SigningRequest:
    data = wallet.data(wallet.kind(SiteChange(), new="tides"))
    return SigningRequest(data, transaction_digest(data), "1 change to site 'tides'", None, 5 * 10**9, "ab" * 32)


def written(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def store(path: Path, *found: PrivateKey, mode: int = 0o600) -> Path:
    return written(path, json.dumps([key.to_keystore_entry() for key in found]), mode)


def client(path: Path, keystore: Path | str, active: object) -> Path:
    return written(path, f"keystore:\n  File: {keystore}\nactive_env: testnet\nactive_address: {active}\n", 0o644)


def refused(caught: pytest.ExceptionInfo[WalrusError]) -> str:
    """Return what a refusal says, with its causes; no secret is in it."""
    said, error = [], caught.value
    cause: BaseException | None = error
    while cause is not None:
        said.append(f"{cause} {cause!r} {getattr(cause, 'fields', '')}")
        cause = cause.__cause__ or cause.__context__
    text = " ".join(said)
    for key in KEYS:
        assert key.to_suiprivkey() not in text
        assert key.to_suiprivkey()[14:40] not in text
        assert key.to_keystore_entry() not in text
    return error.message


# ── signing ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.anyio
@pytest.mark.parametrize("key", KEYS, ids=[key.public.scheme.name for key in KEYS])
async def test_a_keys_signature_is_taken_by_the_chain(key: PrivateKey, chain: Any, wallet: Any) -> None:
    wallet.state.faucet(key.address, 10**11)
    owner = type(wallet)(wallet.state, key)
    data = owner.data(owner.kind(SiteChange(), new="tides"))
    signer = KeySigner(key)
    assert signer.address == key.address
    request = SigningRequest(data, transaction_digest(data), "a site", None, 5 * 10**9, "ab" * 32)
    outcome = await chain.execute(data, [await signer.sign(request)])
    assert outcome.ok
    assert owner.site().owner.id == key.address.raw


def test_a_signer_shows_its_address_and_never_its_key() -> None:
    signer = KeySigner(ONE)
    shown = f"{signer!r} {signer} {[signer]} {signer!a}"
    assert str(ONE.address) in shown
    assert ONE.to_suiprivkey() not in shown
    assert (b"\x40" * 32).hex() not in shown
    assert not hasattr(signer, "__dict__")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_signer_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(KeySigner(ONE), protocol)


def test_a_signer_is_not_copied_with_its_key() -> None:
    with pytest.raises(TypeError):
        copy.deepcopy(KeySigner(ONE))


def answering(answer: Any) -> Callable[[SigningRequest], Awaitable[Any]]:
    async def callback(request: SigningRequest) -> Any:
        return answer(request) if callable(answer) else answer

    return callback


@pytest.mark.anyio
@pytest.mark.parametrize("key", KEYS, ids=[key.public.scheme.name for key in KEYS])
async def test_a_callback_is_shown_the_request_and_its_signature_returned(
    key: PrivateKey, request_: SigningRequest
) -> None:
    seen = []

    async def callback(request: SigningRequest) -> bytes:
        seen.append(request)
        return key.sign_transaction(request.transaction)

    signer = CallbackSigner(key.address, callback)
    signature = await signer.sign(request_)
    assert seen == [request_]
    assert signer.address == key.address
    assert keys.verify(signature, request_.transaction) == key.address


BAD_ANSWERS = {
    "nothing": b"",
    "None": None,
    "a text": "AAAA",
    "a number": 5,
    "random bytes": bytes(range(97)),
    "a signature of something else": lambda _request: ONE.sign_transaction(b"other"),
    "a personal message": lambda request: ONE.sign_personal_message(request.transaction),
    "a cut signature": lambda request: ONE.sign_transaction(request.transaction)[:-1],
    "a multisig": lambda request: b"\3" + ONE.sign_transaction(request.transaction)[1:],
}


@pytest.mark.anyio
@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_what_is_no_signature_of_the_transaction_is_refused(answer: Any, request_: SigningRequest) -> None:
    with pytest.raises(BlockchainError) as caught:
        await CallbackSigner(ONE.address, answering(answer)).sign(request_)
    assert caught.value.code == "signature_refused"


@pytest.mark.anyio
async def test_a_signature_of_another_key_is_refused_with_both_addresses(request_: SigningRequest) -> None:
    callback = answering(lambda request: TWO.sign_transaction(request.transaction))
    with pytest.raises(BlockchainError) as caught:
        await CallbackSigner(ONE.address, callback).sign(request_)
    assert caught.value.code == "signature_refused"
    assert (caught.value.fields["expected"], caught.value.fields["found"]) == (str(ONE.address), str(TWO.address))


@pytest.mark.anyio
async def test_a_callback_that_fails_is_a_refusal_and_its_text_is_not_repeated(request_: SigningRequest) -> None:
    def fail(_request: SigningRequest) -> bytes:
        raise RuntimeError("pin 1234 was wrong")

    with pytest.raises(BlockchainError, match="RuntimeError") as caught:
        await CallbackSigner(ONE.address, answering(fail)).sign(request_)
    assert caught.value.code == "signature_refused"
    assert "1234" not in caught.value.message
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.anyio
async def test_an_error_of_the_tree_comes_through_a_callback_as_it_is(request_: SigningRequest) -> None:
    wanted = NetworkError("timeout_read", "the signing service did not answer")

    def fail(_request: SigningRequest) -> bytes:
        raise wanted

    with pytest.raises(NetworkError) as caught:
        await CallbackSigner(ONE.address, answering(fail)).sign(request_)
    assert caught.value is wanted


@pytest.mark.anyio
async def test_a_callback_can_be_cancelled(request_: SigningRequest) -> None:
    started = anyio.Event()

    async def callback(_request: SigningRequest) -> bytes:
        started.set()
        await anyio.sleep_forever()
        return b""

    async with anyio.create_task_group() as group:
        group.start_soon(CallbackSigner(ONE.address, callback).sign, request_)
        await started.wait()
        group.cancel_scope.cancel()
    assert group.cancel_scope.cancelled_caught


# ── where a key is looked for ─────────────────────────────────────────────────────────────────────────────────────


def test_the_text_comes_before_the_wallet_and_the_wallet_before_suis_own(tmp_path: Path) -> None:
    home = tmp_path / "home"
    own = default_wallet(home)
    client(own, store(own.parent / "sui.keystore", THREE), THREE.address)
    wallet = store(tmp_path / "wallet.keystore", TWO)
    assert find_key(ONE.to_suiprivkey(), wallet, home) == ONE
    assert find_key(None, wallet, home) == TWO
    assert find_key(None, None, home) == THREE


def test_no_key_anywhere_names_both_ways(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_key(None, None, tmp_path)
    assert caught.value.code == "key_missing"
    assert "SUI_PRIVATE_KEY" in caught.value.message
    assert str(default_wallet(tmp_path)) in caught.value.message


def test_a_wallet_that_was_named_and_is_not_there_is_said_and_no_other_is_used(tmp_path: Path) -> None:
    own = default_wallet(tmp_path)
    client(own, store(own.parent / "sui.keystore", THREE), THREE.address)
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml: No such file") as caught:
        find_key(None, tmp_path / "nowhere.yaml", tmp_path)
    assert caught.value.code == "key_invalid"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "suiprivkey1",
        ONE.to_suiprivkey()[:-1],
        ONE.to_suiprivkey() + "q",
        ONE.to_suiprivkey().replace("suiprivkey", "suiprivkez"),
        "0x" + (b"\x40" * 32).hex(),
        ONE.to_keystore_entry(),
    ],
    ids=["empty", "prefix", "cut", "longer", "other prefix", "hex", "keystore entry"],
)
def test_a_text_that_is_no_key_is_refused_without_being_quoted(text: str, tmp_path: Path) -> None:
    store(default_wallet(tmp_path).with_name("sui.keystore"), THREE)  # not a way out
    with pytest.raises(ConfigurationError) as caught:
        find_key(text, None, tmp_path)
    assert caught.value.code == "key_invalid"
    assert "SUI_PRIVATE_KEY" in refused(caught)
    assert not text or text not in refused(caught).replace("suiprivkey…", "")


@pytest.mark.parametrize("key", KEYS, ids=[key.public.scheme.name for key in KEYS])
def test_the_active_address_chooses_among_the_keys_of_a_keystore(key: PrivateKey, tmp_path: Path) -> None:
    keystore = store(tmp_path / "sui.keystore", *KEYS)
    assert key_of_file(client(tmp_path / "client.yaml", keystore, key.address)) == key
    assert key_of_file(client(tmp_path / "quoted.yaml", keystore, f'"{key.address}"')) == key
    assert key_of_file(tmp_path / "sui.keystore", key.address) == key


def test_a_folder_stands_for_the_files_in_it(tmp_path: Path) -> None:
    keystore = store(tmp_path / "sui.keystore", TWO)
    assert key_of_file(tmp_path) == TWO
    store(keystore, *KEYS)
    client(tmp_path / "client.yaml", keystore, THREE.address)
    assert key_of_file(tmp_path) == THREE


def test_a_path_below_the_users_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    store(tmp_path / "keys" / "sui.keystore", TWO)
    assert key_of_file(client(tmp_path / "client.yaml", "~/keys/sui.keystore", TWO.address)) == TWO


@pytest.mark.parametrize("found", [(), (ONE, TWO)], ids=["none", "two"])
def test_a_keystore_that_does_not_say_which_key_is_refused(found: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"holds {len(found)} keys") as caught:
        key_of_file(store(tmp_path / "sui.keystore", *found))
    assert caught.value.code == "key_invalid"
    assert "no active address" in refused(caught)


def test_an_active_address_without_its_key_is_named(tmp_path: Path) -> None:
    keystore = store(tmp_path / "sui.keystore", ONE, TWO)
    with pytest.raises(ConfigurationError) as caught:
        key_of_file(client(tmp_path / "client.yaml", keystore, THREE.address))
    assert f"holds 0 keys of {THREE.address}" in refused(caught)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o610, 0o601])
def test_a_keystore_that_others_can_reach_is_refused_with_its_path(mode: int, tmp_path: Path) -> None:
    path = store(tmp_path / "sui.keystore", ONE, mode=mode)
    with pytest.raises(ConfigurationError, match="0600") as caught:
        key_of_file(path)
    assert caught.value.code == "key_invalid"
    assert caught.value.fields["path"] == str(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_keystore_of_ones_own_is_read(mode: int, tmp_path: Path) -> None:
    assert key_of_file(store(tmp_path / "sui.keystore", ONE, mode=mode)) == ONE


def test_a_keystore_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store(tmp_path / "sui.keystore", ONE)
    monkeypatch.setattr(signers.os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(ConfigurationError, match="your own file") as caught:
        key_of_file(path)
    assert caught.value.code == "key_invalid"


def test_a_linked_keystore_is_judged_by_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link.keystore"
    link.symlink_to(store(tmp_path / "sui.keystore", ONE, mode=0o644))
    with pytest.raises(ConfigurationError, match="0600"):
        key_of_file(link)


BAD_FILES: dict[str, tuple[str, str | bytes]] = {
    "not JSON": ("sui.keystore", "[" + ONE.to_keystore_entry()),
    "an object": ("sui.keystore", json.dumps({"keys": [ONE.to_keystore_entry()]})),
    "numbers": ("sui.keystore", "[1]"),
    "a cut entry": ("sui.keystore", json.dumps([ONE.to_keystore_entry()[:-4]])),
    "a suiprivkey": ("sui.keystore", json.dumps([ONE.to_suiprivkey()])),
    "bytes": ("sui.keystore", b"\xff\xfe" + ONE.to_keystore_entry().encode()),
    "nothing": ("sui.keystore", ""),
    "too deep": ("sui.keystore", "[" * 100_000),
    "too large": ("sui.keystore", json.dumps(["A" * 2_000_000])),
    "no keystore": ("client.yaml", "active_env: testnet\n"),
    "a keystore in the cloud": ("client.yaml", "keystore:\n  External: x\n"),
    "no YAML": ("client.yaml", "keystore: [\n"),
    "a list": ("client.yaml", "- keystore\n"),
    "bytes for YAML": ("client.yaml", b"\xff\xfe\x00"),
    "an active address that is none": ("client.yaml", "keystore:\n  File: x\nactive_address: hello\n"),
}


@pytest.mark.parametrize(("name", "content"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_of_another_form_is_refused_without_being_quoted(
    name: str, content: str | bytes, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        key_of_file(written(tmp_path / name, content))
    assert caught.value.code == "key_invalid"
    assert refused(caught)


def test_a_client_file_that_names_itself_as_keystore_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "client.yaml"
    client(path, path, ONE.address).chmod(0o600)
    with pytest.raises(ConfigurationError) as caught:
        key_of_file(path)
    assert caught.value.code == "key_invalid"


def test_a_client_file_that_names_a_folder_as_keystore_is_refused(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0  # noqa: PTH208  # names only
    for number in range(5):
        path = client(tmp_path / f"{number}.yaml", tmp_path, ONE.address)
        with pytest.raises(ConfigurationError, match="Is a directory") as caught:
            key_of_file(path)
        assert caught.value.code == "key_invalid"
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0  # noqa: PTH208
    assert after == before
