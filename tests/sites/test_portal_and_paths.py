"""Site paths, and what a portal makes of a URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus_sdk.errors import ValidationError
from walrus_sdk.model.site import PATCH_HEADER, Redirect, Resource
from walrus_sdk.model.units import BlobId, ObjectId
from walrus_sdk.sites import paths
from walrus_sdk.sites.portal import Missing, Moved, Serve, patch_of, resolve, site_of_host, url_path


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../b", "./a", "a//b", "/a", "", "a\\b", "a\nb", "a\x00b", "a\u202eb", "a\x85b", "\udcff", "x" * 2050],
)
def test_a_name_that_no_url_reaches_is_refused_and_shown_escaped(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        paths.site_path(name)
    assert caught.value.code == "path_invalid"
    assert caught.value.message.isprintable()


@given(st.text(max_size=30), st.text(max_size=30))
def test_two_files_never_get_one_path(first: str, second: str) -> None:
    made = []
    for name in (first, second):
        try:
            made.append(paths.site_path(name))
        except ValidationError:
            return
    assert (first == second) is (made[0] == made[1])


@pytest.mark.parametrize("name", ["-rf", "a b%20c.html", ".well-known/x", "üñï.css", "%2e%2e", "a?b", "a#b", "😀.png"])
def test_odd_but_honest_names_are_published_as_they_are(name: str) -> None:
    assert paths.site_path(name) == "/" + name


def test_paths_that_only_differ_in_form_are_found() -> None:
    found = paths.find_conflicts(["/caf\u00e9", "/cafe\u0301", "/A.css", "/a.css", "/b"])
    assert [(c.first, c.second, c.fatal) for c in found] == [
        ("/A.css", "/a.css", False),
        ("/cafe\u0301", "/caf\u00e9", True),
    ]


def test_pages_are_published_after_what_they_need() -> None:
    order = sorted(["/index.html", "/a/page.html", "/z.css", "/404.html", "/b.js"], key=paths.publish_order)
    assert order == ["/b.js", "/z.css", "/a/page.html", "/404.html", "/index.html"]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/index.html"),
        ("/a/", "/a"),
        ("//", "/"),
        ("/a?b=/c", "/a"),
        ("/a%20b", "/a b"),
        ("/%C3%BC", "/ü"),
        ("/a/../b", "/b"),
        ("/a/%2E%2e/b/.", "/b"),
        ("/..", "/index.html"),
        ("/a%", None),
        ("/a%zz", None),
        ("/%ff", None),
        ("/a+b", "/a+b"),
    ],
)
def test_a_url_names_a_path_as_in_browsers(target: str, path: str | None) -> None:
    assert url_path(target) == path


def test_a_host_names_a_site() -> None:
    site = ObjectId(b"\0" + b"\7" * 31)
    assert site_of_host(f"{site.base36}.localhost:8080") == site
    assert site_of_host(f"{site.base36.upper()}.LOCALHOST") == site
    for host in (
        "localhost",
        "localhost:80",
        "x.localhost",
        f"{site.base36}.example.org",
        "",
        "[::1]:80",
        "ä.localhost",
    ):
        assert site_of_host(host) is None


FILES = {"/index.html", "/a.html", "/404.html"}
MOVE = Redirect("/new", 301)


def answer(path: str, **rules: object) -> object:
    given: dict[str, object] = {"routes": None, "redirects": None} | rules
    return resolve(path, FILES.__contains__, given["routes"], given["redirects"])  # type: ignore[arg-type]


def test_a_resource_beats_a_redirect_a_redirect_beats_a_route() -> None:
    both = {"redirects": (("/a.html", MOVE), ("/x", MOVE)), "routes": (("/x", "/a.html"), ("/y", "/a.html"))}
    assert answer("/a.html", **both) == Serve("/a.html", 200)
    assert answer("/x", **both) == Moved(MOVE)
    assert answer("/y", **both) == Serve("/a.html", 200)


def test_what_is_not_there_is_the_sites_own_page_or_the_portals() -> None:
    assert answer("/nope") == Serve("/404.html", 404)
    assert answer("/404.html") == Serve("/404.html", 404)
    assert answer("/r", routes=(("/r", "/gone"),)) == Serve("/404.html", 404)
    assert resolve("/nope", lambda path: False, None, None) == Missing(404)
    assert answer("/self", redirects=(("/self", Redirect("/self", 302)),)) == Missing(508)


def test_a_patch_is_fetched_only_with_its_header() -> None:
    plain = Resource("/a", (), BlobId(bytes(32)), bytes(32))
    assert patch_of(plain) is None
    packed = Resource("/a", ((PATCH_HEADER, "010c001900"),), BlobId(bytes(32)), bytes(32))
    assert patch_of(packed) is not None
