"""Positional text encodings in which each leading zero byte is one leading zero digit (base58, base36).

The form is that of the base-x family: the bytes are one big-endian number, and leading zero bytes, which the
number cannot carry, become leading zero digits one for one. Walrus Sites addresses use it with base36,
Sui digests with base58.
"""

from __future__ import annotations

from functools import cache, lru_cache

from walrus_sdk.errors import CodecError

__all__ = ["BASE36", "BASE58", "decode", "encode"]

BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@lru_cache(maxsize=1024)
def encode(data: bytes, alphabet: str) -> str:
    """Return `data` as text over `alphabet`; the empty bytes give the empty text.

    The last ones are kept: the same ids and digests are told again and again.
    """
    pairs, zero = _pairs(alphabet), alphabet[0]
    zeros = len(data) - len(data.lstrip(b"\0"))
    number = int.from_bytes(data, "big")
    found: list[str] = []
    while number:
        number, pair = divmod(number, len(pairs))
        found.append(pairs[pair])
    return zero * zeros + "".join(reversed(found)).lstrip(zero)


@cache
def _pairs(alphabet: str) -> tuple[str, ...]:
    """Return all two digits: dividing a large number half as often takes half the time."""
    return tuple(first + second for first in alphabet for second in alphabet)


def decode(text: str, alphabet: str, *, max_length: int = 128) -> bytes:
    """Return the bytes that `text` stands for.

    Raises `CodecError` ``malformed`` for a character outside the alphabet or for more than `max_length` characters
    (the work grows with the square of the length).
    """
    if len(text) > max_length:
        raise CodecError("malformed", f"expected at most {max_length} characters, found {len(text)}")
    base, values = len(alphabet), {char: index for index, char in enumerate(alphabet)}
    number = 0
    for char in text:
        if char not in values:
            raise CodecError("malformed", f"character {char!r} is not part of base{base}")
        number = number * base + values[char]
    zeros = len(text) - len(text.lstrip(alphabet[0]))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
