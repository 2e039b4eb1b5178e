"""``deploy-site``: every flag does what the command or verb does that it stands for."""

from __future__ import annotations

import io
import json
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from walrus_sdk import errors
from walrus_sdk.cli.main import main, run
from walrus_sdk.cli.original import deploy_site
from walrus_sdk.cli.output import Output
from walrus_sdk.cli.outside import Outside
from walrus_sdk.service.complaints import COMPLAINTS
from walrus_sdk.settings import Project, Settings

NOWHERE = "deploy_1700000000000_0badcafe"
FLAGS = """--site-name --network --list-deployments --resume --deployment-status --status --rollback --cancel
    --cleanup-old --progress --monitor --verbose --json --home --help""".split()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass
class Line:
    """Runs command lines against the simulated world of a place; returns exit code, output, error stream."""

    place: Any
    settings: Settings
    terminal: bool = False
    opened: list[Any] = field(default_factory=list)

    def __call__(self, *args: str) -> tuple[int, str, str]:
        self.place.world.disk.asked = anyio.Event()  # a command has an event loop of its own
        stream = Terminal if self.terminal else io.StringIO
        out, err = stream(), stream()
        outside = Outside(
            out=out, err=err, stdin=io.StringIO(), load_settings=lambda: self.settings, open_session=self._open
        )
        code = run(args, outside)
        assert "Traceback" not in err.getvalue(), err.getvalue()
        return code, out.getvalue(), err.getvalue()

    def _open(self, settings: Settings, **where: Any) -> Any:
        self.opened.append({"home": settings.home, **where})
        return self.place.open(**where)

    def json(self, *args: str) -> tuple[int, list[dict[str, Any]]]:
        code, out, _ = self(*args, "--json")
        return code, [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def line(place: Any, tmp_path: Path) -> Line:
    return Line(place, Settings(home=tmp_path / "home"))


def left_by(place: Any, point: str, **asked: Any) -> str:
    left: str = place.run(lambda: place.die_at(point, **asked))
    return left


def test_it_has_exactly_the_flags_of_the_original_design() -> None:
    known = {name for parameter in deploy_site.params for name in parameter.opts if name.startswith("-")}
    assert known | {"--help"} == set(FLAGS)
    assert "deploy-site" in main.commands


def test_the_alias_runs_the_same_program() -> None:
    pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    scripts = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts["waltodo"] == scripts["walrus-sdk"]


def test_without_a_flag_it_deploys_the_folder_that_is_named_or_that_of_the_project_file(line: Line) -> None:
    code, objects = line.json("deploy-site", "/site", "--site-name", "simulated", "--network", "local")
    assert (code, objects[-1]["type"], objects[-1]["site_name"]) == (0, "result", "simulated")
    assert (line.opened[-1]["network"], line.opened[-1]["home"]) == ("local", line.settings.home)

    line.settings = replace(line.settings, project=Project(folder="site", path=Path("/walrus-sdk.toml")))
    code, objects = line.json("deploy-site", "--site-name", "simulated")
    assert (code, objects[-1]["changed"]) == (0, False)
    line.settings = replace(line.settings, project=Project())
    assert line.json("deploy-site")[1][-1]["code"] == "option_invalid"


def test_a_deployment_is_listed_shown_and_resumed(line: Line) -> None:
    left = left_by(line.place, "store.do.before")
    assert [row["deployment_id"] for row in line.json("deploy-site", "--list-deployments")[1]] == [left]
    for flag in ("--deployment-status", "--status"):
        ((shown,), (meant,)) = line.json("deploy-site", flag, left)[1], line.json("status", left)[1]
        assert {**shown, "time": ""} == {**meant, "time": ""}
    code, objects = line.json("deploy-site", "--resume", left, "/site")
    assert (code, objects[-1]["deployment_id"]) == (0, left)
    assert set(line.place.world.paid().values()) == {1}


def test_rollback_names_a_deployment(line: Line) -> None:
    first, second = (line.place.run(line.place.deploy, page) for page in (b"one", b"two"))
    code, objects = line.json("deploy-site", "--rollback", second)
    assert (code, objects[-1]["version"]) == (0, 3)
    assert line.place.run(line.place.home_page) == b"one"
    code, objects = line.json("deploy-site", "--rollback", first)
    assert (code, objects[-1]["code"]) == (2, "version_not_found")


def test_cancel_and_cleanup(line: Line) -> None:
    left = left_by(line.place, "transaction.intent.before", deletable=True)
    assert line.json("deploy-site", "--cancel", left)[1][-1]["status"] == "cancelled"
    code, objects = line.json("deploy-site", "--cleanup-old", "0")
    assert (code, objects[-1]["dry_run"], objects[-1]["deployments"]) == (0, False, [left])
    assert objects[-1]["deleted"]
    assert line.json("deploy-site", "--cleanup-old", "-1")[0] == 2


def test_monitor_watches_as_monitor_does_and_says_how_it_ended(line: Line) -> None:
    done = line.place.run(line.place.deploy)
    code, out, _ = line("deploy-site", "--monitor", "--status", done)
    assert code == 0
    assert ["status", "completed"] in [text.split() for text in out.splitlines()]
    assert out == line("monitor", done)[1]
    objects = line.json("deploy-site", "--monitor", "--status", done)[1]
    assert (objects[-1]["deployment_id"], objects[-1]["progress"]) == (done, 1.0)

    left = left_by(line.place, "store.do.before", fresh=True)
    assert line("deploy-site", "--monitor", "--status", left)[0] == 3
    assert line.json("deploy-site", "--monitor")[1][-1]["code"] == "deployment_not_found", "none is under way"


def test_progress_is_plain_lines_on_a_terminal_too(line: Line) -> None:
    line.terminal = True
    _, _, live = line("deploy-site", "/site", "--site-name", "simulated")
    assert "\x1b[" in live
    line.place.world.files["index.html"] = b"another"
    code, _, plain = line("deploy-site", "/site", "--site-name", "simulated", "--progress")
    assert (code, "\x1b[" in plain) == (0, False)
    assert any(text.startswith("storing: ") for text in plain.splitlines())


@pytest.mark.parametrize(
    "args",
    [
        ("--resume", NOWHERE, "--cancel", NOWHERE),
        ("/site", "--list-deployments"),
        ("/site", "--monitor"),
        ("--monitor", "--cancel", NOWHERE),
        ("--cancel", NOWHERE, "--site-name", "x"),
        ("--list-deployments", "--status", NOWHERE),
    ],
)
def test_one_thing_at_a_time(line: Line, args: tuple[str, ...]) -> None:
    code, objects = line.json("deploy-site", *args)
    assert (code, objects[-1]["code"]) == (2, "option_invalid")


@pytest.mark.parametrize("flag", ["--resume", "--status", "--rollback", "--cancel"])
def test_an_id_that_is_not_known_is_bad_input(line: Line, flag: str) -> None:
    for text in (NOWHERE, "--not-an-id", "../../etc"):
        code, objects = line.json("deploy-site", f"{flag}={text}")
        assert (code, objects[-1]["code"]) == (2, "deployment_not_found"), text


# ── the four known complaints ─────────────────────────────────────────────────────────────────────────────────────


def page(error: errors.WalrusError) -> str:
    err = io.StringIO()
    Output(Outside(out=io.StringIO(), err=err)).error(error)
    return err.getvalue()


@pytest.mark.parametrize("complaint", COMPLAINTS, ids=lambda one: one.text)
def test_the_error_page_prints_the_checks_of_a_known_complaint(complaint: Any) -> None:
    for code in complaint.codes:
        text = page(errors.WalrusError(code, "found"))
        assert complaint.text in text
        assert all(check.replace("`", "") in text for check in complaint.checks)


def test_the_checks_are_printed_for_what_an_error_was_caused_by_and_for_no_other() -> None:
    error = errors.DeploymentStopped("attempts_exhausted", "tried often")
    assert "known as" not in page(error)
    error.__cause__ = errors.NetworkError("timeout_read", "no answer")
    assert "Network timeout during upload" in page(error)
