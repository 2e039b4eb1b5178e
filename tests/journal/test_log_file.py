"""The log of a home: lines go in whole, it is set aside at its size, and whoever follows it misses none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from walrus_sdk.journal import log_file
from walrus_sdk.journal.log_file import LogFile, LogTail, aside, log_path


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path, lambda line: line.replace("secret", "***"))


def test_lines_are_written_without_secrets_and_for_the_owner_only(log: LogFile, tmp_path: Path) -> None:
    log.write(["one secret", "two"])
    assert log_path(tmp_path).read_text() == "one ***\ntwo\n"
    assert log_path(tmp_path).stat().st_mode & 0o777 == 0o600


def test_what_is_added_is_read_once_and_whole_lines_only(log: LogFile, tmp_path: Path) -> None:
    tail = LogTail(tmp_path)
    assert tail.read() == [], "no log is an empty one"
    log.write(["one", "two"])
    assert tail.read() == ["one", "two"]
    assert tail.read() == []
    with log_path(tmp_path).open("a") as file:
        file.write("thr")
    assert tail.read() == []
    with log_path(tmp_path).open("a") as file:
        file.write("ee\n")
    assert tail.read() == ["three"]


def test_no_line_is_missed_when_the_log_is_set_aside(
    log: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "MAX_SIZE", 20)
    tail, seen = LogTail(tmp_path), []
    for number in range(30):
        log.write([f"line {number}"])
        if number % 2:
            seen += tail.read()
    assert seen == [f"line {number}" for number in range(30)]
    assert aside(log_path(tmp_path)).exists()


def test_a_log_that_somebody_truncated_goes_on_and_nothing_is_told_twice(
    log: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "MAX_SIZE", 10)
    log.write(["older, and long enough"])
    log.write(["new"])
    tail = LogTail(tmp_path)
    assert len(tail.read()) == 2
    log_path(tmp_path).write_text("")
    log.write(["1"])
    assert tail.read() == ["1"]


def test_the_log_that_was_set_aside_is_read_first(
    log: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "MAX_SIZE", 10)
    log.write(["older, and long enough"])
    log.write(["new"])
    assert LogTail(tmp_path).read() == ["older, and long enough", "new"]


def test_of_two_who_find_the_log_too_long_one_sets_it_aside(
    log: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "MAX_SIZE", 10)
    path, fstat = log_path(tmp_path), os.fstat

    def other_was_faster(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        path.replace(aside(path))
        path.write_text("of the other\n")
        return found

    monkeypatch.setattr(log_file.os, "fstat", other_was_faster)
    log.write(["long enough to be too long"])
    assert path.read_text() == "of the other\n"
    assert aside(path).read_text() == "long enough to be too long\n"


def test_a_log_that_cannot_be_written_holds_nothing_up(log: LogFile, tmp_path: Path) -> None:
    log_path(tmp_path).mkdir()
    log.write(["lost"])
    assert LogTail(tmp_path).read() == []
