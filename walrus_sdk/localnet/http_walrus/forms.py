"""Multipart forms as they stream in: the parts of a quilt, by field name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from walrus_sdk.codecs.quilt import QuiltFile, check_identifier
from walrus_sdk.errors import CodecError
from walrus_sdk.localnet.http_walrus.errors import refuse, refuse_text
from walrus_sdk.localnet.replies import Answered

__all__ = ["Form", "quilt_files"]

_METADATA = "_metadata"
_MAX_HEADER = 128 * 1024


def _malformed(why: str) -> Answered:
    return refuse("INVALID_ARGUMENT", "MALFORMED_REQUEST", why)


class Form:
    """Takes a body chunk by chunk; `parts` are names and contents in order."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or b"boundary" not in options:
            raise refuse_text(400, "Invalid `boundary` for `multipart/form-data` request")
        self.parts: list[tuple[str, bytearray]] = []
        self._ended = False
        self._field, self._value = bytearray(), bytearray()
        self._name: str | None = None
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": lambda data, start, end: self.parts[-1][1].extend(data[start:end]),
            "on_end": self._end,
        }
        self._parser = MultipartParser(options[b"boundary"], callbacks, max_header_size=_MAX_HEADER)

    def _begin(self) -> None:
        self._name = None
        self._field.clear()
        self._value.clear()

    def _header_end(self) -> None:
        if bytes(self._field).lower() == b"content-disposition":
            name = parse_options_header(bytes(self._value))[1].get(b"name")
            self._name = name.decode("utf-8") if name is not None else None
        self._field.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        if self._name is None:
            raise _malformed("failed to parse multipart form: a field has no name")
        self.parts.append((self._name, bytearray()))

    def _end(self) -> None:
        self._ended = True

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Raises `Answered` (400)."""
        try:
            self._parser.write(chunk)
        except (MultipartParseError, UnicodeDecodeError) as error:
            raise _malformed(f"failed to parse multipart form: {error}") from error

    def finish(self) -> Sequence[tuple[str, bytes]]:
        """Return the parts. Raises `Answered` (400) when the form is not complete."""
        if not self._ended:
            raise _malformed("failed to parse multipart form: incomplete multipart stream")
        return [(name, bytes(content)) for name, content in self.parts]


def quilt_files(parts: Sequence[tuple[str, bytes]]) -> list[QuiltFile]:
    """Return the files of a quilt, tags from ``_metadata`` included. Raises `Answered` (400)."""
    tags: dict[str, dict[str, str]] = {}
    for name, content in parts:
        if name == _METADATA:
            for identifier, found in _metadata(content):
                if identifier in tags:
                    raise _malformed(f"duplicate metadata for identifier: {identifier}")
                tags[identifier] = found
    files: dict[str, QuiltFile] = {}
    for name, content in parts:
        if name == _METADATA:
            continue
        if name in files:
            raise _malformed(f"duplicate identifier: {name}")
        try:
            check_identifier(name)
        except CodecError as error:
            raise _malformed(f"invalid identifier: {error.message}") from error
        files[name] = QuiltFile(name, content, tags.get(name, {}))
    if not files:
        raise _malformed("no files provided in multipart form")
    return list(files.values())


def _metadata(content: bytes) -> list[tuple[str, dict[str, str]]]:
    try:
        return [_entry(row) for row in json.loads(content)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _malformed(f"failed to parse metadata JSON: {error}") from error


def _entry(row: Any) -> tuple[str, dict[str, str]]:
    if not isinstance(row["identifier"], str):
        raise TypeError("invalid type for `identifier`, expected a string")
    tags = row.get("tags") or {}
    return row["identifier"], {key: value if isinstance(value, str) else _json(value) for key, value in tags.items()}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
