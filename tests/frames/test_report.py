"""The report of a deployment: one page without anything from elsewhere, and a trace that follows its format's rules."""

from __future__ import annotations

import base64
import json
import stat
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import walrus_sdk as ws
from walrus_sdk.cli.main import run
from walrus_sdk.errors import ConfigurationError, StateError
from walrus_sdk.frames import report as reports
from walrus_sdk.frames.history import History

from .conftest import HOSTILE, T0, Journal

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """What a page holds; fails where tags do not pair."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def failed(history: History) -> str:
    """A deployment that met errors and ended well."""
    rows = history.deployments
    return str(rows[(rows["failed_attempts"] > 0) & (rows["status"] == "completed")]["deployment"].iloc[0])


@pytest.fixture
def page(real: History) -> Page:
    return Page(reports.of(real, failed(real)).html())


def test_a_page_has_its_parts_under_headings(page: Page) -> None:
    heads = [name for name, _ in page.tags if name in ("h1", "h2")]
    assert heads == ["h1", *["h2"] * 5]
    text = " ".join(page.texts)
    for part in ("Timeline", "Phases", "Slowest files", "Errors", "Cost", "service_unavailable", "edition 3"):
        assert part in text, part


def test_a_page_is_one_file_without_scripts(page: Page) -> None:
    assert not {"script", "link", "iframe", "object", "embed", "form"} & {name for name, _ in page.tags}
    for name, attrs in page.tags:
        assert not any(key.startswith("on") or key in ("href", "srcset", "style") for key in attrs), name
    sources = [attrs["src"] or "" for attrs in page.all("img")]
    assert len(sources) == 2
    for source in sources:
        head, _, data = source.partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv")]
    assert (policy or "").startswith("default-src 'none'")


def test_a_page_can_be_read_out(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("main")) == 1
    assert all(len(attrs["alt"] or "") > 20 for attrs in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table")) > 3
    assert all(attrs.get("scope") in ("row", "col") for attrs in page.all("th"))


def test_what_a_site_says_of_itself_is_never_markup(hostile: tuple[Journal, str]) -> None:
    journal, name = hostile
    page = Page(reports.of(journal.history, name).html())
    assert not page.all("script")
    assert any(HOSTILE in text for text in page.texts)
    assert f"/{HOSTILE}.html" in page.texts
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "figure", "img", "table", "caption",
        "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip


def test_what_a_later_deployment_took_over_is_still_told(journal: Journal) -> None:
    first, second = journal.deployment(1, status="cancelled"), journal.deployment(2)
    journal.store(second, "store-0001", "B", 7)
    journal.put("attempts", deployment=first, operation="store-0009", n=1, kind="store", name="B", started_ms=T0,
                finished_ms=T0 + 5, outcome="failed", frost=7)  # fmt: skip
    journal.put("attempts", deployment=first, operation="store-0009", n=2, kind="store", name="B", started_ms=T0 + 9,
                finished_ms=T0 + 10, outcome="unknown", frost=7)  # fmt: skip
    journal.entry(first, "/a", operation="store-0009")
    history = journal.history
    assert list(history.deployments["operations"]) == [1, 1]
    tries = history.attempts.merge(history.operations, on=["kind", "name"], suffixes=("", "_last"))
    assert list(tries["deployment_last"]) == [second] * 3
    cells = Page(reports.of(history, first).html()).texts
    at = cells.index("store-0009", cells.index("Stores"))
    assert [text for text in cells[at : at + 8] if text.strip()][:6] == [
        "store-0009", "1", "1000", "2", "unknown", "0.000000007 WAL",
    ]  # fmt: skip


def test_a_deployment_without_errors_says_so(real: History) -> None:
    text = reports.of(real, real.deployments["deployment"].iloc[0]).html()
    assert "There were none." in text


def test_a_deployment_that_has_only_begun_has_a_report(journal: Journal) -> None:
    name = journal.deployment(status="pending", finished_ms=None, site_name=None)
    told = reports.of(journal.history, name)
    assert "nothing recorded" in told.html()
    check_trace(told.trace())


def test_a_deployment_that_is_not_there_is_not_found(real_home: Path) -> None:
    with pytest.raises(ConfigurationError) as missing:
        ws.report("deploy_1770000000000_ffffffff", home=real_home)
    assert missing.value.code == "deployment_not_found"


# ── the trace ─────────────────────────────────────────────────────────────────────────────────────────────────────


def check_trace(found: dict[str, Any]) -> None:
    """The rules of the Trace Event Format, JSON object form."""
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert isinstance(found["traceEvents"], list)
    assert found["displayTimeUnit"] in ("ms", "ns")
    named, threads = set(), {}
    for event in found["traceEvents"]:
        assert {"name", "ph", "pid", "tid"} <= set(event)
        assert isinstance(event["name"], str)
        assert type(event["pid"]) is type(event["tid"]) is int
        assert isinstance(event.get("args", {}), dict)
        match event["ph"]:
            case "X":
                assert event["dur"] >= 0
                threads.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
            case "i":
                assert event["s"] in ("g", "p", "t")
            case "C":
                assert all(isinstance(value, int | float) for value in event["args"].values())
            case "M":
                assert event["name"] in ("process_name", "thread_name", "thread_sort_index")
                named.add((event["tid"], event["name"]))
            case other:
                raise AssertionError(other)
        assert event["ph"] == "M" or (
            isinstance(event["ts"], int) and isinstance(event["cat"] if event["ph"] != "C" else "", str)
        )
    for thread, spans in threads.items():
        assert (thread, "thread_name") in named
        open_until: list[int] = []
        for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while open_until and open_until[-1] <= start:
                open_until.pop()
            assert not open_until or end <= open_until[-1], "events of a thread nest, or are apart"
            open_until.append(end)


def test_a_trace_follows_the_rules_of_its_format(real: History) -> None:
    for name in real.deployments["deployment"]:
        check_trace(reports.of(real, name).trace())


def test_a_trace_has_every_try_phase_and_error(real: History) -> None:
    name = failed(real)
    mine, events = real.only(name), reports.of(real, name).trace()["traceEvents"]
    assert sum(event["ph"] == "X" and event["cat"] == "phase" for event in events) == len(mine.phases)
    tries = [event for event in events if event["ph"] == "X" and event["cat"] in ("store", "transaction")]
    assert len(tries) == len(mine.attempts)
    assert sum(event["dur"] for event in tries) == mine.attempts["duration"].sum().total_seconds() * 1e6
    assert sum(event["ph"] == "i" for event in events) == len(mine.errors)
    paid = [str(frost) for frost in mine.attempts.sort_values("start", kind="stable")["frost"]]
    assert [event["args"]["cost_frost"] for event in tries] == paid
    assert any(int(frost) > 0 for frost in paid)


def test_what_is_under_way_ends_at_the_last_sign_of_life(hostile: tuple[Journal, str]) -> None:
    journal, name = hostile
    journal.db.execute("update attempts set finished_ms = null, outcome = null")
    check_trace(reports.of(journal.history, name).trace())


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_writes_both_and_says_where(
    real: History, real_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, page, trace = failed(real), tmp_path / "report.html", tmp_path / "trace.json"
    code = run(["report", name, "--home", str(real_home), "--html", str(page), "--trace", str(trace), "--json"])
    assert code == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) | {"time": ""} == {
        "v": 1, "type": "result", "time": "", "deployment_id": name, "html": str(page), "trace": str(trace),
    }  # fmt: skip
    Page(page.read_text())
    check_trace(json.loads(trace.read_text()))
    assert stat.S_IMODE(page.stat().st_mode) == stat.S_IMODE(trace.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_replaced_by_one_that_only_its_owner_may_read(real: History, tmp_path: Path) -> None:
    told, page = reports.of(real, failed(real)), tmp_path / "report.html"
    page.write_text("an older one")
    page.chmod(0o644)
    assert told.write_html(page) == page
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    Page(page.read_text())
    assert list(tmp_path.iterdir()) == [page]


def test_what_cannot_be_put_in_place_leaves_nothing_behind(
    real: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, place = reports.of(real, failed(real)), tmp_path / "trace.json"
    place.write_text("an older one")

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StateError, match="Permission denied"):
        told.write_trace(place)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"trace.json": "an older one"}


def test_a_device_is_written_to_and_stays_one(real: History) -> None:
    reports.of(real, failed(real)).write_trace("/dev/null")
    assert Path("/dev/null").is_char_device()


def test_a_page_without_a_name_has_a_default_one(
    real: History, real_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["report", failed(real), "--home", str(real_home), "--html"]) == 0
    Page((tmp_path / "report.html").read_text())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [([], "option_invalid"), (["--html", "x.html"], "deployment_not_found")],
)
def test_the_command_refuses_what_it_cannot_do(
    real_home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: str
) -> None:
    assert run(["report", "deploy_1770000000000_ffffffff", "--home", str(real_home), "--json", *arguments]) == 2
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["code"] == code


def test_a_place_that_cannot_be_written_is_an_error_of_the_tree(real: History, tmp_path: Path) -> None:
    told = reports.of(real, failed(real))
    with pytest.raises(StateError) as refused:
        told.write_trace(tmp_path / "no" / "trace.json")
    assert refused.value.code == "state_unwritable"
    assert repr(told) == f"Report of {failed(real)}"
