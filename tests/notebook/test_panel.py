"""The widgets, without a kernel or a browser: what is drawn, what a click does, what is saved."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

import walrus_sdk as ws
from tests.notebook.seen import seen, summary
from walrus_sdk.errors import StateError
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.model.views import Step
from walrus_sdk.notebook import bridge
from walrus_sdk.notebook import dashboard as dashboards
from walrus_sdk.notebook.state import Action, File, State


def button(panel: ws.Panel, word: str) -> Any:
    return panel._widgets._buttons[Action(word)]


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def part(panel: ws.Panel, name: str) -> str:
    return str(panel._widgets._parts[name].value)


def on_screen(panel: ws.Panel) -> set[str]:
    return {action.value for action, made in panel._widgets._buttons.items() if not made.disabled}


@pytest.fixture
def panel(sites: ws.Connection, folder: Path) -> Any:
    made = ws.panel(folder, sites=sites, site_name="tides")
    yield made
    made.close()


def test_a_new_folder_is_deployed_with_two_clicks(panel: ws.Panel, net: LocalNetwork) -> None:
    assert on_screen(panel) == {"Deploy", "Clean up"}
    button(panel, "Deploy").click()
    panel.wait(30)
    assert "Plan of deploy tides" in part(panel, "offer")
    assert button(panel, "Confirm").description.startswith("Deploy for ")
    assert net.ledger() == []
    button(panel, "Confirm").click()
    panel.wait(60)
    assert "completed: version 1" in part(panel, "status")
    assert part(panel, "offer") == ""
    assert "4 of 4 files stored" in part(panel, "meter")
    assert "<caption>4 files: 4 stored</caption>" in panel._widgets._files.value
    assert on_screen(panel) == {"Deploy", "Clean up", "Verify", "Open site"}


def test_the_focus_goes_where_the_next_press_is_meant_and_never_to_cancel(panel: ws.Panel, net: LocalNetwork) -> None:
    focused: list[str] = []
    for action, made in panel._widgets._buttons.items():
        made.focus = lambda word=action.value: focused.append(word)
    net.faults.reshape(latency_s=3.0)
    button(panel, "Deploy").click()
    panel.wait(30)
    assert focused == ["Confirm"]
    button(panel, "Confirm").click()
    until(lambda: len(focused) == 2)
    button(panel, "Cancel").click()
    panel.wait(30)
    assert panel.state.status == "cancelled"
    assert focused == ["Confirm", "Pause", "Deploy"]
    panel.press("Deploy")
    panel.wait(30)
    assert len(focused) == 3, "what a cell presses leaves the focus where the reader has it"


def test_the_words_on_the_buttons_do_the_same_and_an_unknown_one_is_refused(panel: ws.Panel) -> None:
    panel.press("Deploy")
    panel.wait(30)
    panel.press("Confirm")
    panel.wait(60)
    assert panel.state.status == "completed"
    with pytest.raises(ws.WalrusError, match="there are Deploy, Pause"):
        panel.press("Destroy")


@pytest.mark.anyio
async def test_settled_waits_on_any_event_loop_and_what_interrupts_it_leaves_the_deployment_alone(
    panel: ws.Panel, net: LocalNetwork
) -> None:
    panel.press("Deploy")
    await panel.settled()
    net.faults.reshape(latency_s=0.3)
    panel.press("Confirm")
    with anyio.move_on_after(0.2) as scope:
        await panel.settled()
    assert scope.cancelled_caught
    await panel.settled()
    assert panel.state.status == "completed"


def test_the_same_call_again_is_the_same_panel(sites: ws.Connection, folder: Path, panel: ws.Panel) -> None:
    assert ws.panel(folder, sites=sites, site_name="tides") is panel
    assert ws.panel(folder, sites=sites, site_name="other") is not panel
    assert ws.panel(folder, sites=sites, site_name="tides", remote=True) is not panel


def test_two_panels_on_one_deployment_agree_and_one_can_be_opened_by_id(
    sites: ws.Connection, panel: ws.Panel, net: LocalNetwork
) -> None:
    net.faults.reshape(latency_s=0.3)
    panel.press("Deploy")
    panel.wait(30)
    panel.press("Confirm")
    name = ""
    while not (name := panel.state.deployment):
        assert not panel.closed
    second = ws.panel(deployment=name, sites=sites)
    assert second.state.deployment == name
    second.wait(60)
    panel.wait(60)
    assert part(panel, "status") == part(second, "status")
    first, other = panel.state.seen, second.state.seen
    assert first is not None
    assert other is not None
    assert replace(first, at_ms=0) == replace(other, at_ms=0)
    assert panel.state.files == second.state.files
    second.close()


def test_a_click_works_from_any_thread(panel: ws.Panel) -> None:
    thread = threading.Thread(target=button(panel, "Deploy").click)
    thread.start()
    thread.join()
    panel.wait(30)
    assert "Plan of deploy" in part(panel, "offer")


def test_open_site_shows_a_link_and_on_a_remote_kernel_a_picture_of_the_page(
    sites: ws.Connection, folder: Path, panel: ws.Panel
) -> None:
    panel.press("Deploy")
    panel.wait(30)
    panel.press("Confirm")
    panel.wait(60)
    shown = panel._widgets._visit
    button(panel, "Open site").click()
    panel.wait(30)
    assert f'href="{panel.state.url}"' in shown.value
    assert 'rel="noopener noreferrer"' in shown.value
    remote = ws.panel(folder, sites=sites, remote=True)
    button(remote, "Open site").click()
    remote.wait(30)
    picture = remote._widgets._visit.value
    assert 'sandbox=""' in picture
    assert "h1 { color: red }" in picture
    assert "data:image/svg+xml;base64," in picture
    remote.close()


def test_the_text_form_is_stable_and_what_is_saved_has_a_still_picture(panel: ws.Panel) -> None:
    assert repr(panel) == "Panel of tides: ready"
    found = panel._repr_mimebundle_()
    data = found[0] if isinstance(found, tuple) else found
    assert data["text/plain"] == repr(panel)
    assert "ready" in data["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in data


def test_nothing_is_drawn_when_nothing_changes(panel: ws.Panel) -> None:
    drawn: list[Any] = []
    for widget in panel._widgets._parts.values():
        widget.observe(drawn.append, "value")
    panel._draw()
    panel._draw(force=True)
    assert drawn == []


def test_a_panel_that_cannot_be_drawn_any_more_holds_up_no_deployment(
    panel: ws.Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the page is gone")

    panel.press("Deploy")
    panel.wait(30)
    monkeypatch.setattr(panel._widgets, "show", broken)
    panel.press("Confirm")
    while panel.state.status != "completed":
        assert not panel.closed
    panel.wait(30)
    assert not panel.closed


def test_the_files_are_drawn_anew_when_who_sent_them_is_gone_and_no_event_says_so(panel: ws.Panel) -> None:
    live, found = summary("uploading"), seen(steps={"store-0001": Step.SENT})
    panel._controller._set(summary=live, seen=found, files=(File("/a", 1, "store-0001"),))  # type: ignore[union-attr]
    panel._draw(force=True)
    assert "1 sending" in panel._widgets._files.value
    dead = replace(live, status="interrupted", resumable=True)
    panel._controller._set(summary=dead)  # type: ignore[union-attr]
    panel.wait(30)
    assert "<caption>1 files: 1 waiting</caption>" in panel._widgets._files.value


def test_options_of_a_connection_that_was_given_are_refused(sites: ws.Connection, folder: Path) -> None:
    with pytest.raises(ws.WalrusError) as caught:
        ws.panel(folder, sites=sites, network="testnet")
    assert caught.value.code == "option_invalid"


def test_many_panels_share_one_pace() -> None:
    assert bridge.interval_s(1) == bridge.interval_s(4) == pytest.approx(1 / 12)
    assert bridge.interval_s(16) == pytest.approx(4 / 12)


def test_without_the_extra_there_is_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ws.WalrusError, match="pip install 'walrus-sdk"):
        bridge.need_widgets()


def test_a_closed_panel_has_settled(sites: ws.Connection, folder: Path) -> None:
    made = ws.panel(folder, sites=sites, site_name="closing")
    made.close()
    made.wait(1)
    assert made.closed
    assert made.state != State()


def test_a_fault_that_nobody_foresaw_ends_the_panel_and_is_said(
    panel: ws.Panel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(ws.Session, "plan", broken)
    button(panel, "Deploy").click()
    panel.wait(30)
    assert panel.closed
    assert "panel has ended: OSError: the disk is gone" in part(panel, "note")
    assert 'role="alert"' in part(panel, "note")
    assert on_screen(panel) == set()
    assert "a panel has ended" in caplog.text


def test_a_closed_connection_disables_the_buttons_of_its_panels_and_gives_none_that_seems_alive(
    sites: ws.Connection, folder: Path, panel: ws.Panel
) -> None:
    assert on_screen(panel)
    sites.close()
    assert on_screen(panel) == set()
    assert "panel has ended" in part(panel, "note")
    with pytest.raises(ws.WalrusError, match="closed"):
        ws.panel(folder, sites=sites, site_name="later")


def test_a_panel_that_cannot_even_look_says_so_at_once(
    sites: ws.Connection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(ws.Session, "list", broken)
    monkeypatch.setattr(sys.modules[ws.Panel.__module__], "_READY_S", 3600.0)
    made = ws.panel(folder, sites=sites, site_name="blind")
    assert "panel has ended: OSError: the disk is gone" in part(made, "note")
    assert on_screen(made) == set()


def test_an_option_of_a_wrong_type_is_refused_before_there_is_a_panel(sites: ws.Connection, folder: Path) -> None:
    with pytest.raises(ws.WalrusError, match="max_cost: expected Frost"):
        ws.panel(folder, sites=sites, max_cost="abc")


def test_the_dashboard_lists_filters_and_opens_a_panel(sites: ws.Connection, folder: Path, panel: ws.Panel) -> None:
    sites.deploy(folder, site_name="tides").wait(60)
    (folder / "about.html").write_bytes(b"two")
    result = sites.deploy(folder, site_name="second").wait(60)
    made = ws.dashboard(sites=sites)
    assert {item.site_name for item in made.shown} == {"tides", "second"}
    made._site.value = "second"
    assert [item.deployment_id for item in made.shown] == [result.deployment_id]
    assert "<caption>1 deployments</caption>" in made._table.value
    made._text.value = "no such text"
    assert made.shown == []
    made._text.value = ""
    made._one.value = str(result.deployment_id)
    assert len(made._below.children) == 1
    assert repr(made) == "Dashboard of 2 deployments"
    for _, name in dashboards._PLOTS:
        made._plot.value = name
        assert made._picture.value.startswith('<img alt="')
    made._plot.value = "cost"
    of_one_site = made._picture.value
    made._site.value = "all"
    assert made._picture.value not in ("", of_one_site), "the plot is of what is shown"
    made._plot.value = ""
    assert made._picture.value == ""
    made.close()


def test_the_same_dashboard_again_is_the_same_and_lives_through_an_error(
    sites: ws.Connection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ws.dashboard("tides", sites=sites)
    assert ws.dashboard("tides", sites=sites) is made
    assert ws.dashboard(sites=sites) is not made
    usual, broken = ws.Session.list, [True]

    async def looked(self: ws.Session, **more: Any) -> Any:
        if broken[0]:
            raise StateError("state_busy", "somebody holds the journal")
        return await usual(self, **more)

    monkeypatch.setattr(ws.Session, "list", looked)
    until(lambda: "somebody holds the journal" in made._problem.value)
    broken[0] = False
    sites.deploy(folder, site_name="tides").wait(60)
    until(lambda: made._problem.value == "" and len(made.shown) == 1)
    made.close()
    assert ws.dashboard("tides", sites=sites) is not made


def test_what_a_dashboard_draws_by_itself_is_no_choice_of_the_reader(sites: ws.Connection, folder: Path) -> None:
    result = sites.deploy(folder, site_name="tides").wait(60)
    made = ws.dashboard(sites=sites)
    made._one.value = str(result.deployment_id)
    threads: list[str] = []
    made._open = lambda _: threads.append(threading.current_thread().name)  # type: ignore[method-assign]
    sites.deploy(folder, site_name="second").wait(60)
    until(lambda: len(made._one.options) == 3)
    assert made._one.value == str(result.deployment_id)
    assert threads == []
    made.close()
