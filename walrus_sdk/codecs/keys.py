"""Sui keys: the three schemes, their texts, addresses and signatures. Source: docs/explanation/formats.md (keys).

A `PrivateKey` never shows its secret: not in repr, format, pickle, copy or JSON.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from walrus_sdk.codecs.bcs import uleb
from walrus_sdk.codecs.text import bech32_decode, bech32_encode, from_base64, to_base64
from walrus_sdk.codecs.transaction import signing_digest
from walrus_sdk.errors import CodecError, ConfigurationError
from walrus_sdk.model.units import SuiAddress

__all__ = ["PrivateKey", "PublicKey", "Scheme", "parse_signature", "verify"]

_PREFIX = "suiprivkey"


class Scheme(IntEnum):
    """Signature schemes by flag."""

    ED25519 = 0
    SECP256K1 = 1
    SECP256R1 = 2


_OTHER_FLAGS = {3: "multisig", 5: "zkLogin", 6: "passkey"}
_ORDERS = {
    Scheme.SECP256K1: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
    Scheme.SECP256R1: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
}
_CURVES: dict[Scheme, Callable[[], ec.EllipticCurve]] = {
    Scheme.SECP256K1: ec.SECP256K1,
    Scheme.SECP256R1: ec.SECP256R1,
}


def _scheme(flag: int) -> Scheme:
    if flag in _OTHER_FLAGS:
        raise CodecError("malformed", f"{_OTHER_FLAGS[flag]} keys and signatures are not supported; use a plain key")
    try:
        return Scheme(flag)
    except ValueError as error:
        raise CodecError("malformed", f"unknown key scheme {flag}") from error


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: 32 bytes for ed25519, 33 compressed bytes for the curves."""

    scheme: Scheme
    raw: bytes

    @property
    def address(self) -> SuiAddress:
        """BLAKE2b-256 of flag and key."""
        return SuiAddress(blake2b(bytes([self.scheme]) + self.raw, digest_size=32).digest())

    def check(self, signature: bytes, digest: bytes) -> bool:
        """Return whether `signature` (64 bytes) is this key's over `digest` (32 bytes); high s is refused."""
        try:
            if self.scheme is Scheme.ED25519:
                ed25519.Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, digest)
                return True
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            if s > _ORDERS[self.scheme] // 2:
                return False
            key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[self.scheme](), self.raw)
            key.verify(utils.encode_dss_signature(r, s), digest, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True


class PrivateKey:
    """A secret key of one scheme, from its 32 bytes. Raises `ConfigurationError` ``key_invalid``."""

    __slots__ = ("_key", "_secret", "public")

    def __init__(self, scheme: Scheme, secret: bytes) -> None:
        if len(secret) != 32:
            raise ConfigurationError("key_invalid", "expected a secret of 32 bytes")
        self._secret = bytes(secret)
        self._key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
        if scheme is Scheme.ED25519:
            self._key = ed25519.Ed25519PrivateKey.from_private_bytes(self._secret)
            raw = self._key.public_key().public_bytes_raw()
        else:
            self._key = self._derive(scheme)
            point = self._key.public_key()
            raw = point.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
        self.public = PublicKey(scheme, raw)

    def _derive(self, scheme: Scheme) -> ec.EllipticCurvePrivateKey:
        number = int.from_bytes(self._secret, "big")
        if not 0 < number < _ORDERS[scheme]:
            raise ConfigurationError("key_invalid", f"the secret is not a {scheme.name} key")
        return ec.derive_private_key(number, _CURVES[scheme]())

    @classmethod
    def from_suiprivkey(cls, text: str) -> PrivateKey:
        """Read ``suiprivkey1…`` text. Raises `ConfigurationError` ``key_invalid``; the text is never repeated."""
        try:
            return cls._from_flagged(bech32_decode(_PREFIX, text.strip()))
        except CodecError as error:
            raise ConfigurationError("key_invalid", f"not a Sui private key: {error.message}") from None

    @classmethod
    def from_keystore_entry(cls, text: str) -> PrivateKey:
        """Read one entry of a ``sui.keystore``: base64 of flag and secret. Raises ``key_invalid``."""
        try:
            return cls._from_flagged(from_base64(text))
        except CodecError as error:
            raise ConfigurationError("key_invalid", f"not a keystore entry: {error.message}") from None

    @classmethod
    def _from_flagged(cls, data: bytes) -> PrivateKey:
        if len(data) != 33:
            raise CodecError("malformed", f"expected flag and 32 bytes, found {len(data)} bytes")
        return cls(_scheme(data[0]), data[1:])

    def to_suiprivkey(self) -> str:
        """Return ``suiprivkey1…`` text; for key files only."""
        return bech32_encode(_PREFIX, bytes([self.public.scheme]) + self._secret)

    def to_keystore_entry(self) -> str:
        """Return a ``sui.keystore`` entry; for key files only."""
        return to_base64(bytes([self.public.scheme]) + self._secret)

    @property
    def address(self) -> SuiAddress:
        """The address that this key signs for."""
        return self.public.address

    def sign_transaction(self, data: bytes) -> bytes:
        """Return the serialised signature (flag, 64 bytes, public key) over a transaction's BCS."""
        return self._sign(signing_digest(data))

    def sign_personal_message(self, message: bytes) -> bytes:
        """Return the serialised signature over a personal message."""
        return self._sign(blake2b(b"\3\0\0" + uleb(len(message)) + message, digest_size=32).digest())

    def _sign(self, digest: bytes) -> bytes:
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            signature = self._key.sign(digest)
        else:
            # RFC 6979: no randomness to get wrong. Sui takes the low s only.
            der = self._key.sign(digest, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
            r, s = utils.decode_dss_signature(der)
            s = min(s, _ORDERS[self.public.scheme] - s)
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return bytes([self.public.scheme]) + signature + self.public.raw

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.scheme.name}, ***)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PrivateKey):
            return NotImplemented
        return self.public.scheme is other.public.scheme and hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self.public)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a private key is not pickled or copied")

    def __copy__(self) -> NoReturn:
        raise TypeError("a private key is not pickled or copied")

    def __deepcopy__(self, memo: Any) -> NoReturn:
        raise TypeError("a private key is not pickled or copied")


def parse_signature(data: bytes) -> tuple[PublicKey, bytes]:
    """Return the public key and the 64 bytes of a serialised signature. Raises `CodecError` ``malformed``."""
    if not data:
        raise CodecError("malformed", "an empty signature")
    scheme = _scheme(data[0])
    size = 32 if scheme is Scheme.ED25519 else 33
    if len(data) != 65 + size:
        raise CodecError("malformed", f"expected a signature of {65 + size} bytes, found {len(data)}")
    return PublicKey(scheme, data[65:]), data[1:65]


def verify(signature: bytes, transaction: bytes) -> SuiAddress:
    """Return the address that signed a transaction's BCS. Raises `CodecError` ``malformed`` for a wrong signature."""
    public, raw = parse_signature(signature)
    if not public.check(raw, signing_digest(transaction)):
        raise CodecError("malformed", "the signature does not match the transaction")
    return public.address
