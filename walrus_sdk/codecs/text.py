"""Texts: strict base64, bech32, and the short form of a chain id."""

from __future__ import annotations

import base64
import binascii

from walrus_sdk.errors import CodecError
from walrus_sdk.model.units import Digest

__all__ = ["bech32_decode", "bech32_encode", "chain_id", "from_base64", "to_base64"]

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_MAX_BECH32 = 90


def to_base64(data: bytes) -> str:
    """Return standard base64 with padding."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str) -> bytes:
    """Read standard base64, padding and canonical last character included. Raises `CodecError` ``malformed``."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CodecError("malformed", "not base64") from error
    if to_base64(data) != text:
        raise CodecError("malformed", "not canonical base64")
    return data


def chain_id(genesis: str) -> str:
    """Return a chain's short id: the first 4 bytes, in hex, of the genesis digest that GraphQL gives in base58."""
    return Digest.parse(genesis).raw[:4].hex()


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            check ^= generator if top >> bit & 1 else 0
    return check


def _expand(prefix: str) -> list[int]:
    return [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]


def _regroup(values: list[int], size: int, target: int, *, pad: bool) -> list[int] | None:
    """Regroup bits; `None` when the padding is longer than a group or not zero."""
    buffer, bits, result = 0, 0, []
    for value in values:
        buffer = buffer << size | value
        bits += size
        while bits >= target:
            bits -= target
            result.append(buffer >> bits & (1 << target) - 1)
        buffer &= (1 << bits) - 1
    if pad and bits:
        result.append(buffer << target - bits & (1 << target) - 1)
    elif bits >= size or buffer:
        return None
    return result


def bech32_encode(prefix: str, data: bytes) -> str:
    """Return `data` in bech32 (BIP-173) under `prefix`."""
    values = _regroup(list(data), 8, 5, pad=True) or []
    checksum = _polymod([*_expand(prefix), *values, 0, 0, 0, 0, 0, 0]) ^ 1
    values += [checksum >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join(_CHARSET[value] for value in values)


def bech32_decode(prefix: str, text: str) -> bytes:
    """Read bech32 (BIP-173, not bech32m). Raises `CodecError` ``malformed``; the text itself is never repeated."""
    lower = text.lower()
    head, _, tail = lower.rpartition("1")
    if text not in (lower, text.upper()) or len(text) > _MAX_BECH32 or head != prefix or len(tail) < 6:
        raise CodecError("malformed", f"expected bech32 text that starts with {prefix}1")
    values = [_CHARSET.find(char) for char in tail]
    if -1 in values or _polymod([*_expand(prefix), *values]) != 1:
        raise CodecError("malformed", f"the checksum of the {prefix} text is wrong")
    data = _regroup(values[:-6], 5, 8, pad=False)
    if data is None:
        raise CodecError("malformed", f"the {prefix} text is padded wrongly")
    return bytes(data)
