"""The contracts of `BlobStore` and `Chain`."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from walrus_sdk.codecs import quilt, redstuff
from walrus_sdk.codecs import transaction as tx
from walrus_sdk.codecs.ids import fresh_object_id
from walrus_sdk.errors import BlockchainError, ErrorClass, StorageError, ValidationError, WalrusError
from walrus_sdk.model.plan import SiteChange, StoreKind
from walrus_sdk.model.site import Metadata, Redirect, Resource
from walrus_sdk.model.units import BlobId, Digest, ObjectId, QuiltPatchId, SuiAddress
from walrus_sdk.ports import Part, StoreRequest
from walrus_sdk.sites import packing
from walrus_sdk.sites.calls import steps

pytestmark = pytest.mark.anyio

Opened = Callable[[], AbstractAsyncContextManager[Any]]
OWNER = SuiAddress(bytes(31) + b"\x05")


class Bytes:
    """Content in chunks."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), 1000):
            yield self.data[start : start + 1000]


def part(data: bytes, identifier: str = "", *, sha256: bytes | None = None) -> Part:
    return Part(identifier, len(data), sha256 or hashlib.sha256(data).digest(), Bytes(data))


def blob(data: bytes, **options: Any) -> StoreRequest:
    values: dict[str, Any] = {"epochs": 3, "owner": OWNER} | options
    return StoreRequest(StoreKind.BLOB, redstuff.blob_id(data, 10), (part(data),), **values)


class Releases:
    """Counts the releases, and what was paid when each came."""

    def __init__(self, side: Any) -> None:
        self._side = side
        self.paid_before: list[int] = []

    async def __call__(self) -> None:
        self.paid_before.append(len(self._side.ledger()))


async def read(side: Any, ref: BlobId | QuiltPatchId, **options: Any) -> bytes:
    body = bytearray()
    size = await side.store.read(ref, body.extend, **({"max_size": 10**6} | options))
    assert size == len(body)
    return bytes(body)


@pytest.mark.parametrize("size", [0, 1, 70_000])
async def test_what_is_stored_can_be_read_and_is_owned_by_whom_it_was_sent_to(side: Opened, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    async with side() as found:
        release = Releases(found)
        receipt = await found.store.store(blob(data), release)
        assert receipt.blob_id == redstuff.blob_id(data, 10)
        assert receipt.end_epoch.number == found.net.chain.walrus_epoch.number + 3
        assert (receipt.already_certified, receipt.cost.units > 0) == (False, True)
        assert release.paid_before == [0], "released once, before anything was paid"
        assert await read(found, receipt.blob_id) == data
        (owned,) = await found.chain.blobs(OWNER)
        assert (owned.blob_id, owned.end_epoch, owned.deletable) == (receipt.blob_id, receipt.end_epoch, False)
        assert owned.certified_epoch is not None


async def test_a_quilt_gives_its_files_by_their_patches(side: Opened) -> None:
    files = {"/a.html": b"first", "/b.css": b"second" * 50}
    made = [quilt.QuiltFile(name, data) for name, data in files.items()]
    plan = quilt.layout_of(made, 10)
    blob_id = redstuff.blob_id(quilt.encode(made, 10), 10)
    parts = tuple(part(data, name) for name, data in files.items())
    async with side() as found:
        request = StoreRequest(StoreKind.QUILT, blob_id, parts, 2, OWNER)
        receipt = await found.store.store(request, Releases(found))
        assert receipt.blob_id == blob_id
        for name, patch in quilt.patch_ids(blob_id, plan).items():
            assert await read(found, patch) == files[name]


async def test_storing_a_permanent_blob_again_is_free_and_a_deletable_one_is_not(side: Opened) -> None:
    async with side() as found:
        await found.store.store(blob(b"x"), Releases(found))
        again = await found.store.store(blob(b"x"), Releases(found))
        longer = await found.store.store(blob(b"x", epochs=9), Releases(found))
        assert (again.already_certified, again.cost.units) == (True, 0)
        assert not longer.already_certified
        for _ in range(2):
            receipt = await found.store.store(blob(b"y", deletable=True), Releases(found))
            assert not receipt.already_certified
        assert sum(row["paid"] for row in found.ledger()) == 4


async def test_content_that_is_not_the_planned_one_is_never_released(side: Opened) -> None:
    request = StoreRequest(StoreKind.BLOB, redstuff.blob_id(b"x", 10), (part(b"x", sha256=bytes(32)),), 1, OWNER)
    async with side() as found:
        release = Releases(found)
        with pytest.raises(ValidationError) as caught:
            await found.store.store(request, release)
        assert (caught.value.code, release.paid_before, found.ledger()) == ("file_changed", [], [])


async def test_an_error_of_the_release_stops_the_store(side: Opened) -> None:
    async def refuse() -> None:
        raise BlockchainError("fenced", "somebody else owns it")

    async with side() as found:
        with pytest.raises(WalrusError) as caught:
            await found.store.store(blob(b"x"), refuse)
        assert (caught.value.code, found.ledger()) == ("fenced", [])


async def test_a_part_of_a_blob_is_read_and_too_much_is_refused(side: Opened) -> None:
    async with side() as found:
        receipt = await found.store.store(blob(b"0123456789"), Releases(found))
        assert await read(found, receipt.blob_id, span=(2, 3)) == b"234"
        with pytest.raises(WalrusError) as caught:
            await read(found, receipt.blob_id, max_size=5)
        assert caught.value.code == "answer_too_large"


async def test_what_is_not_there_is_told(side: Opened) -> None:
    async with side() as found:
        with pytest.raises(StorageError) as caught:
            await read(found, redstuff.blob_id(b"never stored", 10))
        assert caught.value.code == "blob_not_found"
        receipt = await found.store.store(blob(b"x", epochs=1), Releases(found))
        found.net.chain.advance_walrus_epoch(2)
        with pytest.raises(StorageError):
            await read(found, receipt.blob_id)


# ── the chain ─────────────────────────────────────────────────────────────────────────────────────────────────────

RULES: dict[str, Any] = {
    "routes": (("/app/*", "/index.html"),),
    "redirects": (("/old", Redirect("/new", 301)),),
    "metadata": Metadata(description="tides"),
}


def resource(path: str, data: bytes = b"x") -> Resource:
    return Resource(path, (("content-type", "text/html"),), redstuff.blob_id(data, 10), hashlib.sha256(data).digest())


async def make_site(side: Any, **rules: Any) -> tuple[bytes, list[bytes], ObjectId]:
    """Return a signed transaction that makes a site, and the id that the site will have."""
    records = {path: resource(path) for path in ("/index.html", "/ünï.html")}
    change = SiteChange(add=tuple(records), **rules)
    where = packing.Calls(side.network.call_package, side.key.address)
    (packed,) = packing.pack(steps(change, records, "tides"), where)
    state = await side.chain.state()
    (coin, *_) = await side.chain.coins(side.key.address)
    gas = tx.GasData((coin.ref,), side.key.address, state.gas_price, 500_000_000)
    expires = tx.EpochExpiration(state.sui_epoch + 1)
    data = tx.encode_transaction(tx.TransactionData(packing.build(packed, where, None), side.key.address, gas, expires))
    digest = tx.transaction_digest(data)
    return data, [side.key.sign_transaction(data)], fresh_object_id(digest, 0)


async def test_a_site_is_read_as_it_was_written(side: Opened) -> None:
    async with side() as found:
        data, signatures, expected = await make_site(found, **RULES)
        outcome = await found.chain.execute(data, signatures)
        assert outcome.ok
        assert expected in {change.id for change in outcome.changes if change.created}
        site = await found.chain.site(expected)
        assert site is not None
        assert (site.owner, site.content.name) == (found.key.address, "tides")
        assert site.content.resources == {path: resource(path) for path in ("/index.html", "/ünï.html")}
        assert (site.content.routes, site.content.redirects) == (RULES["routes"], RULES["redirects"])
        assert site.content.metadata.description == "tides"
        assert await found.chain.site(expected, known=site) is site
        assert list(await found.chain.sites(found.key.address)) == [(expected, "tides")]
        ref = next(change.ref for change in outcome.changes if change.id == expected)
        assert (ref.version, ref.digest) == (site.version, site.digest)
        (owned,) = await found.chain.objects([expected])
        assert owned is not None
        assert owned.ref == ref


async def test_a_transaction_is_found_by_its_digest_and_sending_it_again_changes_nothing(side: Opened) -> None:
    async with side() as found:
        data, signatures, _ = await make_site(found)
        digest = tx.transaction_digest(data)
        assert await found.chain.transaction(digest) is None
        first = await found.chain.execute(data, signatures)
        again = await found.chain.execute(data, signatures)
        looked_up = await found.chain.transaction(digest)
        assert first.digest == again.digest == digest
        assert looked_up is not None
        assert (looked_up.gas, looked_up.gas_object) == (first.gas, first.gas_object)
        assert len(await found.chain.sites(found.key.address)) == 1


async def test_a_simulation_costs_what_the_execution_then_costs(side: Opened) -> None:
    async with side() as found:
        data, signatures, _ = await make_site(found)
        simulated = await found.chain.simulate(data)
        outcome = await found.chain.execute(data, signatures)
        assert simulated.failure is None
        assert simulated.gas.computation == outcome.gas.computation
        assert simulated.gas.storage == outcome.gas.storage


async def test_a_stale_reference_is_refused_and_charges_nothing(side: Opened) -> None:
    async with side() as found:
        data, signatures, _ = await make_site(found)
        await found.chain.execute(data, signatures)
        other, more, _ = await make_site(found, metadata=Metadata(link="x"))
        stale = tx.decode_transaction(data)
        moved = tx.decode_transaction(other)
        mixed = tx.encode_transaction(tx.TransactionData(moved.kind, moved.sender, stale.gas, moved.expiration))
        before = await found.chain.coins(found.key.address)
        with pytest.raises(BlockchainError) as caught:
            await found.chain.execute(mixed, [found.key.sign_transaction(mixed)])
        assert caught.value.code == "stale_object"
        assert await found.chain.coins(found.key.address) == before
        assert (await found.chain.execute(other, more)).ok


async def test_an_expired_transaction_is_refused_as_such(side: Opened) -> None:
    async with side() as found:
        data, signatures, _ = await make_site(found)
        found.net.chain.advance_sui_epoch(2)
        with pytest.raises(BlockchainError) as caught:
            await found.chain.execute(data, signatures)
        assert (caught.value.code, caught.value.error_class) == ("transaction_expired", ErrorClass.RETRY)


async def test_a_strangers_signature_is_refused(side: Opened) -> None:
    from walrus_sdk.codecs.keys import PrivateKey, Scheme

    async with side() as found:
        data, _, _ = await make_site(found)
        stranger = PrivateKey(Scheme.ED25519, bytes(31) + b"\x01")
        with pytest.raises(BlockchainError) as caught:
            await found.chain.execute(data, [stranger.sign_transaction(data)])
        assert caught.value.code == "signature_refused"


async def test_what_does_not_exist_is_none_and_what_is_no_site_is_said(side: Opened) -> None:
    async with side() as found:
        nothing = ObjectId(bytes(31) + b"\x63")
        assert await found.chain.site(nothing) is None
        assert list(await found.chain.objects([nothing])) == [None]
        assert await found.chain.transaction(Digest(bytes(32))) is None
        (coin, *_) = await found.chain.coins(found.key.address)
        with pytest.raises(BlockchainError) as caught:
            await found.chain.site(coin.ref.id)
        assert caught.value.code == "wrong_object_type"


async def test_the_state_is_that_of_the_network(side: Opened) -> None:
    async with side() as found:
        state = await found.chain.state()
        assert (state.chain_id, state.n_shards) == (found.network.chain_id, 10)
        found.net.chain.advance_walrus_epoch(4)
        found.net.chain.advance_sui_epoch(1)
        later = await found.chain.state()
        assert state.walrus_epoch.until(later.walrus_epoch) == 4
        assert state.sui_epoch.until(later.sui_epoch) == 1
