"""What comes from outside while a verb runs: signals, readers that go away; and the displays' pace."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anyio
import pytest

from walrus_sdk.cli.displays import JsonDisplay, PlainDisplay
from walrus_sdk.cli.streams import Stream, printable
from walrus_sdk.errors import StateError
from walrus_sdk.model.progress import Phase, Progress

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Put the process's signal handlers back."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_the_verb_and_says_what_to_do_next(cli: Any, session: Any, number: int, code: int) -> None:
    async def meanwhile() -> None:
        os.kill(os.getpid(), number)
        await anyio.sleep_forever()

    session.meanwhile = meanwhile
    session.summaries = [replace(session.summaries[0], status="interrupted", resumable=True)]
    ran = cli("deploy", "out", "--json")
    assert (ran.code, ran.last["type"], ran.last["code"]) == (code, "error", "interrupted")
    assert (ran.last["resumable"], ran.last["next_step"]) == (True, "Run the same command again.")
    assert ran.last["deployment_id"] == str(session.summaries[0].deployment_id)
    assert not session.hurried


def test_it_is_not_guessed_which_deployment_was_stopped(cli: Any, session: Any) -> None:
    async def meanwhile() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()

    session.meanwhile = meanwhile
    session.summaries = [replace(session.summaries[0], status="interrupted", resumable=True)] * 2
    assert cli("deploy", "out", "--json").last["deployment_id"] is None


def test_a_second_signal_ends_the_grace_of_what_is_paid(cli: Any, session: Any) -> None:
    async def meanwhile() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                os.kill(os.getpid(), signal.SIGINT)
                while not session.hurried:
                    await anyio.lowlevel.checkpoint()

    session.meanwhile = meanwhile
    assert cli("deploy", "out").code == 130
    assert session.hurried
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL, "a third one ends the process"


def test_a_verb_that_ends_in_spite_of_a_signal_is_done(cli: Any, session: Any) -> None:
    async def meanwhile() -> None:
        with anyio.CancelScope(shield=True):
            os.kill(os.getpid(), signal.SIGTERM)
            await anyio.lowlevel.checkpoint()

    session.meanwhile = meanwhile
    ran = cli("deploy", "out", "--json")
    assert (ran.code, ran.last["type"]) == (0, "result")


def test_a_failure_while_stopping_does_not_hide_the_signal(cli: Any, session: Any) -> None:
    async def meanwhile() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            raise StateError("state_full", "no room") from None

    session.meanwhile = meanwhile
    ran = cli("deploy", "out", "--json")
    assert (ran.code, ran.last["code"]) == (143, "interrupted")
    assert "no room" in ran.last["message"]


def test_a_signal_that_was_ignored_stays_ignored(cli: Any, session: Any) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def meanwhile() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        await anyio.lowlevel.checkpoint()

    session.meanwhile = meanwhile
    assert cli("deploy", "out").code == 0


# ── streams ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Broken(io.StringIO):
    """A pipe whose reader went away after the first line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0

    def write(self, text: str) -> int:
        self.lines += 1
        if self.lines > 1:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


def test_a_reader_that_goes_away_does_not_end_a_deployment(cli: Any, session: Any) -> None:
    cli.out = Broken()
    ran = cli("deploy", "out", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert session.verbs == ["deploy"]


def test_a_stream_that_is_closed_or_missing_takes_everything() -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (Stream(closed), Stream(None)):
        assert stream.write("text\n") == 5
        stream.flush()
        assert stream.broken
        assert not stream.isatty()


def test_characters_that_a_terminal_lacks_are_replaced() -> None:
    raw = io.BytesIO()
    stream = Stream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("é – done\n")
    stream.flush()
    assert raw.getvalue() == b"? ? done\n"


def test_control_bidirectional_and_broken_characters_are_shown_as_escapes() -> None:
    assert printable("a\x1b\u202e\u200b\udc80é\n") == "a\\x1b\\u202e\\u200b\\udc80é\\n"


# ── pace ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_json_progress_comes_at_most_twice_a_second_and_ends_up_with_the_latest() -> None:
    now, written = [0.0], list[tuple[float, int]]()
    display = JsonDisplay(lambda fields: written.append((now[0], fields["bytes_sent"])), lambda: now[0])
    for step in range(301):  # three seconds, one change each 10 ms
        now[0] = step / 100
        display.show(Progress(Phase.STORE, bytes_sent=step))
    assert [at for at, _ in written] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    display.show(Progress(Phase.STORE, bytes_sent=999, waiting="looking"))
    display.tick()
    assert written[-1] == (3.0, 300)
    now[0] = 3.5
    display.tick()
    assert written[-1] == (3.5, 999), "what was held back is written although nothing happens any more"
    now[0] = 9.0
    display.tick()
    assert len(written) == 8, "nothing new, nothing written"


def test_plain_lines_do_not_flood_a_log_with_waits() -> None:
    now, written = [0.0], list[str]()
    display = PlainDisplay(written.append, lambda: now[0])
    for step in range(100):
        now[0] = step / 10
        display.show(Progress(Phase.STORE, waiting=f"store-{step}: looking for it"))
    assert len(written) == 2


def test_a_terminal_gets_three_lines_that_are_rewritten_and_its_cursor_back(cli: Any) -> None:
    cli.terminal = True
    ran = cli("deploy", "out")
    assert ran.code == 0
    for text in ("prepared", "stored", "on chain", "2.0 kB sent"):
        assert text in ran.err
    assert ran.err.rfind("\x1b[?25h") > ran.err.rfind("\x1b[?25l") >= 0


def test_no_color_leaves_the_terminal_without_colours(cli: Any, session: Any) -> None:
    cli.terminal = True
    cli.set(no_color=True)
    session.failure = StateError("state_full", "no room")
    ran = cli("list")
    assert ran.code == 3
    assert "\x1b[31m" not in ran.err
    assert "\x1b[1;31m" not in ran.err
