"""Where a site is to be seen: a link, or, where the reader sits at another machine, a still picture of its first page.

The address of a site on the local network means the kernel's machine. Behind a hub it would open nothing, so the page
itself is shown: its styles and images are read as visitors get them and put into it, scripts do not run.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html.parser import HTMLParser
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
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:"
"""What a snapshot may load: what is inside it, and nothing from any machine."""


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
    return list(dict.fromkeys(_read(html, page, {}).wanted))


def inlined(html: str, page: str, assets: Mapping[str, Page]) -> str:
    """Return a page with its styles and images inside; what is not among `assets` stays a reference."""
    return "".join(_read(html, page, assets).parts)


class _Reader(HTMLParser):
    """Takes a page apart and puts it together again, assets inside; `wanted` are the site paths that it refers to."""

    def __init__(self, page: str, assets: Mapping[str, Page]) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.wanted: list[str] = []
        self._page = page
        self._assets = assets

    def _asset(self, reference: str | None) -> Page | None:
        path = _place(reference or "", self._page)
        if path is None:
            return None
        self.wanted.append(path)
        return self._assets.get(path)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found, text = dict(attrs), self.get_starttag_text() or ""
        if tag == "link" and "stylesheet" in (found.get("rel") or "").lower().split():
            asset = self._asset(found.get("href"))
            if asset is not None:
                sheet = asset.body.decode("utf-8", "replace").replace("</", "<\\/")
                text = f"<style>{sheet}</style>"
        elif tag == "img":
            asset = self._asset(found.get("src"))
            if asset is not None:
                kind = asset.content_type.partition(";")[0]
                found["src"] = f"data:{kind};base64,{base64.b64encode(asset.body).decode()}"
                found.pop("srcset", None)  # nothing that it names is here
                text = f"<img{''.join(_attribute(name, value) for name, value in found.items())}>"
        elif tag == "source" and "srcset" in found:
            text = ""  # the image beside it is shown instead
        self.parts.append(text)

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_entityref(self, name: str) -> None:
        self.parts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.parts.append(f"&#{name};")

    def handle_decl(self, decl: str) -> None:
        self.parts.append(f"<!{decl}>")


def _attribute(name: str, value: str | None) -> str:
    return f" {name}" if value is None else f' {name}="{escape(value)}"'


def _read(html: str, page: str, assets: Mapping[str, Page]) -> _Reader:
    reader = _Reader(page, assets)
    reader.feed(html)
    reader.close()
    return reader


def snapshot(html: str, url: str) -> str:
    """Return a page as a picture: in a frame without scripts, forms or an origin, and that loads nothing."""
    framed = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">{html}'
    return (
        f"<p>A snapshot of {escape(url)}, which is an address of the kernel's machine:</p>"
        f'<iframe sandbox="" title="Snapshot of the site" srcdoc="{escape(framed)}" '
        'style="width:100%;height:420px;border:1px solid #80868b"></iframe>'
    )
