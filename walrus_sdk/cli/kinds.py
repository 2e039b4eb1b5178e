"""The values of options as users write them, with their units: durations, amounts, shares, sizes, ids."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Generic, TypeVar

import click

from walrus_sdk.errors import WalrusError
from walrus_sdk.model.units import Frost, Mist, ObjectId, SuiAddress, byte_size

__all__ = ["ADDRESS", "DURATION", "OBJECT_ID", "PRICE", "SHARE", "SIZE", "SUI", "WAL"]

T = TypeVar("T")

_COIN = 1_000_000_000
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"


class _Kind(click.ParamType, Generic[T]):  # type: ignore[type-arg]  # generic in newer click only
    """A kind of value that one function reads; `ValueError` and errors of the tree become usage errors."""

    def __init__(self, name: str, read: Callable[[str], T]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """Read a text; a value that is read already stays."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]  # a default, of the right type
        try:
            return self._read(value.strip())
        except WalrusError as error:
            self.fail(error.message, param, ctx)
        except (ValueError, InvalidOperation) as error:
            self.fail(str(error), param, ctx)


def _duration(text: str) -> float:
    """Read ``"90s"``, ``"1h30m"``, ``"250ms"`` or a number of seconds."""
    if re.fullmatch(_NUMBER, text):
        return float(text)
    parts = re.findall(rf"({_NUMBER})(ms|s|m|h|d)", text.lower())
    if not parts or "".join(number + unit for number, unit in parts) != text.lower():
        raise ValueError(f"expected a time such as 90s, 30m or 1h30m, found {text!r:.40}")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _units(text: str, coin: str, unit: str) -> int:
    """Read an amount in coins (``"0.5"``) or base units (``"500000frost"``), exactly."""
    match = re.fullmatch(rf"({_NUMBER})\s*({coin}|{unit})?", text, re.IGNORECASE)
    if match is None:
        raise ValueError(f"expected {coin.upper()} as 0.5, or {unit.upper()} as 500000{unit}, found {text!r:.40}")
    amount = Decimal(match[1]) * (1 if (match[2] or "").lower() == unit else _COIN)
    if amount != amount.to_integral_value():
        raise ValueError(f"{text!r:.40} is no whole number of {unit.upper()}")
    return int(amount)


def _share(text: str) -> float:
    """Read ``"0.5"`` or ``"50%"`` as a share from 0 to 1."""
    match = re.fullmatch(rf"({_NUMBER})\s*(%?)", text)
    share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"expected a share from 0 to 1, or a percentage such as 50%, found {text!r:.40}")
    return share


def _price(text: str) -> Decimal:
    if not re.fullmatch(_NUMBER, text):
        raise ValueError(f"expected USD as a decimal number such as 0.42, found {text!r:.40}")
    return Decimal(text)


DURATION = _Kind("time", _duration)
WAL = _Kind("wal", lambda text: Frost(_units(text, "wal", "frost")))
SUI = _Kind("sui", lambda text: Mist(_units(text, "sui", "mist")))
SHARE = _Kind("share", _share)
SIZE = _Kind("size", byte_size)
PRICE = _Kind("usd", _price)
OBJECT_ID = _Kind("object id", ObjectId.parse)
ADDRESS = _Kind("address", SuiAddress.parse)
