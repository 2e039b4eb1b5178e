"""Pictures of pages, filters, grids and how values show themselves: pure."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

from walrus_sdk.model.html import facts_html, facts_text, rows_html
from walrus_sdk.model.options import DeployResult
from walrus_sdk.model.plan import Cost
from walrus_sdk.model.reports import DeploymentSummary, Page
from walrus_sdk.model.units import DeploymentId, ObjectId
from walrus_sdk.notebook import grid as grids
from walrus_sdk.notebook.dashboard import Filter, chosen, table_html
from walrus_sdk.notebook.state import FileState
from walrus_sdk.notebook.visit import assets_of, inlined, link, snapshot
from walrus_sdk.testing import SimulatedWorld

EVIL = "<img src=x onerror=alert(1)>"


def test_values_show_themselves_escaped_and_as_stable_lines() -> None:
    html = facts_html(EVIL, [(EVIL, EVIL)]) + rows_html(EVIL, [EVIL], [[EVIL]], more=EVIL)
    assert "<img" not in html
    assert html.count("<caption>") == 2
    assert facts_text("What", [("a", "1"), ("long", "2")]) == "What\n  a     1\n  long  2"


@pytest.mark.anyio
async def test_plan_result_deployment_and_cleanup_have_a_table_and_a_text_form() -> None:
    world = SimulatedWorld()
    plan = await world.plan()
    result = await world.apply(plan)
    report = await world.session.status(result.deployment_id)
    cleanup = await world.session.cleanup()
    verified = await world.session.verify(str(result.site_id))
    world.files["about.html"] = b"two"
    await world.deploy()
    diff = await world.session.diff("simulated@1", "simulated@2")
    for value in (plan, result, report, report.summary, cleanup, verified, diff):
        shown = value._repr_mimebundle_()
        assert shown["text/html"] == value._repr_html_()
        assert shown["text/html"].startswith("<table><caption>")
        assert "\n  " in shown["text/plain"]
        assert " at 0x" not in shown["text/plain"], "no addresses of memory"
    assert ("changed", "/about.html") in diff.facts()[1]


def test_a_result_from_outside_brings_no_markup_into_a_notebook() -> None:
    name = DeploymentId("deploy_1700000000000_0badcafe")
    result = DeployResult(name, ObjectId(bytes(32)), EVIL, EVIL, 1, (), Cost(), EVIL, True, warnings=(EVIL,))
    assert "<img" not in result._repr_html_()


def test_references_of_a_page_are_read_as_a_browser_reads_them() -> None:
    html = (
        '<link rel="stylesheet" href="../style.css"><img src=\'/a%20b.png\'><img src="https://elsewhere.example/x.png">'
        '<img src="data:,x"><img src="logo.svg?v=2"><img src="logo.svg">'
    )
    assert assets_of(html, "/docs/index.html") == ["/style.css", "/a b.png", "/docs/logo.svg"]
    plain = (
        "<img src=pic.svg><IMG SRC='a&amp;b.svg'><!-- <img src=no.png> --><link href=s.css rel='preload stylesheet'>"
    )
    assert assets_of(plain, "/index.html") == ["/pic.svg", "/a&b.svg", "/s.css"]


def test_a_picture_has_styles_and_images_inside_and_runs_nothing() -> None:
    html = '<link rel="stylesheet" href="/s.css"><img src="/a.png"><img src="/gone.png"><script>evil()</script>'
    assets = {"/s.css": Page("/s.css", "text/css", b"p{}</style>"), "/a.png": Page("/a.png", "image/png", b"\x01")}
    made = inlined(html, "/index.html", assets)
    assert "<style>p{}<\\/style></style>" in made
    assert '<img src="data:image/png;base64,AQ==">' in made
    assert '<img src="/gone.png">' in made
    framed = snapshot(made, EVIL)
    assert 'sandbox=""' in framed
    assert "<script" not in framed
    assert "<img" not in framed


def test_a_picture_loads_nothing_from_any_machine_and_keeps_the_rest_of_the_page_as_it_is() -> None:
    html = (
        '<!DOCTYPE html><p class=a title="&lt;">caf&eacute; &#233;</p><script>if (a < b && "</p>") x()</script>'
        '<picture><source srcset="https://elsewhere.example/x.avif"><img src=a.png srcset="b.png 2x" alt="&quot;"/>'
    )
    made = inlined(html, "/index.html", {"/a.png": Page("/a.png", "image/png", b"\x01")})
    assert made == (
        '<!DOCTYPE html><p class=a title="&lt;">caf&eacute; &#233;</p><script>if (a < b && "</p>") x()</script>'
        '<picture><img src="data:image/png;base64,AQ==" alt="&quot;">'
    )
    framed = snapshot('<img src="https://tracker.example/x.png">', "http://x")
    policy = "default-src &#x27;none&#x27;; img-src data:; style-src &#x27;unsafe-inline&#x27;; font-src data:"
    assert f'srcdoc="&lt;meta http-equiv=&quot;Content-Security-Policy&quot; content=&quot;{policy}&quot;&gt;' in framed


def test_only_web_addresses_become_links() -> None:
    assert "<a " not in link("javascript:alert(1)")
    assert 'href="http://x.localhost:1/"' in link("http://x.localhost:1/")


def summaries() -> list[DeploymentSummary]:
    def one(number: int, **more: Any) -> DeploymentSummary:
        name = DeploymentId(f"deploy_1700000000000_0000000{number}")
        fields = {"site_name": "a", "network": "local", "status": "completed"} | more
        return DeploymentSummary(name, progress=1.0, started_ms=1, **fields)

    return [one(1), one(2, site_name="b", status="failed", reason="broke"), one(3, network="testnet", message=EVIL)]


def test_filters_let_through_what_fits_all_of_them() -> None:
    found = summaries()
    assert chosen(found, Filter()) == found
    assert [item.site_name for item in chosen(found, Filter(site="b"))] == ["b"]
    assert chosen(found, Filter(site="b", status="completed")) == []
    assert chosen(found, Filter(network="testnet")) == found[2:]
    assert chosen(found, Filter(text=" BROKE ")) == [found[1]]


def test_the_dashboards_table_escapes_and_counts() -> None:
    html = table_html(summaries() * 100)
    assert "<img" not in html
    assert "<caption>300 deployments</caption>" in html
    assert "and 100 more" in html


def test_a_grid_has_a_byte_a_file_and_no_address_of_another_machine() -> None:
    assert grids.states_bytes([FileState.FAILED, FileState.STORED]) == bytes([0, 4])
    assert "http" not in grids._SCRIPT
    if importlib.util.find_spec("anywidget") is None:
        assert grids.grid() is None
    else:
        made = grids.grid()
        made.states = b"\x00\x04"
        assert list(made.words) == [state.value for state in FileState]


def test_importing_the_package_loads_no_widgets() -> None:
    code = "import sys, walrus_sdk; print(sorted({'ipywidgets', 'anywidget', 'pandas', 'IPython'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"
