"""The portal: which resource, redirect or page a URL shows, and what a visitor's browser gets."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.model.site import PATCH_HEADER, ByteRange, Redirect
from walrus_sdk.model.units import BlobId, ObjectId, QuiltPatchId

HTML = ("content-type", "text/html; charset=utf-8")
PAGES = {"/index.html": b"<h1>tides</h1>", "/404.html": b"lost", "/a b/\u00fc.txt": b"umlaut", "/docs": b"docs"}


class Visitor:
    def __init__(self, http: httpx.Client, site: ObjectId) -> None:
        self.http, self.site = http, site

    def ask(self, path: str = "/", method: str = "GET", **headers: str) -> httpx.Response:
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.http.request(method, path, headers={"host": f"{self.site.base36}.localhost:1"} | sent)


@pytest.fixture
def publish(client: Any, sites: Any, resource: Callable[..., Any]) -> Callable[..., Visitor]:
    """Publish pages, each in a blob of its own; more resources and tables may be given."""

    def made(pages: dict[str, bytes] | None = None, *more: Any, **change: Any) -> Visitor:
        pages = PAGES if pages is None else pages
        records = [resource(path, data, client.blob(data, "epochs=5"), HTML) for path, data in pages.items()]
        return Visitor(client.http, sites.publish([*records, *more], **change))

    return made


def test_the_plain_address_says_that_it_is_a_simulation(client: Any) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/html")
    assert "simulation" in answer.text
    assert "nothing here is stored anywhere else" in answer.text


def test_a_page_comes_with_its_headers_and_its_object(publish: Any, net: LocalNetwork) -> None:
    visitor = publish()
    answer = visitor.ask("/")
    assert (answer.status_code, answer.content) == (200, PAGES["/index.html"])
    assert answer.headers["content-type"] == HTML[1]
    holder = net.world.chain.objects.get(ObjectId.parse(answer.headers["x-resource-sui-object-id"]))
    assert holder is not None
    assert answer.headers["x-resource-sui-object-version"] == str(holder.version)
    assert answer.headers["x-unix-time-cached"].isdigit()


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/index.html", "/index.html"),
        ("/?x=/docs", "/index.html"),
        ("/a%20b/%C3%BC.txt", "/a b/\u00fc.txt"),
        ("/docs/", "/docs"),
        ("/x/../docs", "/docs"),
        ("/x/%2e%2e/docs", "/docs"),
        ("/404.html", "/404.html"),
    ],
)
def test_a_url_is_read_as_browsers_and_portals_do(publish: Any, connect: Any, path: str, shown: str) -> None:
    visitor = publish()
    raw = connect()
    head = f"GET {path} HTTP/1.1\r\nHost: {visitor.site.base36}.localhost\r\nConnection: close\r\n\r\n"
    raw.socket.sendall(head.encode())
    answer = raw.answer()
    assert answer.endswith(b"\r\n\r\n" + PAGES[shown])
    assert answer.startswith(b"HTTP/1.1 404" if shown == "/404.html" else b"HTTP/1.1 200")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_any_method_is_answered_alike(publish: Any, method: str) -> None:
    assert publish().ask("/", method).content == PAGES["/index.html"]


def test_a_range_of_the_request_is_ignored(publish: Any) -> None:
    answer = publish().ask("/", range="bytes=0-1")
    assert (answer.status_code, answer.content) == (200, PAGES["/index.html"])


def test_what_is_missing_is_the_sites_own_404_page(publish: Any) -> None:
    answer = publish().ask("/nowhere")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (404, b"lost", HTML[1])


def test_without_a_page_of_its_own_the_built_in_404_is_shown(publish: Any) -> None:
    answer = publish({"/index.html": b"x"}).ask("/nowhere")
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (404, "text/html")
    assert answer.content not in (b"", b"lost")


def test_there_is_no_index_of_folders(publish: Any) -> None:
    assert publish({"/dir/index.html": b"x"}).ask("/dir/").status_code == 404


def test_a_malformed_percent_is_404_as_text(publish: Any) -> None:
    answer = publish().ask("/%zz")
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (404, "text/plain")


def test_a_resource_beats_a_redirect_and_a_redirect_beats_a_route(publish: Any) -> None:
    visitor = publish(
        redirects=(("/docs", Redirect("/x", 301)), ("/both", Redirect("/there?q=1#f", 308))),
        routes=(("/both", "/docs"), ("/r*", "/docs")),
    )
    assert visitor.ask("/docs").content == PAGES["/docs"]
    moved = visitor.ask("/both")
    assert (moved.status_code, moved.headers["location"], moved.content) == (308, "/there?q=1#f", b"")
    routed = visitor.ask("/routed/far/away")
    assert (routed.status_code, routed.content) == (200, PAGES["/docs"])


def test_a_redirect_to_itself_is_508(publish: Any) -> None:
    assert publish(redirects=(("/loop", Redirect("/loop", 302)),)).ask("/loop").status_code == 508


def test_a_route_to_nothing_falls_to_the_404_page_and_one_to_404_is_404(publish: Any) -> None:
    visitor = publish(routes=(("/gone", "/nowhere"), ("/lost", "/404.html")))
    assert [(a.status_code, a.content) for a in map(visitor.ask, ("/gone", "/lost"))] == [(404, b"lost")] * 2


def test_cookies_of_the_visitor_are_expired(publish: Any) -> None:
    answer = publish().ask("/", cookie="session=abc; theme=dark")
    found = answer.headers.get_list("set-cookie")
    assert [text.partition("=")[0] for text in found] == ["session", "theme"]
    assert all("expires=Thu, 01 Jan 1970" in text for text in found)


def test_corrupt_bytes_are_422(publish: Any, resource: Any, client: Any) -> None:
    blob = client.blob(b"what is stored")
    answer = publish({}, resource("/index.html", b"what was promised", blob, HTML)).ask("/")
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (422, "text/html")
    assert "Hash mismatch" in answer.text


def test_a_missing_blob_is_the_built_in_404_and_nothing_else_is_tried(publish: Any, resource: Any) -> None:
    gone = str(BlobId(bytes(32)))
    visitor = publish({"/404.html": b"lost", "/docs": b"docs"}, resource("/index.html", b"x", gone, HTML),
                      routes=(("/index.html", "/docs"),))  # fmt: skip
    answer = visitor.ask("/")
    assert answer.status_code == 404
    assert answer.content not in (b"lost", b"docs")


def test_a_404_page_whose_blob_is_gone_is_the_built_in_one(publish: Any, resource: Any) -> None:
    answer = publish({}, resource("/404.html", b"x", str(BlobId(bytes(32))), HTML)).ask("/nowhere")
    assert (answer.status_code, b"<h1>" in answer.content) == (404, True)


def test_a_site_dies_when_its_blobs_expire(publish: Any, net: LocalNetwork) -> None:
    visitor = publish()
    net.world.chain.advance_walrus_epoch(4)
    assert visitor.ask("/").status_code == 200
    net.world.chain.advance_walrus_epoch(1)
    assert visitor.ask("/").status_code == 404


def test_a_blob_that_was_never_certified_is_503(publish: Any, resource: Any, client: Any, net: LocalNetwork) -> None:
    client.fault("publisher.after_pay", "error", times=1)
    client.put(b"paid")
    (row,) = net.ledger()
    assert publish({}, resource("/index.html", b"paid", row["blob_id"], HTML)).ask("/").status_code == 503


@pytest.mark.parametrize("prefix", ["", "0x"])
def test_a_patch_is_served_and_its_header_passes_through(publish: Any, resource: Any, client: Any, prefix: str) -> None:
    rows = client.quilt([("a.html", b"patch a"), ("b.html", b"patch b")]).json()["storedQuiltBlobs"]
    patch = QuiltPatchId.parse(rows[1]["quiltPatchId"])
    header = (PATCH_HEADER, prefix + patch.internal.hex())
    visitor = publish({}, resource("/index.html", b"patch b", str(patch.quilt), HTML, header))
    answer = visitor.ask("/")
    assert (answer.status_code, answer.content) == (200, b"patch b")
    assert answer.headers[PATCH_HEADER] == header[1]


def test_a_patch_that_the_quilt_does_not_have_is_404(publish: Any, resource: Any, client: Any) -> None:
    row = client.quilt([("a.html", b"patch a")]).json()["storedQuiltBlobs"][0]
    quilt = str(QuiltPatchId.parse(row["quiltPatchId"]).quilt)
    header = (PATCH_HEADER, "0x01f000f100")
    assert publish({}, resource("/index.html", b"patch a", quilt, HTML, header)).ask("/").status_code == 404


@pytest.mark.parametrize(
    ("start", "end", "status"), [(2, 5, 200), (0, 9, 200), (2, 10, 503), (2, None, 503), (None, 4, 503)]
)
def test_a_resource_range_is_served_only_as_an_aggregator_would(
    publish: Any, sites: Any, resource: Any, client: Any, start: int | None, end: int | None, status: int
) -> None:
    data = b"0123456789"
    part = data[start : end + 1] if start is not None and end is not None else b""
    record = resource("/index.html", part, client.blob(data), HTML, range=ByteRange(start, end))
    visitor = publish({}, replace(record, range=None))
    sites.rewrite(visitor.site, record)
    answer = visitor.ask("/")
    assert answer.status_code == status
    assert status != 200 or answer.content == part


def test_a_range_of_a_patch_is_ignored_so_its_hash_is_wrong(
    publish: Any, sites: Any, resource: Any, client: Any
) -> None:
    patch = QuiltPatchId.parse(client.quilt([("a", b"0123456789")]).json()["storedQuiltBlobs"][0]["quiltPatchId"])
    header = (PATCH_HEADER, "0x" + patch.internal.hex())
    record = resource("/index.html", b"2345", str(patch.quilt), header, range=ByteRange(2, 5))
    visitor = publish({}, replace(record, range=None))
    sites.rewrite(visitor.site, record)
    assert visitor.ask("/").status_code == 422


def test_compressed_bytes_are_hashed_as_stored_and_inflated_by_the_browser(
    publish: Any, resource: Any, client: Any
) -> None:
    data = gzip.compress(b"<h1>tides</h1>" * 50, mtime=0)
    record = resource("/index.html", data, client.blob(data), HTML, ("content-encoding", "gzip"))
    answer = publish({}, record).ask("/")
    assert answer.content == b"<h1>tides</h1>" * 50
    assert answer.headers["content-encoding"] == "gzip"


def test_a_site_is_asked_by_its_base36_name_in_any_case(publish: Any) -> None:
    visitor = publish()
    for host in (visitor.site.base36.upper() + ".LOCALHOST", visitor.site.base36 + ".localhost"):
        answer = visitor.http.get("/", headers={"host": host})
        assert answer.content == PAGES["/index.html"]


@pytest.mark.parametrize("host", ["nobody.localhost", "a.b.localhost", "0.localhost:99", "z" * 50 + ".localhost"])
def test_a_subdomain_that_names_no_site_is_a_404_page_and_no_service(client: Any, host: str) -> None:
    for path in ("/", "/status", "/_localnet/status"):
        answer = client.get(path, host=host, x_localnet_token=client.net.token)
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (404, "text/html")


def test_an_id_without_a_site_is_404(client: Any) -> None:
    host = ObjectId(b"\x01" * 32).base36 + ".localhost"
    assert client.get("/", host=host).status_code == 404


def test_services_are_not_reachable_under_a_sites_name(publish: Any, net: LocalNetwork) -> None:
    visitor = publish()
    for path in ("/status", "/_localnet/status", "/v1/blobs/" + "A" * 43, "/graphql"):
        answer = visitor.ask(path, x_localnet_token=net.token)
        assert (answer.status_code, answer.content) == (404, b"lost")


def test_the_reserved_path_answers_health_only(publish: Any) -> None:
    visitor = publish()
    assert visitor.ask("/__wal__/healthz").status_code == 200
    assert visitor.ask("/__wal__/other").status_code == 404


@pytest.mark.parametrize(("status", "kind"), [(500, "html"), (503, "text"), (429, "html")])
def test_a_fault_strikes_visitors(publish: Any, client: Any, status: int, kind: str) -> None:
    visitor = publish()
    client.fault("portal.request", "error", status=status, kind=kind, times=1)
    assert visitor.ask("/").status_code == status
    assert visitor.ask("/").status_code == 200


def test_a_page_may_be_cut_or_its_connection_dropped(publish: Any, client: Any) -> None:
    visitor = publish()
    for action in ("truncate", "drop"):
        client.fault("portal.request", action, times=1)
        with pytest.raises(httpx.HTTPError):
            visitor.ask("/")
    assert visitor.ask("/").status_code == 200
