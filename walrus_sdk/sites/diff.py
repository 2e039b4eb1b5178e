"""The difference between what a folder should be and what the chain holds.

Semantics, as in the official tool (walrus-sites ``site/resource.rs``, ``site.rs``; docs/explanation/sites.md): a path
stays as it is when content, headers and place are right, else it is written anew (removed and added; its content is
stored only if it is not stored yet). Paths that the folder lacks go. Routes and redirects are replaced as a whole
table. Doing nothing to a folder gives an empty difference, whichever tool published last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from walrus_sdk.model.plan import Entry, SiteChange
from walrus_sdk.model.site import Metadata, Resource, SiteContent
from walrus_sdk.sites.ws_resources import WsResources

__all__ = ["DEFAULT_DESCRIPTION", "DEFAULT_IMAGE", "diff", "with_defaults"]

T = TypeVar("T")

DEFAULT_IMAGE = "https://www.walrus.xyz/walrus-site"
DEFAULT_DESCRIPTION = "A walrus site created using Walrus and Sui!"


def with_defaults(metadata: Metadata) -> Metadata:
    """Return metadata as the official tool writes it: image and description are never missing."""
    return replace(
        metadata,
        image_url=metadata.image_url or DEFAULT_IMAGE,
        description=metadata.description or DEFAULT_DESCRIPTION,
    )


def diff(
    entries: Mapping[str, Entry],
    rules: WsResources,
    name: str | None,
    current: SiteContent | None,
    lives: Callable[[Resource], bool],
) -> SiteChange:
    """Return what has to change so that the site serves `entries` by `rules`.

    `name` is the wanted site name, `None` to leave it. `current` is the site on chain, `None` for a new one. `lives`
    tells whether the blob behind a resource lasts long enough to be kept.
    """
    if current is None:
        return SiteChange(
            add=tuple(sorted(entries)),
            name=name,
            metadata=with_defaults(rules.metadata or Metadata()),
            routes=rules.routes or None,
            redirects=rules.redirects or None,
        )
    there = current.resources
    keep = {path for path, entry in entries.items() if path in there and _same(entry, there[path], lives)}
    metadata = with_defaults(rules.metadata) if rules.metadata is not None else None
    return SiteChange(
        add=tuple(sorted(path for path in entries if path not in there)),
        replace=tuple(sorted(path for path in entries if path in there and path not in keep)),
        remove=tuple(sorted(path for path in there if path not in entries)),
        keep=tuple(sorted(keep)),
        name=name if name is not None and name != current.name else None,
        metadata=metadata if metadata != current.metadata else None,
        routes=_changed(rules.routes, current.routes),
        redirects=_changed(rules.redirects, current.redirects),
    )


def _same(entry: Entry, resource: Resource, lives: Callable[[Resource], bool]) -> bool:
    return (
        resource.blob_hash == entry.sha256
        and resource.range is None
        and resource.visible_headers == dict(entry.headers)
        and lives(resource)
    )


def _changed(
    wanted: tuple[tuple[str, T], ...] | None, there: tuple[tuple[str, T], ...] | None
) -> tuple[tuple[str, T], ...] | None:
    return None if dict(wanted or ()) == dict(there or ()) else wanted or ()
