"""Pictures: they draw on the Axes that are given, touch nothing else, and say when there is nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from walrus_sdk.frames.history import History
from walrus_sdk.frames.load import JournalSource
from walrus_sdk.frames.plots import lanes

from .conftest import HOSTILE, Journal

ASKED = ("success_rate", "throughput", "errors", "cost", "phases")


def arguments(history: History, name: str) -> tuple[str, ...]:
    return (history.deployments["deployment"].iloc[3],) if name == "phases" else ()


@pytest.mark.parametrize("name", ASKED)
def test_a_plot_draws_on_the_axes_that_are_given_and_leaves_pyplot_alone(real: History, name: str) -> None:
    ax = Figure().add_subplot()
    assert getattr(real.plot, name)(*arguments(real, name), ax=ax) is ax
    assert ax.get_title()
    assert ax.has_data()
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("name", ASKED)
def test_a_plot_without_axes_makes_a_figure(real: History, name: str) -> None:
    try:
        ax = getattr(real.plot, name)(*arguments(real, name))
        assert pyplot.get_fignums() == [ax.figure.number]
    finally:
        pyplot.close("all")


@pytest.mark.parametrize("name", ASKED)
def test_a_plot_of_nothing_says_so(tmp_path: Path, name: str) -> None:
    ax = Figure().add_subplot()
    empty = History(JournalSource(tmp_path / "journal.db"))
    getattr(empty.plot, name)(*(("deploy_1_x",) if name == "phases" else ()), ax=ax)
    assert [text.get_text() for text in ax.texts] == ["nothing recorded"]


@pytest.mark.parametrize("name", ASKED)
def test_texts_of_a_site_are_no_formulas(hostile: tuple[Journal, str], name: str) -> None:
    """An unpaired or senseless formula between dollar signs would fail while it is drawn."""
    journal, deployment = hostile
    figure = Figure()
    getattr(journal.history.plot, name)(*((deployment,) if name == "phases" else ()), ax=figure.add_subplot())
    figure.canvas.draw()
    assert "$" in HOSTILE


def test_states_differ_by_more_than_colour(real: History) -> None:
    ax = Figure().add_subplot()
    real.plot.success_rate(ax=ax)
    looks = {(bar.get_facecolor(), bar.get_hatch()) for bars in ax.containers for bar in bars}
    assert len({hatch for _, hatch in looks}) == len(looks) == 2


def test_no_two_in_a_lane_overlap() -> None:
    assert lanes([0, 1, 2, 3], [2, 5, 3, 4]) == [0, 1, 0, 0]
    assert lanes([0, 0, 0], [0, 0, 0]) == [0, 0, 0]
    assert lanes([], []) == []
