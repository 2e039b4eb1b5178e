"""BCS, the binary form of Sui and Walrus: little-endian integers, ULEB128 lengths, canonical and total to read.

`Writer` collects bytes, `Reader` takes them apart and raises `CodecError` ``malformed`` for anything that a
canonical writer would not have written; it never allocates more than what is left to read.
Source: docs/explanation/formats.md (BCS).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from walrus_sdk.errors import CodecError

__all__ = ["MAX_LENGTH", "Reader", "Writer", "uleb"]

T = TypeVar("T")

MAX_LENGTH = 0x7FFF_FFFF
"""Largest length of a sequence that BCS allows."""


_ONE_BYTE = tuple(bytes([value]) for value in range(0x80))


def uleb(value: int) -> bytes:
    """Return `value` (0 to 2^32 - 1) as minimal ULEB128."""
    assert 0 <= value < 2**32, value
    if value < 0x80:
        return _ONE_BYTE[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Writer:
    """Collects BCS bytes; each method appends one value and returns the writer."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts = bytearray()

    def __bytes__(self) -> bytes:
        return bytes(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def raw(self, data: bytes) -> Writer:
        """Append bytes as they are (fixed-size values, or values already in BCS)."""
        self._parts += data
        return self

    def uint(self, value: int, size: int) -> Writer:
        """Append an unsigned integer of `size` bytes. Raises `CodecError` when it does not fit."""
        if not 0 <= value < 1 << (8 * size):
            raise CodecError("malformed", f"{value} does not fit u{8 * size}")
        self._parts += value.to_bytes(size, "little")
        return self

    def u8(self, value: int) -> Writer:
        """Append a u8."""
        return self.uint(value, 1)

    def u16(self, value: int) -> Writer:
        """Append a u16."""
        return self.uint(value, 2)

    def u32(self, value: int) -> Writer:
        """Append a u32."""
        return self.uint(value, 4)

    def u64(self, value: int) -> Writer:
        """Append a u64."""
        return self.uint(value, 8)

    def uleb(self, value: int) -> Writer:
        """Append a length or an enum's index."""
        self._parts += _ONE_BYTE[value] if 0 <= value < 0x80 else uleb(value)
        return self

    def boolean(self, value: bool) -> Writer:
        """Append a bool."""
        return self.raw(b"\1" if value else b"\0")

    def bytes(self, data: bytes) -> Writer:
        """Append a vector<u8>."""
        self.uleb(len(data))
        self._parts += data
        return self

    def string(self, text: str) -> Writer:
        """Append a string as UTF-8. Raises `CodecError` for lone surrogates."""
        try:
            return self.bytes(text.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise CodecError("malformed", f"not valid Unicode: {text!r:.80}") from error

    def vector(self, items: Sequence[T], write: Callable[[Writer, T], object]) -> Writer:
        """Append a vector of values that `write` appends one by one."""
        self.uleb(len(items))
        for item in items:
            write(self, item)
        return self

    def option(self, value: T | None, write: Callable[[Writer, T], object]) -> Writer:
        """Append an option."""
        if value is None:
            return self.raw(b"\0")
        self.raw(b"\1")
        write(self, value)
        return self


class Reader:
    """Reads BCS values from `data`, one after the other."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes | bytearray | memoryview, at: int = 0) -> None:
        self._data = data if isinstance(data, bytes) else memoryview(data)
        self._at = at

    @property
    def at(self) -> int:
        """Position of the next byte."""
        return self._at

    @property
    def left(self) -> int:
        """Number of bytes not read yet."""
        return len(self._data) - self._at

    def raw(self, size: int) -> bytes:
        """Read `size` bytes."""
        start, end = self._at, self._at + size
        if end > len(self._data):
            raise CodecError("malformed", f"expected {size} bytes at {start}, found {self.left}")
        self._at = end
        return bytes(self._data[start:end])

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes, or as many as are left, without reading them."""
        return bytes(self._data[self._at : self._at + size])

    def uint(self, size: int) -> int:
        """Read an unsigned integer of `size` bytes."""
        start, end = self._at, self._at + size
        if end > len(self._data):
            raise CodecError("malformed", f"expected {size} bytes at {start}, found {self.left}")
        self._at = end
        return int.from_bytes(self._data[start:end], "little")

    def u8(self) -> int:
        """Read a u8."""
        return self.uint(1)

    def u16(self) -> int:
        """Read a u16."""
        return self.uint(2)

    def u32(self) -> int:
        """Read a u32."""
        return self.uint(4)

    def u64(self) -> int:
        """Read a u64."""
        return self.uint(8)

    def uleb(self) -> int:
        """Read a ULEB128 of at most 32 bits; other than minimal forms are refused."""
        if self._at < len(self._data) and self._data[self._at] < 0x80:  # most of them
            self._at += 1
            return self._data[self._at - 1]
        value, shift = 0, 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 28:
                raise CodecError("malformed", "ULEB128 longer than 32 bits")
        if value >= 2**32 or uleb(value) != self._data[self._at - shift // 7 : self._at]:
            raise CodecError("malformed", "ULEB128 is not minimal")
        return value

    def length(self) -> int:
        """Read a length; more than what is left (items take a byte at least) is refused at once."""
        at = self._at
        if at < len(self._data) and self._data[at] < 0x80:  # most of them
            value, self._at = self._data[at], at + 1
        else:
            value = self.uleb()
        if value > len(self._data) - self._at or value > MAX_LENGTH:
            raise CodecError("malformed", f"length {value} with {self.left} bytes left")
        return value

    def boolean(self) -> bool:
        """Read a bool."""
        value = self.u8()
        if value > 1:
            raise CodecError("malformed", f"not a bool: {value}")
        return value == 1

    def bytes(self) -> bytes:
        """Read a vector<u8>."""
        size = self.length()
        start, self._at = self._at, self._at + size
        return bytes(self._data[start : self._at])

    def string(self) -> str:
        """Read a string; anything but UTF-8 is refused."""
        try:
            return self.bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise CodecError("malformed", "a string is not UTF-8") from error

    def vector(self, read: Callable[[Reader], T]) -> tuple[T, ...]:
        """Read a vector of values that take at least one byte each."""
        return tuple([read(self) for _ in range(length)]) if (length := self.length()) else ()

    def option(self, read: Callable[[Reader], T]) -> T | None:
        """Read an option."""
        return read(self) if self.boolean() else None

    def end(self) -> None:
        """Raise `CodecError` unless everything was read."""
        if self.left:
            raise CodecError("malformed", f"{self.left} bytes more than expected")
