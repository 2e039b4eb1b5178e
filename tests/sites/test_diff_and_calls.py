"""The difference to the chain, the calls that remove it, and their packing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walrus_sdk.codecs import transaction as tx
from walrus_sdk.codecs.ptb import MAX_TRANSACTION
from walrus_sdk.errors import BlockchainError
from walrus_sdk.model.plan import Entry, SiteChange
from walrus_sdk.model.site import PATCH_HEADER, ByteRange, Metadata, Redirect, Resource, SiteContent
from walrus_sdk.model.units import BlobId, ObjectId, SuiAddress, SuiEpoch
from walrus_sdk.sites import calls, packing
from walrus_sdk.sites.diff import DEFAULT_DESCRIPTION, DEFAULT_IMAGE, diff
from walrus_sdk.sites.ws_resources import WsResources, parse

FUNCTIONS = json.loads(
    (Path(__file__).resolve().parents[1] / "vectors" / "sui" / "site_functions.json").read_text(encoding="utf-8")
)
CALLS = packing.Calls(ObjectId(b"\5" * 32), SuiAddress(b"\6" * 32))
HEADERS = (("content-encoding", "identity"), ("content-type", "text/html"))


def entry(path: str, content: bytes = b"\1", headers: tuple[tuple[str, str], ...] = HEADERS) -> Entry:
    return Entry(path, path[1:], 1, content * 32, headers)


def resource(path: str, content: bytes = b"\1", headers: tuple[tuple[str, str], ...] = HEADERS) -> Resource:
    return Resource(path, tuple(sorted((*headers, (PATCH_HEADER, "0x0101000200")))), BlobId(bytes(32)), content * 32)


def site(*resources: Resource, **more: object) -> SiteContent:
    return SiteContent("tides", resources={r.path: r for r in resources}, **more)  # type: ignore[arg-type]


def change(
    entries: list[Entry], current: SiteContent | None, rules: bytes = b"{}", name: str | None = None, lives: bool = True
) -> SiteChange:
    return diff({e.path: e for e in entries}, parse(rules), name, current, lambda _: lives)


def test_doing_nothing_to_a_folder_changes_nothing() -> None:
    current = site(resource("/a.html"), routes=(("/x", "/a.html"),), redirects=(("/r", Redirect("/a", 301)),))
    rules = b'{"routes": {"/x": "/a.html"}, "redirects": {"/r": {"location": "/a", "status_code": 301}}}'
    assert change([entry("/a.html")], current, rules, "tides").empty


def test_metadata_settles_after_one_deploy_although_the_contract_fills_gaps() -> None:
    rules = b'{"metadata": {"link": "https://x"}}'
    first = change([], site(), rules)
    assert first.metadata == Metadata("https://x", DEFAULT_IMAGE, DEFAULT_DESCRIPTION)
    assert change([], site(metadata=first.metadata), rules).metadata is None


def test_each_kind_of_difference_is_found() -> None:
    current = site(
        resource("/same"), resource("/gone"), resource("/content", b"\2"), resource("/headers", headers=(("a", "b"),))
    )
    found = change([entry("/same"), entry("/content"), entry("/headers"), entry("/new")], current, name="other")
    assert (found.add, found.replace, found.remove, found.keep) == (
        ("/new",),
        ("/content", "/headers"),
        ("/gone",),
        ("/same",),
    )
    assert found.name == "other"


def test_a_resource_whose_blob_ends_or_that_has_a_range_is_written_anew() -> None:
    assert change([entry("/a")], site(resource("/a")), lives=False).replace == ("/a",)
    ranged = Resource("/a", HEADERS, BlobId(bytes(32)), b"\1" * 32, ByteRange(0, 5))
    assert change([entry("/a")], site(ranged)).replace == ("/a",)


def test_rules_that_the_folder_lacks_go() -> None:
    found = change([], site(routes=(("/x", "/y"),), redirects=(("/r", Redirect("/a", 301)),)))
    assert (found.routes, found.redirects) == ((), ())
    assert change([], site()).empty
    assert WsResources() == parse(b"{}")


def all_calls(steps: tuple[calls.Step, ...]) -> list[tx.ProgrammableTransaction]:
    parts = packing.pack(steps, CALLS)
    first_new = any(isinstance(step, calls.CreateSite) for step in steps)
    return [
        packing.build(part, CALLS, None if first_new and i == 0 else packing.PLACEHOLDER)
        for i, part in enumerate(parts)
    ]


EVERYTHING = SiteChange(
    add=("/a.css", "/index.html"),
    replace=("/b.html",),
    remove=("/old.html",),
    name="renamed",
    metadata=Metadata(link="https://x"),
    routes=tuple((f"/r{i:03}", "/index.html") for i in range(450)),
    redirects=(("/x", Redirect("/y", 301)), ("/z", Redirect("/y", 302))),
)
RECORDS = {path: resource(path) for path in ("/a.css", "/index.html", "/b.html")}
SIZES = {"0x1::string::String": None, "u64": 8, "u256": 32, "u16": 2}


@pytest.mark.parametrize("new_name", [None, "tides"])
def test_every_call_fits_the_contract(new_name: str | None) -> None:
    seen = set()
    for built in all_calls(calls.steps(EVERYTHING, RECORDS, new_name)):
        for command in built.commands:
            if not isinstance(command, tx.MoveCall):
                continue
            signature = FUNCTIONS[f"{command.module}::{command.function}"]
            parameters = [p for p in signature["parameters"] if "TxContext" not in p]
            assert signature["visibility"] == "public"
            assert len(parameters) == len(command.arguments), command
            for parameter, argument in zip(parameters, command.arguments, strict=True):
                value = built.inputs[argument.index] if isinstance(argument, tx.Input) else None
                if SIZES.get(parameter):
                    assert isinstance(value, tx.Pure)
                    assert len(value.value) == SIZES[parameter], (command, parameter)
                assert isinstance(value, tx.Pure) is not parameter.startswith("&mut SITE") or value is None
            seen.add(command.function)
    assert {"add_resource", "fill_routes", "fill_redirects", "create_redirects", "add_header"} <= seen


def test_pages_come_after_what_they_need_and_removals_and_rules_last() -> None:
    order = [
        (type(step).__name__, step.resource.path if isinstance(step, calls.PutResource) else "")
        for step in calls.steps(EVERYTHING, RECORDS)
    ]
    assert order == [
        ("PutResource", "/a.css"),
        ("PutResource", "/b.html"),
        ("PutResource", "/index.html"),
        ("RemoveResource", ""),
        ("SetName", ""),
        ("SetMetadata", ""),
        ("ResetRoutes", ""),
        ("FillRoutes", ""),
        ("FillRoutes", ""),
        ("FillRoutes", ""),
        ("ResetRedirects", ""),
        ("FillRedirects", ""),
    ]


def test_rules_are_given_backwards_because_the_contract_stores_them_backwards() -> None:
    (built,) = all_calls(calls.steps(SiteChange(routes=(("/a", "/1"), ("/b", "/2"))), {}))
    fill = built.commands[-1]
    assert isinstance(fill, tx.MoveCall)
    vector = built.inputs[fill.arguments[1].index]  # type: ignore[union-attr]
    assert isinstance(vector, tx.Pure)
    assert vector.value == b"\x02\x02/b\x02/a"


@settings(deadline=None, max_examples=30)
@given(
    st.sets(st.integers(0, 10_000), min_size=1, max_size=400),
    st.integers(0, 3),
    st.integers(1, 1500),
    st.booleans(),
)
def test_packing_loses_nothing_splits_nothing_and_keeps_the_limits(
    numbers: set[int], headers: int, header_size: int, new: bool
) -> None:
    paths = tuple(f"/{number}.html" for number in sorted(numbers))
    extra = tuple((f"h{i}", "v" * header_size) for i in range(headers))
    records = {p: Resource(p, extra, BlobId(bytes(32)), bytes(32)) for p in paths}
    steps = calls.steps(SiteChange(add=paths), records, "new" if new else None)
    parts = packing.pack(steps, CALLS)
    assert tuple(step for part in parts for step in part) == steps
    gas = tx.GasData((packing.PLACEHOLDER,), CALLS.owner, 1000, 10**9)
    for index, part in enumerate(parts):
        built = packing.build(part, CALLS, None if new and index == 0 else packing.PLACEHOLDER)
        data = tx.TransactionData(built, CALLS.owner, gas, tx.EpochExpiration(SuiEpoch(5)))
        assert len(tx.encode_transaction(data)) <= MAX_TRANSACTION
        assert len(built.commands) <= packing.MAX_CALLS


def test_a_resource_that_fits_no_transaction_is_refused() -> None:
    huge = Resource("/a", tuple((f"h{i}", "v" * 8000 + str(i)) for i in range(20)), BlobId(bytes(32)), bytes(32))
    with pytest.raises(BlockchainError) as caught:
        packing.pack(calls.steps(SiteChange(add=("/a",)), {"/a": huge}), CALLS)
    assert caught.value.code == "transaction_too_large"


def test_a_new_site_is_made_first_and_given_to_its_owner_last() -> None:
    (built,) = all_calls(calls.steps(SiteChange(add=("/a.css",)), RECORDS, "tides"))
    functions = [c.function if isinstance(c, tx.MoveCall) else type(c).__name__ for c in built.commands]
    assert functions[:2] == ["new_metadata", "new_site"]
    assert functions[-1] == "TransferObjects"
