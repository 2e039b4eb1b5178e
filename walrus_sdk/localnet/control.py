"""``/_localnet/*``: what its owner may do with a local network; asks for a token and refuses browsers."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from walrus_sdk.errors import WalrusError
from walrus_sdk.localnet.exchange import Exchange
from walrus_sdk.localnet.replies import json_response
from walrus_sdk.localnet.world import World
from walrus_sdk.model.units import SuiAddress

__all__ = ["PREFIX", "TOKEN_HEADER", "Control"]

PREFIX = "/_localnet/"
TOKEN_HEADER = "x-localnet-token"  # noqa: S105  # the header's name
_MAX_BODY = 1024 * 1024
_MAX_EPOCH = 2**31
_MAX_PRICE = 10**12
_MAX_GAS_PRICE = 99_999


class Control:
    """The owner's requests. `instance` tells this process from an earlier one on the same port."""

    def __init__(self, world: World, *, token: str, instance: str, stop: Callable[[], None]) -> None:
        self._world = world
        self._token = token
        self._instance = instance
        self._stop = stop

    async def serve(self, exchange: Exchange) -> Response:
        """Answer one request; refusals are JSON with ``code`` and ``message``."""
        host = exchange.headers.get("host", "").rsplit(":", 1)[0]
        if host not in ("127.0.0.1", "localhost") or "origin" in exchange.headers:
            return _refused(403, "only programs of this machine may control the local network")
        if not hmac.compare_digest(exchange.headers.get(TOKEN_HEADER, "").encode(), self._token.encode()):
            return _refused(401, "the token is missing or wrong")
        body = bytearray()
        async for chunk in exchange.body():
            body += chunk
            if len(body) > _MAX_BODY:
                return _refused(413, "the request is too large")
        try:
            return self._act(exchange.method, exchange.raw_path.removeprefix(PREFIX), json.loads(body or b"{}"))
        except WalrusError as error:
            return json_response({"code": error.code, "message": error.message}, 400)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            return _refused(400, f"the request is malformed: {type(error).__name__}: {error}")

    def _act(self, method: str, what: str, data: Any) -> Response:
        world = self._world
        match method, what:
            case "GET", "status":
                return json_response(self._status())
            case "GET", "ledger":
                return json_response(world.blobs.ledger())
            case "GET", "faults":
                return json_response(world.faults.to_json())
            case "PUT", "faults":
                world.faults.load(data)
                return json_response(world.faults.to_json())
            case "DELETE", "faults":
                world.faults.clear()
                return json_response(world.faults.to_json())
            case "POST", "advance-epoch":
                return self._advance(_whole(data.get("walrus", 0)), _whole(data.get("sui", 0)))
            case "POST", "prices":
                return self._set_prices(data)
            case "POST", "faucet":
                mist = _whole(data.get("mist", 10**9), at_least=1)
                coin = world.chain.faucet(SuiAddress.parse(data["address"]), mist)
                return json_response({"coin": str(coin.id), "mist": mist})
            case "POST", "stop":
                self._stop()
                return json_response({"stopping": True})
        return _refused(404, f"nothing to {method} at {what!r}")

    def _advance(self, walrus: int, sui: int) -> Response:
        if not walrus + sui or max(self._world.chain.walrus_epoch.number + walrus, sui) > _MAX_EPOCH:
            return _refused(400, "epochs only go forward: give walrus or sui from 1")
        if walrus:
            self._world.chain.advance_walrus_epoch(walrus)
        if sui:
            self._world.chain.advance_sui_epoch(sui)
        return json_response(self._status())

    def _set_prices(self, data: Any) -> Response:
        most = {"storage": _MAX_PRICE, "write": _MAX_PRICE, "gas": _MAX_GAS_PRICE}
        if not data or not set(data) <= set(most):
            return _refused(400, f"give one of {', '.join(most)}")
        self._world.chain.set_prices(**{name: _whole(data[name], at_most=most[name]) for name in data})
        return json_response(self._status())

    def _status(self) -> dict[str, Any]:
        genesis, chain = self._world.genesis, self._world.chain
        return {
            "instance": self._instance,
            "simulation": True,
            "chain_id": genesis.chain_id,
            "n_shards": genesis.n_shards,
            "walrus_epoch": chain.walrus_epoch.number,
            "sui_epoch": chain.sui_epoch.number,
            "checkpoint": chain.checkpoint,
            "storage_price_frost": str(chain.prices.storage.units),
            "write_price_frost": str(chain.prices.write.units),
            "gas_price_mist": str(chain.gas_price),
            "call_package": str(genesis.call_package),
            "type_package": str(genesis.type_package),
            "redirects_package": str(genesis.redirects_package),
            "system_object": str(genesis.system_object),
            "staking_object": str(genesis.staking_object),
            "wal_coin": genesis.wal_type,
            "equivocations": len(chain.equivocations),
        }


def _whole(value: Any, *, at_least: int = 0, at_most: int = 2**63 - 1) -> int:
    """Read a number of epochs, MIST or FROST."""
    if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= at_most:
        raise ValueError(f"expected a whole number from {at_least} to {at_most}, found {value!r:.40}")
    return value


def _refused(status: int, message: str) -> Response:
    return json_response({"code": "option_invalid", "message": message}, status)
