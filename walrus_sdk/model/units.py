"""Amounts, epochs and ids: small value types that validate once, at the edge.

WAL is counted in FROST and SUI in MIST (1e9 each). A Walrus epoch (storage lifetime) and a Sui epoch (gas price,
expiry of transactions) are two clocks and two types.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Self

from walrus_sdk.errors import CodecError
from walrus_sdk.model import basex

__all__ = [
    "BlobId",
    "DeploymentId",
    "Digest",
    "Frost",
    "Mist",
    "ObjectId",
    "QuiltPatchId",
    "SuiAddress",
    "SuiEpoch",
    "WalrusEpoch",
    "byte_size",
]

_UNITS_PER_COIN = 1_000_000_000
_BYTES: Mapping[str, int] = {
    "": 1, "b": 1,
    "k": 1024, "kb": 1000, "kib": 1024,
    "m": 1024**2, "mb": 1000**2, "mib": 1024**2,
    "g": 1024**3, "gb": 1000**3, "gib": 1024**3,
}  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class _Amount:
    """A whole number of base units, never negative."""

    units: int = 0

    def __post_init__(self) -> None:
        if self.units < 0:
            raise CodecError("malformed", f"an amount cannot be negative: {self.units}")

    def __add__(self, other: Self) -> Self:
        return type(self)(self.units + other.units)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.units - other.units)

    def __mul__(self, times: int) -> Self:
        return type(self)(self.units * times)

    def __bool__(self) -> bool:
        return self.units != 0

    @property
    def coins(self) -> str:
        """The amount in whole coins as exact decimal text, e.g. ``"0.002331"``."""
        whole, rest = divmod(self.units, _UNITS_PER_COIN)
        return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")


class Frost(_Amount):
    """An amount of WAL in FROST (1 WAL = 1e9 FROST)."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{self.coins} WAL"


class Mist(_Amount):
    """An amount of SUI in MIST (1 SUI = 1e9 MIST)."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{self.coins} SUI"


@dataclass(frozen=True, slots=True, order=True)
class _Epoch:
    number: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < 2**64:
            raise CodecError("malformed", f"not an epoch number: {self.number}")

    def __add__(self, epochs: int) -> Self:
        return type(self)(self.number + epochs)

    def __str__(self) -> str:
        return str(self.number)

    def until(self, later: Self) -> int:
        """Return how many epochs lie between this one and `later`; negative when it is over already."""
        return later.number - self.number


class WalrusEpoch(_Epoch):
    """A number of Walrus's clock: storage is bought up to the start of an end epoch (exclusive)."""

    __slots__ = ()


class SuiEpoch(_Epoch):
    """A number of Sui's clock: gas prices hold, and transactions expire, by it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class _Bytes32:
    raw: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.raw, bytes) or len(self.raw) != 32:
            raise CodecError("malformed", f"{type(self).__name__} needs 32 bytes")

    def __bytes__(self) -> bytes:
        return self.raw

    def __hash__(self) -> int:
        return hash(self.raw)  # bytes keep their hash


_LONGEST_TEXT = 64
"""Characters: no id that is read here has more."""


def _from_base64url(text: str, what: str) -> bytes:
    if len(text) > _LONGEST_TEXT:
        raise CodecError("malformed", f"not a {what}: {text!r:.80}")
    return _decoded(text, what)


@lru_cache(maxsize=1024)
def _decoded(text: str, what: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise CodecError("malformed", f"not a {what}: {text!r:.80}") from error
    # Decoders ignore foreign characters and the last character's unused bits: only the canonical text counts.
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != text.encode("utf-8", "replace"):
        raise CodecError("malformed", f"not a {what}: {text!r:.80}")
    return raw


class BlobId(_Bytes32):
    """A Walrus blob id; its text is base64url of the 32 bytes without padding (43 characters)."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> BlobId:
        """Read the 43-character text; raises `CodecError` ``malformed``."""
        return cls(_from_base64url(text, "blob id"))

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(self.raw).rstrip(b"=").decode()


_HEX = re.compile(r"(0x)?[0-9a-fA-F]{1,64}")


class _HexId(_Bytes32):
    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``0x`` + up to 64 hex digits, short forms padded left; raises `CodecError` ``malformed``."""
        if not _HEX.fullmatch(text):
            raise CodecError("malformed", f"not a hex id of at most 64 digits: {text!r:.80}")
        return cls(bytes.fromhex(text.removeprefix("0x").rjust(64, "0")))

    def __str__(self) -> str:
        return "0x" + self.raw.hex()


class ObjectId(_HexId):
    """A Sui object id; its text is ``0x`` + 64 lower-case hex digits."""

    __slots__ = ()

    @classmethod
    def parse_base36(cls, text: str) -> ObjectId:
        """Read a site's address as a portal shows it (base36, one leading ``0`` per leading zero byte)."""
        raw = basex.decode(text.lower(), basex.BASE36)
        if len(raw) != 32:
            raise CodecError("malformed", f"not a base36 object id: {text!r:.80}")
        return cls(raw)

    @property
    def base36(self) -> str:
        """The id as the subdomain under which portals serve the site."""
        return basex.encode(self.raw, basex.BASE36)


class SuiAddress(_HexId):
    """A Sui address; its text is ``0x`` + 64 lower-case hex digits."""

    __slots__ = ()


class Digest(_Bytes32):
    """A transaction, object or checkpoint digest of Sui; its text is base58."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read base58 text of 32 bytes; raises `CodecError` ``malformed``."""
        return cls(basex.decode(text, basex.BASE58))

    def __str__(self) -> str:
        return basex.encode(self.raw, basex.BASE58)


@dataclass(frozen=True, slots=True, order=True)
class QuiltPatchId:
    """One file inside a quilt: the quilt's blob id and the columns ``[start, end)`` that hold it.

    The text is base64url without padding of 37 bytes: blob id, 01, start u16 LE, end u16 LE (50 characters).
    Source: Walrus quilt v1, docs/explanation/formats.md.
    """

    quilt: BlobId
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= 0xFFFF:
            raise CodecError("malformed", f"not a patch range: {self.start}..{self.end}")

    @classmethod
    def parse(cls, text: str) -> QuiltPatchId:
        """Read the 50-character text; raises `CodecError` ``malformed``."""
        raw = _from_base64url(text, "quilt patch id")
        if len(raw) != 37:
            raise CodecError("malformed", f"not a quilt patch id: {text!r:.80}")
        return cls.from_internal(BlobId(raw[:32]), raw[32:])

    @classmethod
    def from_internal(cls, quilt: BlobId, internal: bytes) -> QuiltPatchId:
        """Join a quilt's blob id and a 5-byte internal id (01, start u16 LE, end u16 LE)."""
        if len(internal) != 5 or internal[0] != 1:
            raise CodecError("malformed", f"not an internal patch id: {internal.hex()}")
        return cls(quilt, int.from_bytes(internal[1:3], "little"), int.from_bytes(internal[3:5], "little"))

    @property
    def internal(self) -> bytes:
        """The 5-byte internal id."""
        return b"\x01" + self.start.to_bytes(2, "little") + self.end.to_bytes(2, "little")

    def __bytes__(self) -> bytes:
        return self.quilt.raw + self.internal

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(bytes(self)).rstrip(b"=").decode()


_DEPLOYMENT = re.compile(r"deploy_\d{13}_[0-9a-f]{4,16}")


@dataclass(frozen=True, slots=True, order=True)
class DeploymentId:
    """The name of one deployment: ``deploy_<13 digits of ms>_<4 to 16 hex>`` (written with 8)."""

    text: str

    def __post_init__(self) -> None:
        if not _DEPLOYMENT.fullmatch(self.text):
            raise CodecError("malformed", f"not a deployment id: {self.text!r:.80}")

    @classmethod
    def make(cls, wall_ms: int, entropy: int) -> DeploymentId:
        """Compose an id from the wall clock in milliseconds and 32 random bits."""
        return cls(f"deploy_{wall_ms:013d}_{entropy & 0xFFFFFFFF:08x}")

    def __str__(self) -> str:
        return self.text


def json_number(value: Any) -> int:
    """Read a JSON u64 that may be a number or a decimal string; raises `CodecError` ``malformed``."""
    if isinstance(value, bool) or not isinstance(value, int | str) or not re.fullmatch(r"[0-9]{1,20}", str(value)):
        raise CodecError("malformed", f"not a whole number: {value!r:.80}")
    return int(value)


def byte_size(text: str) -> int:
    """Read bytes as people write them: ``"10MiB"``, ``"500kB"``, ``"50M"`` (of 1024, as curl does), or a number.

    Raises `ValueError`.
    """
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([a-z]*)", text.lower())
    if match is None or match[2] not in _BYTES:
        raise ValueError(f"expected a size such as 10MiB, 500kB or 1000000, found {text!r:.40}")
    return int(Decimal(match[1]) * _BYTES[match[2]])
