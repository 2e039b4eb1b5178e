"""From a difference to Move calls: steps in a safe order, and each step's commands.

The order keeps a site whole for visitors while several transactions run (invariant SERVE-2): what pages refer to is
added first, then pages, entry pages last, removals behind them, name, metadata and rules at the very end; a replaced
path is removed and added in neighbouring commands. Source of the functions: walrus-sites ``move/walrus_site``;
docs/explanation/sites.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from walrus_sdk.codecs.bcs import Writer
from walrus_sdk.codecs.ptb import PtbBuilder
from walrus_sdk.codecs.transaction import Argument
from walrus_sdk.model.plan import SiteChange
from walrus_sdk.model.site import Metadata, Redirect, Resource
from walrus_sdk.model.units import ObjectId
from walrus_sdk.sites.paths import publish_order

__all__ = [
    "CreateSite",
    "FillRedirects",
    "FillRoutes",
    "PutResource",
    "RemoveResource",
    "ResetRedirects",
    "ResetRoutes",
    "SetMetadata",
    "SetName",
    "Step",
    "commands_of",
    "create_site",
    "emit",
    "steps",
]

T = TypeVar("T")

_RULE_BYTES = 12_000
"""Bytes of texts in one fill call: a vector is one pure input, of at most 16,383 bytes with its lengths."""
_RULES = 200
"""Rules in one fill call: each insertion compares with all keys before it, so gas grows with the square."""


@dataclass(frozen=True, slots=True)
class CreateSite:
    """Make the Site object."""

    name: str
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class SetName:
    """Rename the site."""

    name: str


@dataclass(frozen=True, slots=True)
class SetMetadata:
    """Overwrite all metadata."""

    metadata: Metadata


@dataclass(frozen=True, slots=True)
class PutResource:
    """Add a resource; `replaces`: remove the one of that path just before."""

    resource: Resource
    replaces: bool


@dataclass(frozen=True, slots=True)
class RemoveResource:
    """Remove a path."""

    path: str


@dataclass(frozen=True, slots=True)
class ResetRoutes:
    """Remove the table of routes, and make an empty one where `create`."""

    create: bool


@dataclass(frozen=True, slots=True)
class FillRoutes:
    """Store routes in this order."""

    routes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ResetRedirects:
    """Remove the table of redirects, and make an empty one where `create`."""

    create: bool


@dataclass(frozen=True, slots=True)
class FillRedirects:
    """Store redirects in this order."""

    redirects: tuple[tuple[str, Redirect], ...]


Step = (
    CreateSite
    | SetName
    | SetMetadata
    | PutResource
    | RemoveResource
    | ResetRoutes
    | FillRoutes
    | ResetRedirects
    | FillRedirects
)


def steps(change: SiteChange, resources: Mapping[str, Resource], new_name: str | None = None) -> tuple[Step, ...]:
    """Return the steps that carry out `change`, in order.

    `resources` has the final record of each path to add or replace. `new_name` names a site that is yet to be made
    (its metadata is the change's); `None`: the site exists.
    """
    found: list[Step] = []
    if new_name is not None:
        found.append(CreateSite(new_name, change.metadata or Metadata()))
    replaced = set(change.replace)
    # What is new comes before what is changed, class by class.
    written = sorted({*change.add, *replaced}, key=lambda path: (publish_order(path)[0], path in replaced, path))
    found += [PutResource(resources[path], path in replaced) for path in written]
    found += [RemoveResource(path) for path in sorted(change.remove, key=publish_order, reverse=True)]
    if new_name is None:
        found += [SetName(change.name)] if change.name is not None else []
        found += [SetMetadata(change.metadata)] if change.metadata is not None else []
    if change.routes is not None:
        found.append(ResetRoutes(create=bool(change.routes)))
        found += [FillRoutes(part) for part in _chunks(change.routes, lambda item: item[1])]
    if change.redirects is not None:
        found.append(ResetRedirects(create=bool(change.redirects)))
        found += [FillRedirects(part) for part in _chunks(change.redirects, lambda item: item[1].location)]
    return tuple(found)


def _chunks(
    rules: Sequence[tuple[str, T]], target: Callable[[tuple[str, T]], str]
) -> Iterator[tuple[tuple[str, T], ...]]:
    part: list[tuple[str, T]] = []
    size = 0
    for rule in rules:
        own = max(len(rule[0].encode()), len(target(rule).encode())) + 3
        if part and (size + own > _RULE_BYTES or len(part) == _RULES):
            yield tuple(part)
            part, size = [], 0
        part.append(rule)
        size += own
    if part:
        yield tuple(part)


def commands_of(step: Step) -> int:
    """Return how many commands a step takes (a new site's transfer included)."""
    match step:
        case PutResource(resource, replaces):
            return 3 + len(resource.headers) + replaces
        case CreateSite():
            return 3
        case SetMetadata():
            return 2
        case ResetRoutes(create) | ResetRedirects(create):
            return 1 + create
        case _:
            return 1


def create_site(builder: PtbBuilder, package: ObjectId, step: CreateSite) -> Argument:
    """Add the commands that make a site, and return it."""
    metadata = _metadata(builder, package, step.metadata)
    return builder.call(package, "site", "new_site", [builder.string(step.name), metadata])


def emit(builder: PtbBuilder, package: ObjectId, site: Argument, step: Step) -> None:
    """Add a step's commands on `site`. Raises `BlockchainError` ``transaction_too_large`` for a value beyond limits."""
    match step:
        case PutResource(resource, replaces):
            _put(builder, package, site, resource, replaces=replaces)
        case RemoveResource(path):
            builder.call(package, "site", "remove_resource_if_exists", [site, builder.string(path)])
        case SetName(name):
            builder.call(package, "site", "update_name", [site, builder.string(name)])
        case SetMetadata(metadata):
            builder.call(package, "site", "update_metadata", [site, _metadata(builder, package, metadata)])
        case ResetRoutes(create):
            builder.call(package, "site", "remove_all_routes_if_exist", [site])
            if create:
                builder.call(package, "site", "create_routes", [site])
        case ResetRedirects(create):
            builder.call(package, "site", "take_redirects_if_exist", [site])
            if create:
                builder.call(package, "site", "create_redirects", [site])
        case FillRoutes(routes):
            # The contract takes from the end of the vectors: turned round, they are stored in our order.
            patterns = builder.strings([pattern for pattern, _ in reversed(routes)])
            targets = builder.strings([target for _, target in reversed(routes)])
            builder.call(package, "site", "fill_routes", [site, patterns, targets])
        case FillRedirects(redirects):
            _fill_redirects(builder, package, site, redirects)
        case CreateSite():
            raise AssertionError("a site is made by create_site")


def _metadata(builder: PtbBuilder, package: ObjectId, metadata: Metadata) -> Argument:
    texts = (metadata.link, metadata.image_url, metadata.description, metadata.project_url, metadata.creator)
    return builder.call(package, "metadata", "new_metadata", [builder.option_string(text) for text in texts])


def _put(builder: PtbBuilder, package: ObjectId, site: Argument, resource: Resource, *, replaces: bool) -> None:
    path = builder.string(resource.path)
    if replaces:
        builder.call(package, "site", "remove_resource_if_exists", [site, path])
    none = builder.pure(b"\0")
    part = builder.call(package, "site", "new_range_option", [none, none])
    # blob id and hash are u256 arguments whose bytes are just the raw 32 bytes
    arguments: list[Argument] = [path, builder.pure(resource.blob_id.raw), builder.pure(resource.blob_hash), part]
    made = builder.call(package, "site", "new_resource", arguments)
    for name, value in resource.headers:
        builder.call(package, "site", "add_header", [made, builder.string(name), builder.string(value)])
    builder.call(package, "site", "add_resource", [site, made])


def _fill_redirects(
    builder: PtbBuilder, package: ObjectId, site: Argument, redirects: Sequence[tuple[str, Redirect]]
) -> None:
    turned = redirects[::-1]
    paths = builder.strings([path for path, _ in turned])
    locations = builder.strings([redirect.location for _, redirect in turned])
    statuses = builder.pure(bytes(Writer().vector([redirect.status for _, redirect in turned], Writer.u16)))
    builder.call(package, "site", "fill_redirects", [site, paths, locations, statuses])
