"""What a portal answers: from a URL to a site, a path, and the resource, redirect or page that is served.

Source: walrus-sites ``portal/common/lib`` 2.12.0; docs/explanation/sites.md. `tests/vectors/sites` holds 2,500
decisions of the official matcher.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from walrus_sdk.errors import CodecError
from walrus_sdk.model.site import PATCH_HEADER, Redirect, Resource
from walrus_sdk.model.units import ObjectId, QuiltPatchId
from walrus_sdk.sites.rules import match_redirect, match_route

__all__ = ["NOT_FOUND_PAGE", "Answer", "Missing", "Moved", "Serve", "patch_of", "resolve", "site_of_host", "url_path"]

NOT_FOUND_PAGE = "/404.html"
INDEX_PAGE = "/index.html"


@dataclass(frozen=True, slots=True)
class Serve:
    """Serve the resource at `path` with this status (404 for the site's own not-found page, else 200)."""

    path: str
    status: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Answer with a Location and an empty body."""

    redirect: Redirect


@dataclass(frozen=True, slots=True)
class Missing:
    """Answer with the portal's own page: 404, or 508 for a redirect that leads to itself."""

    status: int


Answer = Serve | Moved | Missing


def site_of_host(host: str, portal: str = "localhost") -> ObjectId | None:
    """Return the site that a Host header names as a base36 subdomain of `portal`; `None` for anything else."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    subdomain, dot, rest = name.lower().partition(".")
    if not dot or rest != portal:
        return None
    try:
        return ObjectId.parse_base36(subdomain)
    except CodecError:
        return None


def url_path(target: str) -> str | None:
    """Return the site path of a request target; `None` when its percent-encoding is broken.

    The query is dropped, ``.`` and ``..`` are resolved as browsers do, ``/`` alone is the index, one trailing slash
    goes, and what is left is percent-decoded. There is no index of folders: ``/docs/`` is ``/docs``.
    """
    path = _without_dots(target.partition("#")[0].partition("?")[0].replace("\\", "/"))
    if path == "/":
        return INDEX_PAGE
    if path.endswith("/"):
        path = path[:-1]
    if any(len(part) < 2 or not _is_hex(part[:2]) for part in path.split("%")[1:]):
        return None
    try:
        return unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _is_hex(text: str) -> bool:
    return all(char in "0123456789abcdefABCDEF" for char in text)


def _without_dots(path: str) -> str:
    parts = path.split("/")[1:]
    kept: list[str] = []
    for index, part in enumerate(parts):
        plain = part.lower().replace("%2e", ".")
        if plain == "..":
            kept = kept[:-1]
        elif plain != ".":
            kept.append(part)
            continue
        if index == len(parts) - 1:
            kept.append("")
    return "/" + "/".join(kept)


def resolve(
    path: str,
    has: Callable[[str], bool],
    routes: Sequence[tuple[str, str]] | None,
    redirects: Sequence[tuple[str, Redirect]] | None,
    *,
    glob_routing: bool = False,
) -> Answer:
    """Return what a portal answers for a site path.

    A resource of that path comes first, then redirects, then routes, then the site's ``/404.html``. `has` tells
    whether a resource exists; `routes` and `redirects` are in stored order.
    """
    if has(path):
        return Serve(path, 404 if path == NOT_FOUND_PAGE else 200)
    if redirects:
        found = match_redirect([pattern for pattern, _ in redirects], path)
        if found is not None:
            redirect = redirects[found][1]
            return Missing(508) if redirect.location == path else Moved(redirect)
    if routes:
        found = match_route([pattern for pattern, _ in routes], path, glob_routing=glob_routing)
        if found is not None and has(routes[found][1]):
            target = routes[found][1]
            return Serve(target, 404 if target == NOT_FOUND_PAGE else 200)
    return Serve(NOT_FOUND_PAGE, 404) if has(NOT_FOUND_PAGE) else Missing(404)


def patch_of(resource: Resource) -> QuiltPatchId | None:
    """Return the patch that a portal fetches for a resource; `None`: it fetches the blob. Raises `CodecError`."""
    headers: Mapping[str, str] = dict(resource.headers)
    return resource.patch if PATCH_HEADER in headers else None
