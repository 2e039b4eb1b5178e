"""The panel in JupyterLab, as a person uses it: buttons are pressed, effects are read in kernel and network."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

import walrus_sdk as ws
from walrus_sdk import local

pytestmark = [pytest.mark.slow, pytest.mark.processes, pytest.mark.timeout(300)]


def axe(story: Any) -> list[str]:
    """Return the accessibility rules that the panel violates."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(story.notebook.page, context=".wsdk-panel")
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found.response["violations"]]


def paid(story: Any) -> list[str]:
    return [row["blob_id"] for row in local.ledger(story.home) if row["paid"]]


def statuses(story: Any) -> list[str]:
    return [item.status for item in ws.run.list(home=story.home)]


def test_deploy_pause_continue_and_cancel(story: Any) -> None:
    story.write("first", 40)
    story.notebook.run_all()
    story.wait_for("ready")
    assert axe(story) == []
    story.press("Deploy")
    story.panel.locator(".wsdk-confirm", has_text="Deploy for").wait_for()
    story.shoot("plan")
    assert axe(story) == []
    assert local.ledger(story.home) == [], "nothing is spent before it is confirmed"
    story.slow(1.0)
    story.confirm()
    story.wait_for("uploading")

    seen = [story.share()]
    while len(set(seen)) < 4:
        seen.append(story.share())
        story.notebook.page.wait_for_timeout(50)
    assert seen == sorted(seen), "the bar moves, and never back"
    story.shoot("uploading")
    assert axe(story) == []

    story.press("Pause")
    story.wait_for("paused")
    story.button("Continue").wait_for()
    assert statuses(story) == ["paused"]
    assert story.button("Pause").is_disabled()
    story.shoot("paused")
    assert axe(story) == []
    story.press("Continue")
    story.wait_for("uploading")

    story.press("Cancel")
    story.wait_for("cancelled")
    assert story.button("Cancel").is_disabled()
    assert json.loads(story.notebook.run(2))["status"] == "cancelled"
    assert statuses(story) == ["cancelled"]
    assert len(paid(story)) < 40, "it was ended before its end"
    story.shoot("cancelled")
    assert axe(story) == []

    story.slow(0.0)
    story.press("Deploy")
    story.panel.locator(".wsdk-confirm", has_text="Deploy for").wait_for()
    story.confirm()
    story.wait_for("completed: version 1")
    assert len(paid(story)) == len(set(paid(story))) == 40, "what was stored before is used"
    story.press("Open site")
    story.panel.get_by_role("link").wait_for()
    story.shoot("completed")
    assert axe(story) == []
    assert story.notebook.outside == [], "nothing is asked of another machine"


def test_a_deployment_whose_kernel_was_killed_is_resumed(story: Any) -> None:
    story.notebook.run_all()
    story.wait_for("ready")
    kernel = int(story.notebook.run(3))
    story.press("Deploy")
    story.panel.locator(".wsdk-confirm", has_text="Deploy for").wait_for()
    story.slow(0.5)
    story.confirm()
    while not paid(story):
        story.notebook.page.wait_for_timeout(50)
    os.kill(kernel, signal.SIGKILL)
    while statuses(story) != ["interrupted"]:
        story.notebook.page.wait_for_timeout(50)
    story.slow(0.0)
    told = story.notebook.page.locator(".jp-Dialog", has_text="Kernel Restarting").locator(".jp-mod-accept")
    told.wait_for()
    told.click()
    story.notebook.wait_for_kernel()  # the server started another one
    story.notebook.run_all()
    story.wait_for("interrupted, can go on")
    story.shoot("interrupted")
    assert axe(story) == []
    story.press("Resume")
    story.wait_for("completed: version 1")
    state = json.loads(story.notebook.run(2))
    assert (state["status"], state["files"]) == ("completed", 12)
    assert len(set(paid(story))) == 12
    assert len(paid(story)) - 12 <= 2, "at most what was on its way is paid again"


def test_roll_back_from_a_list_of_versions_with_what_each_changes(story: Any) -> None:
    story.notebook.run_all()
    story.wait_for("ready")
    for text in ("first", "second", "third"):
        story.write(text)
        ws.run.deploy(story.site, site_name="harbour", home=story.home, network="local")
    story.wait_for("completed: version 3")
    story.press("Deploy")
    story.panel.get_by_text("nothing to do").wait_for()
    story.press("Roll back")
    story.panel.locator(".wsdk-confirm", has_text="version 2").wait_for()
    story.panel.locator("select").select_option(index=1)
    story.panel.locator(".wsdk-confirm", has_text="version 1").wait_for()
    story.shoot("rollback")
    assert axe(story) == []
    before = len(local.ledger(story.home))
    story.confirm()
    story.wait_for("completed: version 4")
    assert len(local.ledger(story.home)) == before, "nothing is uploaded"
    page = ws.connect(home=story.home)
    with page as sites:
        body = sites.page("harbour").wait().body
    assert b"first 0" in body
    assert json.loads(story.notebook.run(2))["status"] == "completed"


def test_a_verb_that_fails_is_an_alert_with_its_next_step_and_the_keyboard_is_enough(story: Any) -> None:
    local.set_faults(story.home, {"rules": [{"point": "publisher.request", "action": "error", "status": 400}]})
    story.notebook.run_all()
    story.wait_for("ready")
    story.button("Deploy").focus()
    story.notebook.page.keyboard.press("Enter")
    confirm = story.panel.locator(".wsdk-confirm", has_text="Deploy for")
    confirm.wait_for()
    story.panel.locator(".wsdk-confirm:focus").wait_for()
    story.notebook.page.keyboard.press("Enter")
    alert = story.panel.get_by_role("alert")
    alert.wait_for()
    story.wait_for("failed")
    assert alert.locator("em").first.inner_text(), "it says what to do"
    story.shoot("failed")
    assert axe(story) == []
    local.set_faults(story.home, None)
