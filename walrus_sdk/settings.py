"""Environment and project file as one frozen value: the only reader of ``os.environ``.

Order: an explicit option wins over the environment, the environment over the project file
(``walrus-sdk.toml`` in the current folder or above), the project file over the defaults.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model.network import LOCAL, MAINNET, TESTNET, Network
from walrus_sdk.model.units import byte_size

__all__ = ["ENVIRONMENT", "NETWORKS", "PROJECT_FILE", "Project", "Secret", "Settings", "load", "read_toml"]

PROJECT_FILE = "walrus-sdk.toml"
NETWORKS: Mapping[str, Network] = {network.name: network for network in (LOCAL, TESTNET, MAINNET)}

ENVIRONMENT: Mapping[str, str] = {
    "WALRUS_DEPLOYMENT_HOME": "state folder (default ~/.walrus-deployment)",
    "WALRUS_WALLET_PATH": "Sui client.yaml or keystore to take the key from",
    "SUI_PRIVATE_KEY": "suiprivkey… text of the key that owns the sites",
    "WALRUS_PUBLISHER_TOKEN": "bearer token for a publisher that asks for one",
    "WALRUS_WEBHOOK_KEY": "key that signs what webhooks are told of alerts: whsec_…, or any text of 24 bytes",
    "WALRUS_WEBHOOK_ORIGINS": "origins that may be told of alerts (https://host:port), with commas between them",
    "WALRUS_CA_FILE": "certificates of authorities (PEM) to trust beside the usual ones, for services of your own",
    "WALRUS_CONFIG_PATH": "project file to use instead of walrus-sdk.toml; one that is no .toml is reported only",
    "WALTODO_CLI_PATH": "program that scripts/deploy-walrus-site-enhanced.sh runs (default: waltodo on the path)",
    "SITE_BUILDER_PATH": "the official site-builder; reported only, no command runs it",
    "VERBOSE": "true: log to the terminal",
    "CI": "true: never prompt",
    "NO_COLOR": "set: no colours",
    "JUPYTERHUB_SERVICE_PREFIX": "set by JupyterHub: panels show sites of the local network as snapshots",
    "GITHUB_OUTPUT": "file that receives the result's fields in GitHub Actions",
    "GITHUB_STEP_SUMMARY": "file that receives the result as a summary in GitHub Actions",
    "GITHUB_SHA": "commit to record where git is not installed",
}
"""Every variable that is read, with its meaning."""


class Secret:
    """A text that is never shown: `reveal` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text, for the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True)
class Project:
    """What ``walrus-sdk.toml`` may say; paths are relative to the file's folder, `None` means not said.

    `max_memory` is in bytes, `max_bandwidth` in bytes a second. `alerts` are rules by name as they were written (who
    watches reads them), `webhooks` addresses by name.
    """

    network: str | None = None
    name: str | None = None
    epochs: int | None = None
    folder: str | None = None
    ignore: tuple[str, ...] = ()
    publisher: tuple[str, ...] = ()
    aggregator: tuple[str, ...] = ()
    graphql: tuple[str, ...] = ()
    portal: str | None = None
    concurrency: int | None = None
    max_bodies: int | None = None
    max_memory: int | None = None
    max_bandwidth: int | None = None
    alerts: Mapping[str, Any] = field(default_factory=dict)
    webhooks: Mapping[str, str] = field(default_factory=dict, repr=False)
    path: Path | None = None

    @property
    def limits(self) -> Mapping[str, int | None]:
        """What it says of the limits of uploads, by the names of `DeployOptions`."""
        return {name: getattr(self, name) for name in _COUNT_KEYS if name != "epochs"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that was found around the process, read once.

    `walrus_config` is used when it is a project file; `cli_path` and `site_builder` are known to be reported only.
    """

    home: Path
    user_home: Path = Path("/")
    project: Project = field(default_factory=Project)
    private_key: Secret | None = None
    wallet_path: Path | None = None
    publisher_token: Secret | None = None
    webhook_key: Secret | None = None
    webhook_origins: tuple[str, ...] = ()
    ca_file: Path | None = None
    walrus_config: Path | None = None
    cli_path: Path | None = None
    site_builder: Path | None = None
    verbose: bool = False
    ci: bool = False
    no_color: bool = False
    in_hub: bool = False
    github_output: Path | None = None
    github_summary: Path | None = None
    commit: str = ""

    def network(self, name: str | None) -> Network:
        """Return the network of that name (or of the project file, or local), with the project's URLs.

        Raises `ConfigurationError` ``network_unknown``.
        """
        chosen = name or self.project.network or "local"
        if chosen not in NETWORKS:
            raise ConfigurationError(
                "network_unknown", f"no network {chosen!r}; known are {', '.join(NETWORKS)}", found=chosen
            )
        network, project = NETWORKS[chosen], self.project
        if chosen != (project.network or chosen):
            return network  # the project's URLs belong to the network that it names
        return replace(
            network,
            publisher_urls=project.publisher or network.publisher_urls,
            aggregator_urls=project.aggregator or network.aggregator_urls,
            graphql_urls=project.graphql or network.graphql_urls,
            portal=project.portal or network.portal,
        )


def load(environ: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Settings:
    """Read the environment, and the project file of `folder` (default: the current one) or a folder above it.

    Raises `ConfigurationError` ``setting_invalid`` with the file and key.
    """
    env = os.environ if environ is None else environ
    home, config = env.get("WALRUS_DEPLOYMENT_HOME"), _path(env.get("WALRUS_CONFIG_PATH"))
    named = config if config is not None and config.suffix == ".toml" else None
    return Settings(
        home=Path(home).expanduser().absolute() if home else _user_home(env) / ".walrus-deployment",
        user_home=_user_home(env),
        project=_read_project(named) if named is not None else _project(folder or Path.cwd()),
        private_key=_secret(env.get("SUI_PRIVATE_KEY")),
        wallet_path=_path(env.get("WALRUS_WALLET_PATH")),
        publisher_token=_secret(env.get("WALRUS_PUBLISHER_TOKEN")),
        webhook_key=_secret(env.get("WALRUS_WEBHOOK_KEY")),
        webhook_origins=tuple((env.get("WALRUS_WEBHOOK_ORIGINS") or "").replace(",", " ").split()),
        ca_file=_path(env.get("WALRUS_CA_FILE")),
        walrus_config=config,
        cli_path=_path(env.get("WALTODO_CLI_PATH")),
        site_builder=_path(env.get("SITE_BUILDER_PATH")),
        verbose=_truth(env.get("VERBOSE")),
        ci=_truth(env.get("CI")),
        no_color=bool(env.get("NO_COLOR")),
        in_hub=bool(env.get("JUPYTERHUB_SERVICE_PREFIX")),
        github_output=_path(env.get("GITHUB_OUTPUT")),
        github_summary=_path(env.get("GITHUB_STEP_SUMMARY")),
        commit=env.get("GITHUB_SHA", ""),
    )


def _user_home(env: Mapping[str, str]) -> Path:
    return Path(env.get("HOME") or Path.home()).absolute()


def _secret(text: str | None) -> Secret | None:
    return Secret(text.strip()) if text and text.strip() else None


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser().absolute() if text else None


def _truth(text: str | None) -> bool:
    return (text or "").strip().lower() in {"1", "true", "yes", "on"}


def _project(folder: Path) -> Project:
    for place in (folder.absolute(), *folder.absolute().parents):
        path = place / PROJECT_FILE
        if path.is_file():
            return _read_project(path)
    return Project()


_TEXT_KEYS = {"network", "name", "folder", "portal"}
_LIST_KEYS = {"ignore", "publisher", "aggregator", "graphql"}
_TABLE_KEYS = {"alerts", "webhooks"}
_COUNT_KEYS = {"epochs", "concurrency", "max_bodies", "max_memory"}


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises `ConfigurationError` ``setting_invalid`` with the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError("setting_invalid", f"{path}: {error}", path=str(path)) from error


def _read_project(path: Path) -> Project:
    data = read_toml(path)
    known = {item.name for item in fields(Project)} - {"path"}
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in known:
            raise _bad(path, key, f"one of {', '.join(sorted(known))}", key)
        values[key] = _project_value(path, key, value)
    return Project(**values, path=path)


def _project_value(path: Path, key: str, value: Any) -> Any:
    if key in _TEXT_KEYS and isinstance(value, str):
        return value
    if key in _COUNT_KEYS and isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if key in _LIST_KEYS:
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return tuple(items)
    if key == "max_bandwidth":
        return _rate(path, key, value)
    if key in _TABLE_KEYS:
        return _table(path, key, value)
    expected = "a text" if key in _TEXT_KEYS else "a whole number from 1" if key in _COUNT_KEYS else "a list of texts"
    raise _bad(path, key, expected, value)


def _table(path: Path, key: str, value: Any) -> Mapping[str, Any]:
    is_texts = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    if not isinstance(value, dict) or (key == "webhooks" and not is_texts):
        found = "something else in it" if isinstance(value, dict) else value  # addresses of webhooks may be secret
        raise _bad(path, key, "a table of addresses" if key == "webhooks" else "a table of rules", found)
    return value


def _rate(path: Path, key: str, value: Any) -> int:
    try:
        rate = byte_size(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else 0
    except ValueError:
        rate = 0
    if rate < 1024:
        raise _bad(path, key, "bytes a second, such as 500K or 50M, from 1024", value)
    return rate


def _bad(path: Path, key: str, expected: str, found: object) -> ConfigurationError:
    return ConfigurationError(
        "setting_invalid", f"{path}: {key}: expected {expected}, found {found!r}", path=str(path), key=key
    )
