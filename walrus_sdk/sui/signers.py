"""Signers, and where a key is looked for. A key is never shown, stored or pickled."""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from walrus_sdk.codecs import keys, keystore
from walrus_sdk.errors import BlockchainError, CodecError, ConfigurationError, WalrusError
from walrus_sdk.model.units import SuiAddress
from walrus_sdk.ports import SigningRequest

__all__ = ["CallbackSigner", "KeySigner", "default_wallet", "find_key", "key_of_file", "key_of_text"]

_MAX_FILE = 1024 * 1024
_CLIENT = "client.yaml"
_KEYSTORE = "sui.keystore"


class KeySigner:
    """Signs with a key in this process; for scripts, CI and the local network."""

    __slots__ = ("_key",)

    def __init__(self, key: keys.PrivateKey) -> None:
        self._key = key

    @property
    def address(self) -> SuiAddress:
        """The key's address."""
        return self._key.address

    async def sign(self, request: SigningRequest) -> bytes:
        """Sign a transaction; see the port."""
        return self._key.sign_transaction(request.transaction)

    def __repr__(self) -> str:
        return f"KeySigner({self.address})"


class CallbackSigner:
    """Asks somebody else to sign: a hardware wallet, a remote service. Its signature is checked."""

    def __init__(self, address: SuiAddress, callback: Callable[[SigningRequest], Awaitable[bytes]]) -> None:
        self._address = address
        self._callback = callback

    @property
    def address(self) -> SuiAddress:
        """The address that the callback signs for."""
        return self._address

    async def sign(self, request: SigningRequest) -> bytes:
        """Return the callback's signature. Raises `BlockchainError` ``signature_refused``."""
        try:
            signature = await self._callback(request)
            signer = keys.verify(signature, request.transaction)
        except CodecError as error:
            raise BlockchainError(
                "signature_refused", f"the signer's answer is no signature: {error.message}"
            ) from error
        except WalrusError:
            raise
        except Exception as error:
            raise BlockchainError("signature_refused", f"the signer failed: {type(error).__name__}") from error
        if signer != self._address:
            text = f"the signer signed as {signer}, expected {self._address}"
            raise BlockchainError("signature_refused", text, expected=str(self._address), found=str(signer))
        return signature


def default_wallet(home: Path) -> Path:
    """Return where Sui's own tools keep their configuration."""
    return home / ".sui" / "sui_config" / _CLIENT


def key_of_text(text: str) -> keys.PrivateKey:
    """Read a ``suiprivkey…`` text. Raises `ConfigurationError` ``key_invalid``; the text is never quoted."""
    try:
        return keys.PrivateKey.from_suiprivkey(text)
    except WalrusError as error:
        raise ConfigurationError("key_invalid", "SUI_PRIVATE_KEY is not a suiprivkey… text") from error


def key_of_file(path: Path, address: SuiAddress | None = None) -> keys.PrivateKey:
    """Read the key of a Sui keystore, or of the keystore that a ``client.yaml`` names with its active address.

    Raises `ConfigurationError` ``key_invalid`` when it has no such key or others may read it.
    """
    if path.is_dir():
        path = path / _CLIENT if (path / _CLIENT).exists() else path / _KEYSTORE
    if path.suffix in (".yaml", ".yml"):
        config = keystore.parse_client_yaml(_text(path, private=False))
        if config.keystore is None:
            raise ConfigurationError("key_invalid", f"{path} names no keystore file", path=str(path))
        return _of_keystore(Path(config.keystore).expanduser(), address or config.active_address)
    return _of_keystore(path, address)


def _of_keystore(path: Path, address: SuiAddress | None) -> keys.PrivateKey:
    found = keystore.parse_keystore(_text(path, private=True))
    if address is not None:
        found = [key for key in found if key.address == address]
    if len(found) != 1:
        which = f"of {address}" if address is not None else "and no active address that chooses"
        raise ConfigurationError("key_invalid", f"{path} holds {len(found)} keys {which}", path=str(path))
    return found[0]


def _text(path: Path, *, private: bool) -> str:
    try:
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
            data = file.read(_MAX_FILE)
    except OSError as error:
        raise ConfigurationError("key_invalid", f"{path}: {error.strerror}", path=str(path)) from error
    if private and (info.st_uid != os.geteuid() or info.st_mode & (stat.S_IRWXG | stat.S_IRWXO)):
        text = f"{path} can be read by others: expected your own file with mode 0600"
        raise ConfigurationError("key_invalid", text, path=str(path))
    with suppress(UnicodeDecodeError):
        return data.decode("utf-8")
    # Raised out here: the decoder's error holds the file's bytes, and would hang on to this one.
    raise ConfigurationError("key_invalid", f"{path} is not text", path=str(path))


def find_key(private_key: str | None, wallet: Path | None, home: Path) -> keys.PrivateKey:
    """Return the key to sign with: the text, else the wallet file, else Sui's own one below `home`.

    Raises `ConfigurationError` ``key_missing`` that names all ways, ``key_invalid``.
    """
    if private_key is not None:
        return key_of_text(private_key)
    path = wallet or default_wallet(home)
    if wallet is None and not path.exists():
        raise ConfigurationError(
            "key_missing", f"no key: SUI_PRIVATE_KEY is not set, and there is no Sui wallet at {path}", path=str(path)
        )
    return key_of_file(path)
