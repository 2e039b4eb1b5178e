"""``localnet …``: what is asked of the local network, which is another process."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from walrus_sdk import local

FACTS = {"chain_id": "1c804335", "n_shards": 10, "walrus_epoch": 1}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """A local network that remembers what it is asked, in the place of the process."""
    calls: list[tuple[str, Any]] = []
    running = SimpleNamespace(url="http://127.0.0.1:1", facts=FACTS, started=True, port_changed=True)

    def remember(name: str, answer: Any) -> None:
        def called(home: Path, *args: Any, **options: Any) -> Any:
            calls.append((name, args or options))
            return answer

        monkeypatch.setattr(local, name, called)

    remember("ensure_running", running)
    remember("status", running)
    remember("stop", True)
    remember("reset", None)
    remember("ledger", [{"kind": "blob", "blob_id": "B", "paid": True, "cost_frost": "7"}])
    remember("faults", {"shape": {"latency_s": 0.0}, "rules": []})
    remember("set_faults", {"shape": {"latency_s": 0.5}, "rules": [{"point": "sui.read", "action": "lag"}]})
    remember("advance_epoch", {"walrus_epoch": 3})
    remember("set_prices", {"storage_price_frost": "9"})
    remember("faucet", {"mist": 500_000_000})
    return calls


def test_start_says_where_it_runs_and_never_the_token(cli: Any, asked: list[tuple[str, Any]]) -> None:
    ran = cli("localnet", "start", "--shards", "10", "--idle", "2m", "--json")
    assert asked == [("ensure_running", {"shards": 10, "idle_s": 120.0})]
    assert (ran.last["url"], ran.last["started"], ran.last["chain_id"]) == ("http://127.0.0.1:1", True, "1c804335")
    assert "port was taken" in ran.err
    assert "token" not in ran.out


def test_reset_wants_a_yes(cli: Any, asked: list[tuple[str, Any]]) -> None:
    ran = cli("localnet", "reset", "--json")
    assert (ran.code, ran.last["code"], asked) == (2, "confirmation_needed", [])
    cli.terminal, cli.answer = True, "n\n"
    assert (cli("localnet", "reset").code, asked) == (2, [])
    cli.answer = "yes\n"
    assert cli("localnet", "reset").code == 0
    cli.terminal = False
    assert cli("localnet", "reset", "--yes").code == 0
    assert [name for name, _ in asked] == ["reset", "reset"]


def test_the_ledger_is_rows(cli: Any, asked: list[tuple[str, Any]]) -> None:
    (row,) = cli("localnet", "ledger", "--json").objects
    assert (row["type"], row["kind"], row["paid"], row["cost_frost"]) == ("row", "blob", True, "7")
    assert asked[-1][0] == "ledger"


def test_faults_are_shown_set_and_cleared(cli: Any, asked: list[tuple[str, Any]], tmp_path: Path) -> None:
    assert cli("localnet", "faults", "--json").last["shape"] == {"latency_s": 0.0}
    given = (
        "--clear --on-disconnect finish --latency 500ms --shape bytes_per_s=1000 --rule sui.read=lag,times=1,behind=2"
    )
    assert cli("localnet", "faults", *given.split()).code == 0
    shape = {"bytes_per_s": 1000, "on_disconnect": "finish", "latency_s": 0.5}
    rules = [{"point": "sui.read", "action": "lag", "times": 1, "behind": 2}]
    assert [args for name, args in asked if name == "set_faults"] == [(None,), ({"shape": shape, "rules": rules},)]


@pytest.mark.parametrize("from_file", [True, False])
def test_faults_come_from_a_file_or_the_standard_input(
    cli: Any, asked: list[tuple[str, Any]], tmp_path: Path, from_file: bool
) -> None:
    data = {"rules": [{"point": "sui.read", "action": "lag"}]}
    file = tmp_path / "faults.json"
    file.write_text(json.dumps(data))
    cli.answer = json.dumps(data)
    assert cli("localnet", "faults", "--set", str(file) if from_file else "-").code == 0
    assert asked[-1] == ("set_faults", (data,))


@pytest.mark.parametrize("given", [("--rule", "sui.read"), ("--shape", "slots"), ("--set", "/nowhere/x.json")])
def test_malformed_faults_ask_nothing_of_the_network(cli: Any, asked: list[tuple[str, Any]], given: Any) -> None:
    ran = cli("localnet", "faults", *given, "--json")
    assert (ran.code, ran.last["code"], asked) == (2, "option_invalid", [])


def test_epochs_and_money(cli: Any, asked: list[tuple[str, Any]]) -> None:
    assert cli("localnet", "advance-epoch", "--walrus", "2", "--json").last["walrus_epoch"] == 3
    assert asked[-1] == ("advance_epoch", {"walrus": 2, "sui": 0})
    assert cli("localnet", "prices", "--storage", "9", "--json").last["storage_price_frost"] == "9"
    assert asked[-1] == ("set_prices", {"storage": 9})
    assert cli("localnet", "faucet", "0x1", "--sui", "0.5").code == 0
    address, mist = asked[-1][1]
    assert (str(address)[-1], mist) == ("1", 500_000_000)


@pytest.mark.parametrize(
    "args", [("ledger",), ("faults",), ("advance-epoch", "--sui", "1"), ("prices", "--gas", "2"), ("faucet", "0x1")]
)
def test_what_needs_it_running_says_so(cli: Any, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]) -> None:
    monkeypatch.setattr(local, "status", lambda home: None)
    ran = cli("localnet", *args, "--json")
    assert (ran.code, ran.last["code"]) == (2, "localnet_not_running")
    assert cli("localnet", "status", "--json").last["running"] is False
