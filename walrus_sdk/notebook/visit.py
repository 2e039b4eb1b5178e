"""Where a site is to be seen: a link, or, where the reader sits at another machine, a still picture of its first page.

The address of a site on the local network means the kernel's machine. Behind a hub it would open nothing, so the page
itself is shown: its styles and images are read as visitors get them and put into it, scripts do not run.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from posixpath import normpath
from urllib.parse import unquote, urlsplit

from walrus_sdk import settings
from walrus_sdk.errors import WalrusError
from walrus_sdk.model.html import escape
from walrus_sdk.model.reports import Page
from walrus_sdk.notebook.state import State
from walrus_sdk.service.session import Session

__all__ = ["assets_of", "inlined", "link", "snapshot", "visit_html"]

_MAX_ASSETS = 40
_MAX_ASSET = 512 * 1024
"""Bytes of one file that is put into the picture; larger ones are left out."""
_SOURCE = re.compile(r"""(<(?:img|link|source)\b[^>]*?\b(?:src|href)\s*=\s*)(["'])([^"']+)\2""", re.IGNORECASE)
_SHEET = re.compile(r"""<link\b[^>]*\brel\s*=\s*["']?stylesheet["']?[^>]*>""", re.IGNORECASE)
_HREF = re.compile(r"""\bhref\s*=\s*["']([^"']+)["']""", re.IGNORECASE)


async def visit_html(session: Session, state: State, *, remote: bool | None = None) -> str:
    """Return what Open site shows. `remote`: the reader is not at the kernel's machine (`None`: a hub says so)."""
    url = state.url or (state.summary.url if state.summary is not None else "")
    is_local = (urlsplit(url).hostname or "").endswith("localhost")
    if not url:
        return ""
    if not is_local or not (settings.load().in_hub if remote is None else remote):
        return link(url)
    site = str(state.versions[0].site_id) if state.versions else state.site_name
    try:
        first = await session.page(site, "/")
        if first is None:
            return link(url)
        text = first.body.decode("utf-8", "replace")
        found: dict[str, Page] = {}
        for path in assets_of(text, first.path)[:_MAX_ASSETS]:
            asset = await _asset(session, site, path)
            if asset is not None:
                found[path] = asset
    except WalrusError as error:
        return f'<p role="alert">{escape(error.message)} <em>{escape(error.next_step)}</em></p>'
    return snapshot(inlined(text, first.path, found), url)


async def _asset(session: Session, site: str, path: str) -> Page | None:
    try:
        return await session.page(site, path, max_size=_MAX_ASSET)
    except WalrusError:
        return None  # a picture without it is better than none


def link(url: str) -> str:
    """Return a link that opens in another tab; only web addresses become one."""
    shown = escape(url)
    if urlsplit(url).scheme not in ("http", "https"):
        return f"<p>{shown}</p>"
    return f'<p>The site: <a href="{shown}" target="_blank" rel="noopener noreferrer">{shown}</a></p>'


def _place(reference: str, page: str) -> str | None:
    """Return the site path that a reference of a page means, `None` for other sites and for data."""
    parts = urlsplit(reference)
    if parts.scheme or parts.netloc or not parts.path:
        return None
    path = unquote(parts.path)
    return normpath(path if path.startswith("/") else f"{page.rpartition('/')[0]}/{path}")


def assets_of(html: str, page: str) -> list[str]:
    """Return the site paths of a page's styles and images, in order, each once."""
    found = [_place(match[3], page) for match in _SOURCE.finditer(html)]
    return list(dict.fromkeys(path for path in found if path is not None))


def inlined(html: str, page: str, assets: Mapping[str, Page]) -> str:
    """Return a page with its styles and images inside; what is not among `assets` stays a reference."""

    def sheet(match: re.Match[str]) -> str:
        href = _HREF.search(match[0])
        asset = assets.get(_place(href[1], page) or "") if href is not None else None
        if asset is None:
            return match[0]
        text = asset.body.decode("utf-8", "replace").replace("</", "<\\/")
        return f"<style>{text}</style>"

    def source(match: re.Match[str]) -> str:
        asset = assets.get(_place(match[3], page) or "")
        if asset is None:
            return match[0]
        kind = asset.content_type.partition(";")[0]
        return f'{match[1]}"data:{escape(kind)};base64,{base64.b64encode(asset.body).decode()}"'

    return _SOURCE.sub(source, _SHEET.sub(sheet, html))


def snapshot(html: str, url: str) -> str:
    """Return a page as a picture: in a frame without scripts, forms or an origin."""
    return (
        f"<p>A snapshot of {escape(url)}, which is an address of the kernel's machine:</p>"
        f'<iframe sandbox="" title="Snapshot of the site" srcdoc="{escape(html)}" '
        'style="width:100%;height:420px;border:1px solid #80868b"></iframe>'
    )
