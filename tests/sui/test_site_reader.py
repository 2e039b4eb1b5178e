"""A site is read as it was at one version, whatever happens meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from walrus_sdk.codecs import ids, objects
from walrus_sdk.codecs.ptb import PtbBuilder
from walrus_sdk.codecs.type_tags import PrimitiveTag
from walrus_sdk.errors import BlockchainError
from walrus_sdk.localnet.chain.objects import Owner, StoredObject
from walrus_sdk.localnet.chain.state import SuiState
from walrus_sdk.model.plan import SiteChange
from walrus_sdk.model.site import ByteRange, Metadata, Redirect, SiteContent, SiteSnapshot
from walrus_sdk.model.units import ObjectId
from walrus_sdk.sui import documents

pytestmark = pytest.mark.anyio

RULES = SiteChange(
    metadata=Metadata(link="https://x", creator="me"),
    routes=(("/z/*", "/index.html"), ("/a/*", "/index.html")),
    redirects=(("/old", Redirect("/new", 308)), ("/b", Redirect("https://x/y", 301))),
)


def paths(count: int) -> tuple[str, ...]:
    return tuple(f"/{number:04}.html" for number in range(count))


def pages(node: Any) -> int:
    return sum(body["query"] == documents.FIELDS for body in node.bodies)


def burn(wallet: Any) -> None:
    builder = PtbBuilder()
    site = builder.owned(wallet.site().ref)
    builder.call(wallet.state.genesis.call_package, "site", "burn", [site])
    record = wallet.state.execute(*wallet.signed(builder.finish()))
    assert record.failure is None


async def test_a_whole_site_is_read_over_all_pages(chain: Any, wallet: Any, node: Any, resource: Any) -> None:
    files = (*paths(130), "/größe/日本.html", "/a b%20.txt")
    wallet.publish(replace(RULES, add=files), new="tides")
    site = wallet.site()
    found = await chain.site(site.id)
    content = SiteContent(
        "tides",
        Metadata(link="https://x", creator="me"),
        {path: resource(path) for path in sorted(files)},
        RULES.routes,
        RULES.redirects,
    )
    assert found == SiteSnapshot(site.id, site.version, site.digest, wallet.address, content)
    assert list(found.content.resources) == sorted(files)
    assert pages(node) == 3


async def test_tables_that_do_not_exist_are_none_and_emptied_ones_too(chain: Any, wallet: Any) -> None:
    wallet.publish(SiteChange(add=("/a",), routes=(("/x", "/a"),)), new="tides")
    found = (await chain.site(wallet.site().id)).content
    assert (found.routes, found.redirects) == ((("/x", "/a"),), None)
    wallet.publish(SiteChange(routes=()))
    found = (await chain.site(wallet.site().id)).content
    assert (found.routes, found.redirects) == (None, None)


async def test_a_site_without_anything_is_read(chain: Any, wallet: Any) -> None:
    wallet.publish(SiteChange(), new="")
    assert (await chain.site(wallet.site().id)).content == SiteContent("")


async def test_no_object_is_none(chain: Any) -> None:
    assert await chain.site(ObjectId(b"\x66" * 32)) is None


async def test_a_burnt_site_is_none_although_its_resources_stay(chain: Any, wallet: Any) -> None:
    wallet.publish(SiteChange(add=("/a",)), new="tides")
    id_ = wallet.site().id
    burn(wallet)
    assert await chain.site(id_) is None


async def test_another_object_is_no_site(chain: Any, wallet: Any, state: SuiState) -> None:
    for id_ in (wallet.coins()[0].id, state.genesis.system_object):
        with pytest.raises(BlockchainError, match="is no site but") as caught:
            await chain.site(id_)
        assert caught.value.code == "wrong_object_type"


async def test_a_site_of_another_package_is_no_site_of_ours(connect: Any, wallet: Any) -> None:
    wallet.publish(SiteChange(), new="tides")
    with pytest.raises(BlockchainError) as caught:
        await connect(type_package=ObjectId(b"\x67" * 32)).site(wallet.site().id)
    assert caught.value.code == "wrong_object_type"


async def test_a_package_is_no_site(chain: Any, wallet: Any, node: Any) -> None:
    wallet.publish(SiteChange(), new="tides")

    def package(_number: int, answer: Any) -> Any:
        answer["data"]["multiGetObjects"][0] |= {"asMoveObject": None, "owner": {"__typename": "Immutable"}}
        return answer

    node.change = package
    with pytest.raises(BlockchainError, match="a package") as caught:
        await chain.site(wallet.site().id)
    assert caught.value.code == "wrong_object_type"


# ── what is known already ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_current_snapshot_is_given_back_after_one_request(chain: Any, wallet: Any, node: Any) -> None:
    wallet.publish(SiteChange(add=paths(60)), new="tides")
    known = await chain.site(wallet.site().id)
    node.requests.clear()
    assert await chain.site(wallet.site().id, known=known) is known
    assert len(node.requests) == 1


async def test_an_old_snapshot_is_not_given_back(chain: Any, wallet: Any) -> None:
    wallet.publish(SiteChange(add=("/a",)), new="tides")
    known = await chain.site(wallet.site().id)
    wallet.publish(SiteChange(add=("/b",)))
    found = await chain.site(wallet.site().id, known=known)
    assert set(found.content.resources) == {"/a", "/b"}
    assert found.version > known.version


async def test_a_snapshot_of_the_same_version_with_another_digest_is_not_given_back(chain: Any, wallet: Any) -> None:
    """Versions alone do not identify a state: a network that was reset counts from the beginning."""
    wallet.publish(SiteChange(add=("/a",)), new="tides")
    known = await chain.site(wallet.site().id)
    other = replace(known, digest=type(known.digest)(b"\x68" * 32), content=SiteContent("wrong"))
    assert await chain.site(wallet.site().id, known=other) == known


# ── changes while it is read ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_change_between_two_pages_starts_the_reading_anew(
    chain: Any, wallet: Any, node: Any, resource: Any
) -> None:
    wallet.publish(SiteChange(add=paths(60)), new="tides")

    def meddle(number: int, answer: Any) -> Any:
        if number == 1:  # after the first page was made: its second half and the first would not belong together
            wallet.publish(SiteChange(add=("/new.html",), remove=("/0000.html", "/0059.html")))
        return answer

    node.change = meddle
    found = await chain.site(wallet.site().id)
    wanted = {*paths(60), "/new.html"} - {"/0000.html", "/0059.html"}
    assert dict(found.content.resources) == {path: resource(path) for path in wanted}
    assert (found.version, found.digest) == (wallet.site().version, wallet.site().digest)


async def test_a_change_between_the_site_and_its_fields_starts_the_reading_anew(
    chain: Any, wallet: Any, node: Any
) -> None:
    wallet.publish(SiteChange(add=("/a",)), new="tides")

    def meddle(number: int, answer: Any) -> Any:
        if number == 0:
            wallet.publish(SiteChange(name="floods", add=("/b",)))
        return answer

    node.change = meddle
    found = await chain.site(wallet.site().id)
    assert (found.content.name, set(found.content.resources)) == ("floods", {"/a", "/b"})


async def test_a_site_that_is_burnt_while_it_is_read_is_none(chain: Any, wallet: Any, node: Any) -> None:
    wallet.publish(SiteChange(add=paths(60)), new="tides")
    id_ = wallet.site().id

    def meddle(number: int, answer: Any) -> Any:
        if number == 1:
            burn(wallet)
        return answer

    node.change = meddle
    assert await chain.site(id_) is None


async def test_a_site_that_never_stands_still_is_given_up_and_may_be_tried_again(
    chain: Any, wallet: Any, node: Any
) -> None:
    wallet.publish(SiteChange(add=("/a",)), new="tides")
    rounds = iter(range(1000))

    def meddle(_number: int, answer: Any) -> Any:
        if "multiGetObjects" in answer["data"]:
            wallet.publish(SiteChange(name=f"tides {next(rounds)}"))
        return answer

    node.change = meddle
    with pytest.raises(BlockchainError, match="changes faster") as caught:
        await chain.site(wallet.site().id)
    assert caught.value.code == "chain_unavailable"
    assert 3 <= next(rounds) <= 5


# ── what other tools may have written ─────────────────────────────────────────────────────────────────────────────


def field_of(state: SuiState, id_: ObjectId) -> StoredObject:
    found = state.objects.get(id_)
    assert found is not None
    return found


async def test_a_resource_with_a_byte_range_is_read(chain: Any, wallet: Any, state: SuiState, resource: Any) -> None:
    wallet.publish(SiteChange(add=("/a", "/b")), new="tides")
    site = wallet.site()
    wanted = {}
    for path, part in (("/a", ByteRange(5, 99)), ("/b", ByteRange(7, None))):
        item = field_of(state, ids.resource_field_id(site.id, path, state.genesis.type_package))
        field = objects.decode_field(item.contents, len(path) + 1)
        wanted[path] = replace(resource(path), range=part)
        contents = objects.encode_field(replace(field, value=objects.encode_resource(wanted[path])))
        state.system_transaction([replace(item, contents=contents)])
    assert dict((await chain.site(site.id)).content.resources) == wanted


async def test_a_field_that_is_none_of_ours_is_left_alone(chain: Any, wallet: Any, state: SuiState) -> None:
    wallet.publish(SiteChange(add=("/a",), routes=(("/x", "/a"),)), new="tides")
    site, key = wallet.site(), (7).to_bytes(8, "little")
    id_ = ids.dynamic_field_id(site.id, key, PrimitiveTag("u64"))
    contents = objects.encode_field(objects.Field(id_, key, b"\1"))
    type_ = f"{ObjectId.parse('0x2')}::dynamic_field::Field<u64,bool>"
    state.system_transaction([StoredObject(id_, 0, type_, Owner("ObjectOwner", site.id.raw), contents)])
    found = (await chain.site(site.id)).content
    assert (set(found.resources), found.routes) == ({"/a"}, (("/x", "/a"),))


async def test_a_node_that_lags_gives_the_older_state_whole(chain: Any, wallet: Any, node: Any) -> None:
    wallet.publish(SiteChange(add=paths(60)), new="tides")
    before = await chain.site(wallet.site().id)
    wallet.publish(SiteChange(remove=paths(60)))
    node.behind = 1
    assert await chain.site(wallet.site().id) == before
