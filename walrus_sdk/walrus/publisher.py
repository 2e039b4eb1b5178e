"""One publisher: stores blobs and quilts, and pays for them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio

from walrus_sdk.errors import ConfigurationError, WalrusError
from walrus_sdk.http import origins, redact
from walrus_sdk.http.client import Answer, HttpClient
from walrus_sdk.model.plan import StoreKind
from walrus_sdk.ports import Release, StoreReceipt, StoreRequest
from walrus_sdk.walrus.body import HeldBody, Pace
from walrus_sdk.walrus.framing import Framing, boundary_of, quilt_form
from walrus_sdk.walrus.receipts import read_receipt
from walrus_sdk.walrus.refusals import failed, refused

__all__ = ["Publisher", "TokenProvider"]

TokenProvider = Callable[[], Awaitable[str | None]]
"""Asked before every request: a publisher takes each token once, also when the store then fails.

Giving none, or failing, ends the store before anything is sent.
"""

_SPENT = frozenset({"token_used", "token_expired"})
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,16384}")


class Publisher:
    """Stores over `PUT /v1/blobs` and `PUT /v1/quilts` of one publisher.

    `wall_ms` is the wall clock in milliseconds (to read Retry-After dates). A store may take `store_s` seconds plus
    `per_mib_s` for each MiB of its body, for sending, the wait and the answer together; what it waits for `pace`, a
    limit of bytes a second, comes on top.
    """

    def __init__(
        self,
        http: HttpClient,
        url: str,
        *,
        wall_ms: Callable[[], int],
        token: TokenProvider | None = None,
        store_s: float = 300.0,
        per_mib_s: float = 1.0,
        pace: Pace | None = None,
    ) -> None:
        origins.checked(url)
        self._http = http
        self._url = url
        self._wall_ms = wall_ms
        self._token = token
        self._store_s = store_s
        self._per_mib_s = per_mib_s
        self._pace = pace
        self._spent: set[bytes] = set()

    @property
    def url(self) -> str:
        """The configured address; it may hold credentials, so it is not for people's eyes."""
        return self._url

    async def store(self, request: StoreRequest, release: Release) -> StoreReceipt:
        """Send one blob or quilt; `release` is awaited once, before the last bytes (at most 64 KiB) leave.

        Raises an error of class ``look_first`` when the outcome is unknown; any other class, and whatever the
        content or `release` raises, means not stored. Cancelled before the release it leaves nothing behind.
        """
        assert request.epochs >= 1, "a store lasts at least one Walrus epoch"
        token = await self._next_token() if self._token is not None else None
        framing, route = _framed(request)
        body = HeldBody(framing, release, self._pace)
        authorization = {"authorization": f"Bearer {token}"} if token is not None else {}
        headers = {"content-type": framing.content_type, **authorization}
        if body.size == 0:
            await body.release()  # an empty request is whole with its headers
        try:
            answer = await self._exchange(route, body, request, headers)
        except WalrusError as error:
            meaning = failed(error, released=body.released)
            if meaning is error:
                raise
            raise meaning from error
        if answer.status != 200 or not body.released:
            refusal = refused(answer, released=body.released, size=body.size, wall_ms=self._wall_ms())
            if token is not None and refusal.code in _SPENT:
                self._spent.add(_fingerprint(token))
            raise refusal
        return read_receipt(answer, request)

    async def _next_token(self) -> str:
        assert self._token is not None, "asked for with a provider only"
        token, failure = None, "gave none"
        try:
            with anyio.fail_after(self._http.timeouts.total_s):
                token = await self._token()
        except WalrusError:
            raise
        except Exception as error:  # its text is not ours: it may hold a secret
            failure = f"failed ({type(error).__name__})"
        if token and (not isinstance(token, str) or not _TOKEN.fullmatch(token)):
            token, failure = None, "gave a text that cannot be a bearer token"
        elif token and _fingerprint(token) in self._spent:
            token, failure = None, "gave a token again that the publisher had refused as used or expired"
        if not token:
            endpoint = redact.url(self._url)
            message = f"{endpoint}: a new token is needed for each store, and the token provider {failure}"
            raise ConfigurationError("token_refused", message, endpoint=endpoint)
        return token

    async def _exchange(self, route: str, body: HeldBody, request: StoreRequest, headers: dict[str, str]) -> Answer:
        lifetime = "deletable" if request.deletable else "permanent"
        query = {"epochs": str(request.epochs), lifetime: "true", "send_object_to": str(request.owner)}
        total_s = self._store_s + self._per_mib_s * body.size / 2**20
        # A publisher is silent while it stores, so the wait for the answer may take all of the time.
        limits = replace(self._http.timeouts, read_s=total_s, total_s=total_s)
        return await self._http.send(
            "PUT", origins.join(self._url, route, query), body, headers=headers, timeouts=limits
        )


def _framed(request: StoreRequest) -> tuple[Framing, str]:
    if request.kind is StoreKind.QUILT:
        return quilt_form(request.parts, boundary_of(request.blob_id)), "/v1/quilts"
    assert len(request.parts) == 1, "a blob has one content"
    return Framing(request.parts, request.parts[0].size, "application/octet-stream"), "/v1/blobs"


def _fingerprint(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()
