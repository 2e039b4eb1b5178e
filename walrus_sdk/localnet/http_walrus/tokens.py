"""JSON Web Tokens of an authenticated publisher (HS256), in the order in which the official one checks them."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from walrus_sdk.errors import CodecError
from walrus_sdk.localnet.faults import Shape
from walrus_sdk.localnet.http_walrus.errors import AUTH, internal_error, refuse, refuse_text
from walrus_sdk.localnet.http_walrus.queries import StoreQuery
from walrus_sdk.model.units import SuiAddress

__all__ = ["Tokens", "check_size", "sign_token"]

_LEEWAY_S = 60
_MAX_TOKENS = 10_000
_U64 = 2**64
_NUMBERS = ("exp", "iat", "epochs", "max_epochs", "size", "max_size")


def _plain(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign_token(claims: Mapping[str, Any], secret: str) -> str:
    """Return a token for these claims."""
    body = ".".join(_text(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, dict(claims)))
    return f"{body}.{_text(hmac.digest(secret.encode(), body.encode(), sha256))}"


class Tokens:
    """The tokens that one publisher has seen; gone with the process, as there."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._used: dict[str, float] = {}

    def check(
        self, header: str | None, shape: Shape, query: StoreQuery, content_length: int | None
    ) -> Mapping[str, Any]:
        """Spend a token and return its claims. Raises `Answered`.

        The token is spent by the attempt: it is given back only when a claim is refused.
        """
        if header is None or not header.lower().startswith("bearer "):
            raise refuse_text(400, "Header of type `authorization` was missing")
        claims = self._claims(header[7:].strip(), shape.jwt_secret)
        token = str(claims["jti"])
        now = self._now_s()
        self._used = {jti: until for jti, until in self._used.items() if until > now}
        if token in self._used:
            raise refuse("RESOURCE_EXHAUSTED", "TOKEN_ALREADY_USED", "the token was used before", AUTH)
        if len(self._used) >= _MAX_TOKENS:
            raise internal_error()
        self._used[token] = claims["exp"] + _LEEWAY_S
        try:
            _check_claims(claims, shape, query, content_length)
        except Exception:
            del self._used[token]
            raise
        return claims

    def _claims(self, token: str, secret: str) -> dict[str, Any]:
        invalid = refuse("INVALID_ARGUMENT", "INVALID_TOKEN", "the token is not valid", AUTH)
        try:
            head, body, signature = token.split(".")
            header, claims, signed = json.loads(_plain(head)), json.loads(_plain(body)), _plain(signature)
        except (ValueError, binascii.Error):
            raise invalid from None
        if not isinstance(header, dict) or header.get("alg") != "HS256" or not isinstance(claims, dict):
            raise invalid
        if not hmac.compare_digest(hmac.digest(secret.encode(), f"{head}.{body}".encode(), sha256), signed):
            raise refuse("UNAUTHENTICATED", "INVALID_SIGNATURE", "the token's signature is wrong", AUTH)
        if "exp" not in claims or not isinstance(claims.get("jti"), str) or not _well_typed(claims):
            raise invalid
        if claims["exp"] + _LEEWAY_S < self._now_s():
            raise refuse("DEADLINE_EXCEEDED", "EXPIRED_SIGNATURE", "the token has expired", AUTH)
        return claims


def _well_typed(claims: Mapping[str, Any]) -> bool:
    """Whether the claims have the types of the official ones."""
    numbers = [claims[name] for name in _NUMBERS if name in claims]
    if not all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _U64 for value in numbers):
        return False
    try:
        SuiAddress.parse(claims.get("send_object_to", "0x0"))
    except (CodecError, TypeError):
        return False
    return True


def check_size(claims: Mapping[str, Any], size: int) -> None:
    """Hold a size against a token's claims. Raises `Answered`."""
    if ("size" in claims and claims["size"] != size) or ("max_size" in claims and size > claims["max_size"]):
        raise refuse("INVALID_ARGUMENT", "INVALID_SIZE", "the size differs from the token's", AUTH)


def _check_claims(claims: Mapping[str, Any], shape: Shape, query: StoreQuery, content_length: int | None) -> None:
    for one, other in (("size", "max_size"), ("epochs", "max_epochs")):
        if one in claims and other in claims:
            raise refuse("INVALID_ARGUMENT", "INCONSISTENT_TOKEN", f"{one} and {other} exclude each other", AUTH)
    if shape.jwt_expiring_s and claims["exp"] - claims.get("iat", 0) != shape.jwt_expiring_s:
        raise refuse("INVALID_ARGUMENT", "INVALID_EXPIRATION", "the token lives for another time", AUTH)
    if not shape.jwt_verify_upload:
        return
    wrong = "epochs" in claims and query.epochs != claims["epochs"]
    if wrong or ("max_epochs" in claims and query.epochs > claims["max_epochs"]):
        raise refuse("INVALID_ARGUMENT", "INVALID_EPOCHS", "the epochs differ from the token's", AUTH)
    if "send_object_to" in claims and query.send_object_to != SuiAddress.parse(claims["send_object_to"]):
        raise refuse("INVALID_ARGUMENT", "INVALID_SEND_OBJECT_TO", "the address differs from the token's", AUTH)
    if content_length is not None:
        check_size(claims, content_length)
