"""The Sui client's files as text: ``sui.keystore``, ``sui.aliases``, ``client.yaml``. Reading only, and only text.

Source: docs/explanation/formats.md (keys).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml

from walrus_sdk.codecs.keys import PrivateKey
from walrus_sdk.errors import CodecError, ConfigurationError
from walrus_sdk.model.units import SuiAddress

__all__ = ["MAX_FILE", "SuiClientConfig", "parse_aliases", "parse_client_yaml", "parse_keystore"]

MAX_FILE = 1024 * 1024
"""Largest file that is read, in bytes: real ones have a few kB."""


@dataclass(frozen=True, slots=True)
class SuiClientConfig:
    """What ``client.yaml`` says: where the keystore is, which address is active, which networks it knows."""

    keystore: str | None
    active_address: SuiAddress | None
    active_env: str | None
    envs: tuple[tuple[str, str], ...]


def _bad(what: str) -> ConfigurationError:
    return ConfigurationError("key_invalid", what)


def _json_list(text: str, what: str) -> list[Any]:
    if len(text) > MAX_FILE:
        raise _bad(f"{what}: larger than {MAX_FILE} bytes")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise _bad(f"{what}: not JSON") from None  # the parser's error would quote the text around the fault
    if not isinstance(data, list):
        raise _bad(f"{what}: expected a list")
    return data


def parse_keystore(text: str) -> list[PrivateKey]:
    """Return the keys of a ``sui.keystore``. Raises ``key_invalid``; the entries themselves are never repeated."""
    entries = _json_list(text, "sui.keystore")
    if not all(isinstance(entry, str) for entry in entries):
        raise _bad("sui.keystore: expected a list of texts")
    return [PrivateKey.from_keystore_entry(entry) for entry in entries]


def parse_aliases(text: str) -> dict[str, str]:
    """Return ``sui.aliases`` as public key (base64 of flag and key) to alias."""
    aliases: dict[str, str] = {}
    for item in _json_list(text, "sui.aliases"):
        if not isinstance(item, dict) or not isinstance(item.get("alias"), str):
            raise _bad("sui.aliases: expected alias and public_key_base64 in each entry")
        aliases[str(item.get("public_key_base64"))] = item["alias"]
    return aliases


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: they are no use in this file, and a bomb in a hostile one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise _bad("client.yaml: aliases are refused")
        return super().compose_node(parent, index)


def parse_client_yaml(text: str) -> SuiClientConfig:
    """Read ``client.yaml``; unknown keys are left alone. Raises `ConfigurationError` ``key_invalid``."""
    if len(text) > MAX_FILE:
        raise _bad(f"client.yaml: larger than {MAX_FILE} bytes")
    try:
        data = yaml.load(text, _PlainLoader)  # noqa: S506  # a safe loader, made stricter
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _bad(f"client.yaml: {type(error).__name__}") from None
    if not isinstance(data, dict):
        raise _bad("client.yaml: expected keys and values")
    keystore = data.get("keystore")
    path = keystore.get("File") if isinstance(keystore, dict) else None
    envs = data.get("envs") if isinstance(data.get("envs"), list) else []
    return SuiClientConfig(
        keystore=path if isinstance(path, str) else None,
        active_address=_address(data.get("active_address")),
        active_env=data.get("active_env") if isinstance(data.get("active_env"), str) else None,
        envs=tuple((str(env.get("alias")), str(env.get("rpc"))) for env in envs or [] if isinstance(env, dict)),
    )


def _address(value: Any) -> SuiAddress | None:
    if value is None:
        return None
    try:
        # An unquoted 0x… is a number to YAML.
        return SuiAddress.parse(hex(value) if isinstance(value, int) else str(value))
    except CodecError as error:
        raise _bad(f"client.yaml: active_address: {error.message}") from error
