"""ws-resources.json, read exactly as the official tool reads it, and written with its formatting kept.

Unknown keys are refused at every level, keys may not stand twice, and maps are taken in byte order of their keys, as
the official tool sorts them. Source: walrus-sites ``site/config.rs``, ``types.rs``; docs/explanation/sites.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from walrus_sdk.errors import CodecError, ValidationError, WalrusError
from walrus_sdk.model.site import Metadata, Redirect
from walrus_sdk.model.units import ObjectId
from walrus_sdk.sites.globs import Glob, compile_glob
from walrus_sdk.sites.headers import check_header

__all__ = ["FILE_NAME", "MAX_FILE", "WsResources", "check_site_name", "parse", "with_site"]

FILE_NAME = "ws-resources.json"
MAX_FILE = 4 * 1024 * 1024
"""Largest file that is read, in bytes; 10,000 routes take about 1 MB."""
_MAX_DEPTH = 16
_STATUSES = {301, 302, 303, 307, 308}
_KEYS = ("headers", "routes", "redirects", "metadata", "site_name", "object_id", "ignore")
_METADATA = ("link", "image_url", "description", "project_url", "creator")


@dataclass(frozen=True, slots=True)
class WsResources:
    """What the file says; `None` where it says nothing. Rules stand in byte order of their patterns."""

    headers: tuple[tuple[Glob, Mapping[str, str]], ...] = ()
    routes: tuple[tuple[str, str], ...] | None = None
    redirects: tuple[tuple[str, Redirect], ...] | None = None
    metadata: Metadata | None = None
    site_name: str | None = None
    object_id: ObjectId | None = None
    ignore: tuple[Glob, ...] = field(default=())

    def ignores(self, path: str) -> bool:
        """Return whether a site path is left out."""
        return any(glob.matches(path) for glob in self.ignore)


def check_site_name(name: str) -> str:
    """Return `name`. Raises `ValidationError` ``site_name_invalid`` unless it has 1 to 100 printable characters."""
    if not 1 <= len(name) <= 100 or not name.isprintable() or not name.strip():
        raise ValidationError("site_name_invalid", f"not a site name: {name!r:.120}", found=name[:120])
    return name


class _Source:
    """The text, to tell the line of what is wrong."""

    def __init__(self, text: str) -> None:
        self.text = text

    def fail(self, key: str, why: str, code: str = "ws_resources_invalid") -> NoReturn:
        last = key.rsplit(" → ", 1)[-1]
        match = re.search(re.escape(json.dumps(last, ensure_ascii=False)), self.text)
        line = self.text.count("\n", 0, match.start()) + 1 if match else None
        where = f"line {line}: " if line else ""
        raise ValidationError(code, f"{FILE_NAME}: {where}{key}: {why}", path=FILE_NAME, line=line, key=key)


def parse(data: bytes) -> WsResources:
    """Read the file. Raises `ValidationError` ``ws_resources_invalid``, ``header_invalid`` or ``route_invalid``.

    The error names line and key. Limits: 4 MiB, 16 levels, no NaN or Infinity, UTF-8.
    """
    if len(data) > MAX_FILE:
        raise _broken(f"expected at most {MAX_FILE} bytes, found {len(data)}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _broken(f"not UTF-8 at byte {error.start}") from error
    source, value = _Source(text), _load(text)
    if not isinstance(value, dict):
        raise _broken("expected an object")
    for key in value:
        if key not in _KEYS:
            source.fail(key, f"unknown key; known are {', '.join(_KEYS)}")
    return WsResources(
        headers=_headers(source, value.get("headers")),
        routes=_routes(source, value.get("routes")),
        redirects=_redirects(source, value.get("redirects")),
        metadata=_metadata(source, value.get("metadata")),
        site_name=_text(source, "site_name", value.get("site_name")),
        object_id=_object_id(source, value.get("object_id")),
        ignore=_ignore(source, value.get("ignore")),
    )


def _broken(why: str, line: int | None = None) -> ValidationError:
    where = f"line {line}: " if line else ""
    return ValidationError("ws_resources_invalid", f"{FILE_NAME}: {where}{why}", path=FILE_NAME, line=line)


def _load(text: str) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in items]
        if len(set(keys)) != len(keys):
            double = next(key for key in keys if keys.count(key) > 1)
            raise _broken(f"{double!r:.100}: the key stands twice")
        return dict(items)

    def constant(name: str) -> NoReturn:
        raise _broken(f"{name} is not JSON")

    if _depth(text) > _MAX_DEPTH:
        raise _broken(f"nested more than {_MAX_DEPTH} levels deep")
    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise _broken(error.msg, error.lineno) from error


def _integer(text: str) -> int:
    if len(text) > 20:
        raise _broken("a number is too large")
    return int(text)


def _depth(text: str) -> int:
    """Return how deep brackets nest, strings left aside: the parser itself would end at the stack's limit."""
    deepest = depth = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        if token.group() in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token.group() in "]}":
            depth -= 1
    return deepest


def _text(source: _Source, key: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        source.fail(key, f"expected a text, found {value!r:.60}")
    _check_unicode(source, key, value)
    return value


def _check_unicode(source: _Source, key: str, value: str) -> None:
    if any(0xD800 <= ord(char) <= 0xDFFF for char in value):
        source.fail(key, "not valid Unicode")


def _map(source: _Source, key: str, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        source.fail(key, f"expected an object, found {value!r:.60}")
    for name in value:
        _check_unicode(source, key, name)
    return dict(sorted(value.items(), key=lambda item: item[0].encode()))


def _headers(source: _Source, value: Any) -> tuple[tuple[Glob, Mapping[str, str]], ...]:
    rules = []
    for pattern, headers in (_map(source, "headers", value) or {}).items():
        key = f"headers → {pattern}"
        checked: dict[str, str] = {}
        for name, text in (_map(source, key, headers) or {}).items():
            checked[name] = _text(source, f"{key} → {name}", text) or ""
            _located(source, f"{key} → {name}", check_header, name, checked[name])
        rules.append((_located(source, key, compile_glob, pattern), checked))
    return tuple(rules)


def _located(source: _Source, key: str, function: Any, *args: str) -> Any:
    try:
        return function(*args)
    except WalrusError as error:
        source.fail(key, error.message, error.code)


def _routes(source: _Source, value: Any) -> tuple[tuple[str, str], ...] | None:
    routes = _map(source, "routes", value)
    if routes is None:
        return None
    for pattern, target in routes.items():
        if not isinstance(target, str):
            source.fail(f"routes → {pattern}", f"expected a path, found {target!r:.60}")
        _check_unicode(source, f"routes → {pattern}", target)
    return tuple(routes.items())


def _redirects(source: _Source, value: Any) -> tuple[tuple[str, Redirect], ...] | None:
    redirects = _map(source, "redirects", value)
    if redirects is None:
        return None
    return tuple((pattern, _redirect(source, f"redirects → {pattern}", item)) for pattern, item in redirects.items())


def _redirect(source: _Source, key: str, item: Any) -> Redirect:
    if not isinstance(item, dict) or set(item) != {"location", "status_code"}:
        source.fail(key, "expected location and status_code, and nothing else")
    location, status = _text(source, key, item["location"]), item["status_code"]
    if location is None or any(ord(char) < 32 or ord(char) == 127 for char in location):
        source.fail(key, "expected a location without control characters", "route_invalid")
    if status not in _STATUSES or isinstance(status, bool):
        source.fail(key, f"expected status 301, 302, 303, 307 or 308, found {status!r:.20}", "route_invalid")
    return Redirect(location, status)


def _metadata(source: _Source, value: Any) -> Metadata | None:
    data = _map(source, "metadata", value)
    if data is None:
        return None
    for key in data:
        if key not in _METADATA:
            source.fail(f"metadata → {key}", f"unknown key; known are {', '.join(_METADATA)}")
    return Metadata(**{key: _text(source, f"metadata → {key}", text) for key, text in data.items()})


def _object_id(source: _Source, value: Any) -> ObjectId | None:
    text = _text(source, "object_id", value)
    if text is None:
        return None
    try:
        return ObjectId.parse(text)
    except CodecError as error:
        source.fail("object_id", error.message)


def _ignore(source: _Source, value: Any) -> tuple[Glob, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        source.fail("ignore", "expected a list of globs")
    return tuple(_located(source, "ignore", compile_glob, item) for item in value)


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def with_site(data: bytes | None, object_id: ObjectId, site_name: str | None = None) -> bytes:
    """Return the file with `object_id` set (and `site_name`, where it has none); everything else stays as it stands.

    `data` is a file that `parse` accepts, or `None` for a new one.
    """
    if data is None or not data.strip():
        fresh = {"object_id": str(object_id)} | ({"site_name": site_name} if site_name is not None else {})
        return (json.dumps(fresh, indent=2, ensure_ascii=False) + "\n").encode()
    text, known = data.decode("utf-8"), parse(data)
    text = _set_text(text, "object_id", str(object_id))
    if known.site_name is None and site_name is not None:
        text = _set_text(text, "site_name", site_name)
    return text.encode()


def _set_text(text: str, key: str, value: str) -> str:
    """Set a text at the top level: replace its value where the key stands, else add it behind the opening brace."""
    quoted = json.dumps(value, ensure_ascii=False)
    span = _value_span(text, key)
    if span is not None:
        return text[: span[0]] + quoted + text[span[1] :]
    start = text.index("{") + 1
    follows = re.match(r"(\s*)(\S)", text[start:])
    assert follows is not None, "the file was parsed before"
    space, comma = follows.group(1) or " ", "" if follows.group(2) == "}" else ","
    indent = space if comma else space.rstrip(" \t") + ("  " if "\n" in space else " ")
    return text[:start] + f'{indent}"{key}": {quoted}{comma}' + text[start:]


def _value_span(text: str, key: str) -> tuple[int, int] | None:
    """Return where the value of a top-level key stands (a text or null)."""
    depth, tokens = 0, list(re.finditer(r'"(?:[^"\\]|\\.)*"|null|[\[\]{}:,]', text))
    for i, token in enumerate(tokens):
        if token.group() in "[{":
            depth += 1
        elif token.group() in "]}":
            depth -= 1
        follows = tokens[i + 1].group() if i + 1 < len(tokens) else ""
        if depth == 1 and follows == ":" and token.group()[0] == '"' and json.loads(token.group()) == key:
            return tokens[i + 2].span()
    return None
