"""The Move package Walrus Sites as a table of functions, with its order of checks and its abort codes.

Source: walrus-sites ``move/walrus_site/sources``; docs/explanation/sites.md. Getters that return references
cannot be used in a PTB and are left out; ``set_suins_reverse_lookup`` needs SuiNS, which is not simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from walrus_sdk.codecs import ids, objects
from walrus_sdk.codecs.bcs import Writer
from walrus_sdk.localnet.chain.machine import Context, Function, Slot, abort
from walrus_sdk.localnet.chain.objects import Owner, StoredObject
from walrus_sdk.localnet.genesis import Genesis
from walrus_sdk.model.site import ByteRange, Metadata, Redirect, Resource
from walrus_sdk.model.units import BlobId, ObjectId

__all__ = ["FUNCTIONS", "field_types", "site_type"]

_FIELD = f"{ObjectId.parse('0x2')}::dynamic_field::Field"
_DYNAMIC_FIELD = "0x2::dynamic_field"
_VEC_MAP = "0x2::vec_map"
_STATUSES = {301, 302, 303, 307, 308}


def site_type(genesis: Genesis) -> str:
    """Return the type of Site objects."""
    return f"{genesis.type_package}::site::Site"


@lru_cache(maxsize=16)
def field_types(genesis: Genesis) -> Mapping[str, str]:
    """Return the types of the field objects that hold resources, routes and redirects."""
    types, redirects = genesis.type_package, genesis.redirects_package
    return {
        "resource": f"{_FIELD}<{types}::site::ResourcePath,{types}::site::Resource>",
        "routes": f"{_FIELD}<vector<u8>,{types}::site::Routes>",
        "redirects": f"{_FIELD}<vector<u8>,{redirects}::redirects::Redirects>",
    }


# ── dynamic fields ────────────────────────────────────────────────────────────────────────────────────────────────


def _key(kind: str, path: str) -> bytes:
    return bytes(Writer().string(path if kind == "resource" else kind))


def _field_id(ctx: Context, site: ObjectId, kind: str, path: str = "") -> ObjectId:
    if kind == "resource":
        return ids.resource_field_id(site, path, ctx.genesis.type_package)
    return ids.routes_field_id(site) if kind == "routes" else ids.redirects_field_id(site)


_CODECS: dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "resource": (objects.encode_resource, objects.decode_resource),
    "routes": (objects.encode_routes, objects.decode_routes),
    "redirects": (objects.encode_redirects, objects.decode_redirects),
}


def _there(ctx: Context, site: ObjectId, kind: str, path: str = "") -> StoredObject | None:
    ctx.work += 1
    return ctx.sandbox.get(_field_id(ctx, site, kind, path))


def _add(ctx: Context, site: ObjectId, kind: str, value: Any, path: str = "") -> None:
    if _there(ctx, site, kind, path) is not None:
        abort(_DYNAMIC_FIELD, 0, "add")
    _store(ctx, site, kind, value, path)


def _store(ctx: Context, site: ObjectId, kind: str, value: Any, path: str = "") -> None:
    id_ = _field_id(ctx, site, kind, path)
    contents = objects.encode_field(objects.Field(id_, _key(kind, path), _CODECS[kind][0](value)))
    ctx.sandbox.put(id_, field_types(ctx.genesis)[kind], Owner("ObjectOwner", site.raw), contents)


def _read(ctx: Context, site: ObjectId, kind: str, path: str = "", *, function: str = "borrow") -> Any:
    found = _there(ctx, site, kind, path)
    if found is None:
        abort(_DYNAMIC_FIELD, 1, function)
    field = objects.decode_field(found.contents, len(_key(kind, path)))
    return _CODECS[kind][1](field.value)


def _take(ctx: Context, site: ObjectId, kind: str, path: str = "") -> Any:
    value = _read(ctx, site, kind, path, function="remove")
    ctx.sandbox.delete(_field_id(ctx, site, kind, path))
    return value


def _site_id(site: Slot) -> ObjectId:
    assert site.object_id is not None
    return site.object_id


# ── VecMap ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _insert(ctx: Context, pairs: Sequence[tuple[str, Any]], key: str, value: Any) -> tuple[tuple[str, Any], ...]:
    ctx.work += len(pairs) // 4  # it compares with every key that is there
    if any(known == key for known, _ in pairs):
        abort(_VEC_MAP, 0, "insert")
    return (*pairs, (key, value))


def _remove(ctx: Context, pairs: Sequence[tuple[str, Any]], key: str) -> tuple[tuple[tuple[str, Any], ...], Any]:
    ctx.work += len(pairs) // 4
    found = [value for known, value in pairs if known == key]
    if not found:
        abort(_VEC_MAP, 1, "get_idx")
    return tuple(pair for pair in pairs if pair[0] != key), found[0]


def _redirect(ctx: Context, pairs: Any, path: str, location: str, status: int) -> Any:
    if status not in _STATUSES:
        abort(f"{ctx.genesis.redirects_package}::redirects", 0, "insert")
    return _insert(ctx, pairs, path, Redirect(location, status))


def _redirects(ctx: Context, pairs: Any, paths: list[str], locations: list[str], statuses: list[int]) -> Any:
    module = f"{ctx.genesis.redirects_package}::redirects"
    if len(locations) != len(paths):
        abort(module, 1, "fill")
    if len(statuses) != len(paths):
        abort(module, 2, "fill")
    for path, location, status in zip(reversed(paths), reversed(locations), reversed(statuses), strict=True):
        pairs = _redirect(ctx, pairs, path, location, status)
    return pairs


# ── site ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _new_site(ctx: Context, name: str, metadata: Metadata) -> tuple[Any, ...]:
    return (objects.SiteContents(ctx.new_id(), name, metadata),)


def _update_name(ctx: Context, site: Slot, name: str) -> tuple[Any, ...]:
    site.data = replace(site.data, name=name)
    return ()


def _update_metadata(ctx: Context, site: Slot, metadata: Metadata) -> tuple[Any, ...]:
    site.data = replace(site.data, metadata=metadata)
    return ()


def _range(ctx: Context, start: int | None, end: int | None) -> ByteRange:
    module = f"{ctx.genesis.type_package}::site"
    if start is None and end is None:
        abort(module, 2, "new_range")
    if start is not None and end is not None and end <= start:
        abort(module, 1, "new_range")
    return ByteRange(start, end)


def _range_option(ctx: Context, start: int | None, end: int | None) -> tuple[Any, ...]:
    return (None if start is None and end is None else _range(ctx, start, end),)


def _new_resource(ctx: Context, path: str, blob: bytes, digest: bytes, part: ByteRange | None) -> tuple[Any, ...]:
    return (Resource(path, (), BlobId(blob), digest, part),)


def _add_header(ctx: Context, resource: Slot, name: str, value: str) -> tuple[Any, ...]:
    old: Resource = resource.data
    headers = _insert(ctx, old.headers, name, value)
    resource.data = Resource(old.path, headers, old.blob_id, old.blob_hash, old.range)
    return ()


def _add_resource(ctx: Context, site: Slot, resource: Resource) -> tuple[Any, ...]:
    _add(ctx, _site_id(site), "resource", resource, resource.path)
    return ()


def _remove_if_exists(ctx: Context, site: Slot, path: str) -> tuple[Any, ...]:
    id_ = _site_id(site)
    return (_take(ctx, id_, "resource", path) if _there(ctx, id_, "resource", path) else None,)


def _move(ctx: Context, site: Slot, old: str, new: str) -> tuple[Any, ...]:
    resource: Resource = _take(ctx, _site_id(site), "resource", old)
    _add(ctx, _site_id(site), "resource", replace(resource, path=new), new)
    return ()


def _insert_route(ctx: Context, site: Slot, route: str, target: str) -> tuple[Any, ...]:
    pairs = _read(ctx, _site_id(site), "routes", function="borrow_mut")
    _store(ctx, _site_id(site), "routes", _insert(ctx, pairs, route, target))
    return ()


def _fill_routes(ctx: Context, site: Slot, routes: list[str], targets: list[str]) -> tuple[Any, ...]:
    pairs = _read(ctx, _site_id(site), "routes", function="borrow_mut")
    if len(routes) != len(targets):
        abort(f"{ctx.genesis.type_package}::site", None, "fill_routes")
    for route, target in zip(reversed(routes), reversed(targets), strict=True):
        pairs = _insert(ctx, pairs, route, target)
    _store(ctx, _site_id(site), "routes", pairs)
    return ()


def _remove_route(ctx: Context, site: Slot, route: str) -> tuple[Any, ...]:
    pairs, target = _remove(ctx, _read(ctx, _site_id(site), "routes", function="borrow_mut"), route)
    _store(ctx, _site_id(site), "routes", pairs)
    return route, target


def _take_if_exists(kind: str) -> Callable[[Context, Slot], tuple[Any, ...]]:
    def run(ctx: Context, site: Slot) -> tuple[Any, ...]:
        return (_take(ctx, _site_id(site), kind) if _there(ctx, _site_id(site), kind) else None,)

    return run


def _create(kind: str) -> Callable[[Context, Slot], tuple[Any, ...]]:
    def run(ctx: Context, site: Slot) -> tuple[Any, ...]:
        _add(ctx, _site_id(site), kind, ())
        return ()

    return run


def _set_redirects(ctx: Context, site: Slot, pairs: Any) -> tuple[Any, ...]:
    _add(ctx, _site_id(site), "redirects", pairs)
    return ()


def _insert_redirect(ctx: Context, site: Slot, path: str, location: str, status: int) -> tuple[Any, ...]:
    pairs = _read(ctx, _site_id(site), "redirects", function="borrow_mut")
    _store(ctx, _site_id(site), "redirects", _redirect(ctx, pairs, path, location, status))
    return ()


def _fill_redirects(ctx: Context, site: Slot, paths: Any, locations: Any, statuses: Any) -> tuple[Any, ...]:
    pairs = _read(ctx, _site_id(site), "redirects", function="borrow_mut")
    _store(ctx, _site_id(site), "redirects", _redirects(ctx, pairs, paths, locations, statuses))
    return ()


def _remove_redirect(ctx: Context, site: Slot, path: str) -> tuple[Any, ...]:
    pairs, gone = _remove(ctx, _read(ctx, _site_id(site), "redirects", function="borrow_mut"), path)
    _store(ctx, _site_id(site), "redirects", pairs)
    return path, gone.location, gone.status


def _burn(ctx: Context, site: objects.SiteContents) -> tuple[Any, ...]:
    module = f"{ctx.genesis.type_package}::site"
    if _there(ctx, site.id, "routes"):
        abort(module, 4, "burn")
    if _there(ctx, site.id, "redirects"):
        abort(module, 3, "burn")
    ctx.sandbox.delete(site.id)  # resources stay behind, as on the real chain
    return ()


# ── metadata and redirects as values ──────────────────────────────────────────────────────────────────────────────

_METADATA = ("link", "image_url", "description", "project_url", "creator")


def _set_metadata(name: str) -> Callable[[Context, Slot, str | None], tuple[Any, ...]]:
    def run(ctx: Context, metadata: Slot, value: str | None) -> tuple[Any, ...]:
        metadata.data = replace(metadata.data, **{name: value})
        return ()

    return run


def _get_metadata(name: str) -> Callable[[Context, Slot], tuple[Any, ...]]:
    return lambda ctx, metadata: (getattr(metadata.data, name),)


def _get_site(name: str) -> Callable[[Context, Slot], tuple[Any, ...]]:
    return lambda ctx, site: (site.data.name if name == "name" else getattr(site.data.metadata, name),)


def _value_insert(ctx: Context, redirects: Slot, path: str, location: str, status: int) -> tuple[Any, ...]:
    redirects.data = _redirect(ctx, redirects.data, path, location, status)
    return ()


def _value_fill(ctx: Context, redirects: Slot, paths: Any, locations: Any, statuses: Any) -> tuple[Any, ...]:
    redirects.data = _redirects(ctx, redirects.data, paths, locations, statuses)
    return ()


def _value_remove(ctx: Context, redirects: Slot, path: str) -> tuple[Any, ...]:
    redirects.data, gone = _remove(ctx, redirects.data, path)
    return path, gone.location, gone.status


_TEXT = "Option<String>"
_LISTS = ("vector<String>", "vector<String>", "vector<u16>")

FUNCTIONS: dict[str, Function] = {
    "metadata::new_metadata": Function((_TEXT,) * 5, ("Metadata",), lambda ctx, *texts: (Metadata(*texts),)),
    **{f"metadata::{n}": Function(("&Metadata",), (_TEXT,), _get_metadata(n)) for n in _METADATA},
    **{f"metadata::set_{n}": Function(("&mut Metadata", _TEXT), (), _set_metadata(n)) for n in _METADATA},
    "site::new_site": Function(("String", "Metadata"), ("Site",), _new_site),
    "site::update_name": Function(("&mut Site", "String"), (), _update_name),
    "site::update_metadata": Function(("&mut Site", "Metadata"), (), _update_metadata),
    "site::new_range_option": Function(("Option<u64>", "Option<u64>"), ("Option<Range>",), _range_option),
    "site::new_range": Function(("Option<u64>", "Option<u64>"), ("Range",), lambda ctx, a, b: (_range(ctx, a, b),)),
    "site::new_resource": Function(("String", "u256", "u256", "Option<Range>"), ("Resource",), _new_resource),
    "site::add_header": Function(("&mut Resource", "String", "String"), (), _add_header),
    "site::add_resource": Function(("&mut Site", "Resource"), (), _add_resource),
    "site::remove_resource": Function(
        ("&mut Site", "String"),
        ("Resource",),
        lambda ctx, site, path: (_take(ctx, _site_id(site), "resource", path),),
    ),
    "site::remove_resource_if_exists": Function(("&mut Site", "String"), ("Option<Resource>",), _remove_if_exists),
    "site::move_resource": Function(("&mut Site", "String", "String"), (), _move),
    "site::create_routes": Function(("&mut Site",), (), _create("routes")),
    "site::insert_route": Function(("&mut Site", "String", "String"), (), _insert_route),
    "site::fill_routes": Function(("&mut Site", "vector<String>", "vector<String>"), (), _fill_routes),
    "site::remove_route": Function(("&mut Site", "&String"), ("String", "String"), _remove_route),
    "site::remove_all_routes_if_exist": Function(("&mut Site",), ("Option<Routes>",), _take_if_exists("routes")),
    "site::create_redirects": Function(("&mut Site",), (), _create("redirects")),
    "site::set_redirects": Function(("&mut Site", "Redirects"), (), _set_redirects),
    "site::fill_redirects": Function(("&mut Site", *_LISTS), (), _fill_redirects),
    "site::insert_redirect": Function(("&mut Site", "String", "String", "u16"), (), _insert_redirect),
    "site::remove_redirect": Function(("&mut Site", "&String"), ("String", "String", "u16"), _remove_redirect),
    "site::take_redirects": Function(
        ("&mut Site",), ("Redirects",), lambda ctx, site: (_take(ctx, _site_id(site), "redirects"),)
    ),
    "site::take_redirects_if_exist": Function(("&mut Site",), ("Option<Redirects>",), _take_if_exists("redirects")),
    "site::burn": Function(("Site",), (), _burn),
    **{
        f"site::get_site_{n}": Function(("&Site",), ("String" if n == "name" else _TEXT,), _get_site(n))
        for n in ("name", *_METADATA)
    },
    "redirects::empty": Function((), ("Redirects",), lambda ctx: ((),)),
    "redirects::filled": Function(_LISTS, ("Redirects",), lambda ctx, *lists: (_redirects(ctx, (), *lists),)),
    "redirects::fill": Function(("&mut Redirects", *_LISTS), (), _value_fill),
    "redirects::insert": Function(("&mut Redirects", "String", "String", "u16"), (), _value_insert),
    "redirects::remove": Function(("&mut Redirects", "&String"), ("String", "String", "u16"), _value_remove),
    "redirects::length": Function(("&Redirects",), ("u64",), lambda ctx, redirects: (len(redirects.data),)),
}
