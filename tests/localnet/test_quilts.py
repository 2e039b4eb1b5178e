"""Stores of quilts: order, patch ids, ranges, tags, and every malformed form."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from walrus_sdk.codecs import quilt
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.model.units import BlobId, QuiltPatchId

FILES = [("page-1.html", b"<h1>tides</h1>" * 9), ("logo.svg", b"<svg/>"), ("a.txt", b"")]


def stored(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return {row["identifier"]: row for row in answer.json()["storedQuiltBlobs"]}


def malformed(answer: httpx.Response, refusal: Any, text: str) -> None:
    assert refusal(answer) == (400, "INVALID_ARGUMENT", "daemon.walrus.space", "MALFORMED_REQUEST")
    assert text in answer.json()["error"]["message"]


def test_patches_come_in_the_order_of_the_index_not_of_the_request(client: Any) -> None:
    answer = client.quilt(FILES)
    names = [row["identifier"] for row in answer.json()["storedQuiltBlobs"]]
    assert names == ["a.txt", "logo.svg", "page-1.html"]
    starts = [row["range"][0] for row in answer.json()["storedQuiltBlobs"]]
    assert starts == sorted(starts)


def test_a_patch_id_joins_blob_id_version_and_range(client: Any) -> None:
    answer = client.quilt(FILES)
    blob = answer.json()["blobStoreResult"]["newlyCreated"]["blobObject"]
    for row in stored(answer).values():
        assert len(row["quiltPatchId"]) == 50
        patch = QuiltPatchId.parse(row["quiltPatchId"])
        assert (str(patch.quilt), [patch.start, patch.end]) == (blob["blobId"], row["range"])
        start, end = (number.to_bytes(2, "little") for number in row["range"])
        assert bytes(patch)[32:] == b"\x01" + start + end


def test_the_size_is_that_of_the_quilt_and_the_ledger_counts_what_came_in(client: Any, net: LocalNetwork) -> None:
    answer = client.quilt(FILES)
    plan = quilt.layout_of([quilt.QuiltFile(name, data, {}) for name, data in FILES], 10)
    assert answer.json()["blobStoreResult"]["newlyCreated"]["blobObject"]["size"] == plan.blob_size
    (row,) = net.ledger()
    assert (row["kind"], row["bytes_received"]) == ("quilt", sum(len(data) for _, data in FILES))


def test_every_file_is_read_back_by_patch_id_and_by_name(client: Any) -> None:
    answer = client.quilt(FILES)
    blob_id = answer.json()["blobStoreResult"]["newlyCreated"]["blobObject"]["blobId"]
    rows = stored(answer)
    for name, data in FILES:
        assert client.get(f"/v1/blobs/by-quilt-patch-id/{rows[name]['quiltPatchId']}").content == data
        assert client.get(f"/v1/blobs/by-quilt-id/{blob_id}/{name}").content == data


def test_tags_come_from_metadata_and_other_values_become_their_json_text(client: Any) -> None:
    metadata = [
        {"identifier": "logo.svg", "tags": {"lang": "en", "rev": 7, "list": [1, "ü"], "ok": True, "none": None}},
        {"identifier": "nobody", "tags": {"x": "y"}},
        {"identifier": "a.txt"},
    ]
    answer = client.quilt(FILES, metadata)
    assert "_metadata" not in stored(answer)
    blob_id = answer.json()["blobStoreResult"]["newlyCreated"]["blobObject"]["blobId"]
    listed = {row["identifier"]: row["tags"] for row in client.get(f"/v1/quilts/{blob_id}/patches").json()}
    assert listed["logo.svg"] == {"lang": "en", "rev": "7", "list": '[1,"ü"]', "ok": "true", "none": "null"}
    assert listed["a.txt"] == listed["page-1.html"] == {}


def test_metadata_may_come_first_and_more_than_once(client: Any) -> None:
    def entry(name: str) -> bytes:
        return json.dumps([{"identifier": name, "tags": {"at": name}}]).encode()

    files = [("_metadata", entry("b")), ("a", b"1"), ("_metadata", entry("a")), ("b", b"2")]
    answer = client.quilt(files)
    blob_id = answer.json()["blobStoreResult"]["newlyCreated"]["blobObject"]["blobId"]
    listed = {row["identifier"]: row["tags"] for row in client.get(f"/v1/quilts/{blob_id}/patches").json()}
    assert listed == {"a": {"at": "a"}, "b": {"at": "b"}}


def test_two_metadata_entries_for_one_identifier_are_refused(client: Any, refusal: Any) -> None:
    metadata = [{"identifier": "a.txt"}, {"identifier": "a.txt", "tags": {}}]
    malformed(client.quilt(FILES, metadata), refusal, "a.txt")


@pytest.mark.parametrize(
    "metadata",
    [b"not json", b"{}x", b'{"identifier": "a"}', b"[1]", b'[{"tags": {}}]', b'[{"identifier": 3}]', b"\xff",
     b'[{"identifier": "a.txt", "tags": ["x"]}]'],
)  # fmt: skip
def test_bad_metadata_is_malformed(client: Any, refusal: Any, net: LocalNetwork, metadata: bytes) -> None:
    malformed(client.quilt(FILES, metadata), refusal, "metadata")
    assert net.ledger() == []


def test_duplicate_identifiers_are_malformed(client: Any, refusal: Any) -> None:
    malformed(client.quilt([("a", b"1"), ("a", b"2")]), refusal, "duplicate identifier")


@pytest.mark.parametrize("files", [[], [("_metadata", b"[]")]], ids=["nothing", "metadata only"])
def test_a_form_without_files_is_malformed(client: Any, refusal: Any, files: Any) -> None:
    body = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), data)
        for name, data in files
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = client.http.put("/v1/quilts", content=body + b"--b--\r\n", headers=headers)
    malformed(answer, refusal, "no files provided in multipart form")


@pytest.mark.parametrize("name", ["trailing ", "tab\there", "bell\x07", "c1\x85x"])
def test_bad_identifiers_are_malformed(client: Any, refusal: Any, name: str) -> None:
    body = f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\nx\r\n--b--\r\n'.encode()
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = client.http.put("/v1/quilts", content=body, headers=headers)
    malformed(answer, refusal, "")


def test_a_field_without_a_name_is_malformed(client: Any, refusal: Any) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    body = b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"
    malformed(client.http.put("/v1/quilts", content=body, headers=headers), refusal, "failed to parse multipart form")


def test_an_incomplete_form_is_malformed(client: Any, refusal: Any, net: LocalNetwork) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    body = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nhalf'
    malformed(client.http.put("/v1/quilts", content=body, headers=headers), refusal, "failed to parse multipart form")
    assert net.ledger() == []


@pytest.mark.parametrize("kind", ["", "multipart/form-data", "application/octet-stream"])
def test_a_form_without_a_boundary_is_400_as_text(client: Any, kind: str) -> None:
    answer = client.http.put("/v1/quilts", content=b"x", headers={"content-type": kind} if kind else {})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")


def test_too_many_patches_are_malformed(client: Any, refusal: Any) -> None:
    files = [(f"f{number:02}", b"x") for number in range(20)]
    malformed(client.quilt(files), refusal, "")


def test_a_quilt_over_the_limit_is_400_not_413(client: Any, refusal: Any, net: LocalNetwork) -> None:
    net.faults.reshape(max_quilt_body=2000)
    malformed(client.quilt([("a", b"x" * 2000)]), refusal, "failed to parse multipart form: ")
    assert client.quilt([("a", b"x" * 200)]).status_code == 200


def test_a_large_file_streams_in_whole(client: Any) -> None:
    data = bytes(range(256)) * 3000
    answer = client.quilt([("big.bin", data), ("small", b"s")])
    assert client.get(f"/v1/blobs/by-quilt-patch-id/{stored(answer)['big.bin']['quiltPatchId']}").content == data


def test_files_that_no_quilt_of_this_network_holds_are_malformed(client: Any, refusal: Any, net: LocalNetwork) -> None:
    malformed(client.quilt([("big.bin", bytes(3_000_000))]), refusal, "fit")
    assert net.ledger() == []


def test_a_permanent_quilt_that_is_there_is_reused_with_its_patches(client: Any) -> None:
    first = client.quilt(FILES, query="permanent=true&epochs=3")
    second = client.quilt(FILES, query="permanent=true&epochs=3")
    assert list(second.json()["blobStoreResult"]) == ["alreadyCertified"]
    assert second.json()["storedQuiltBlobs"] == first.json()["storedQuiltBlobs"]


def test_a_failed_quilt_is_200_with_an_error_and_no_patches(client: Any) -> None:
    client.fault("publisher.body", "error_in_200", times=1)
    answer = client.quilt(FILES)
    assert answer.status_code == 200
    assert answer.json()["storedQuiltBlobs"] == []
    assert answer.json()["blobStoreResult"]["error"].keys() == {"blobId", "failurePhase", "errorMsg"}


def test_a_quilt_with_a_wrong_blob_id_has_wrong_patch_ids(client: Any) -> None:
    right = client.quilt(FILES)
    client.fault("publisher.after_certify", "wrong_blob_id", times=1)
    wrong = client.quilt(FILES)
    told = wrong.json()["blobStoreResult"]["newlyCreated"]["blobObject"]["blobId"]
    assert told != right.json()["blobStoreResult"]["newlyCreated"]["blobObject"]["blobId"]
    assert all(QuiltPatchId.parse(row["quiltPatchId"]).quilt == BlobId.parse(told) for row in stored(wrong).values())


@pytest.mark.parametrize("query", ["cb=1", "epochs=x", "share=true&send_object_to=0x1"])
def test_quilts_read_the_same_strict_query(client: Any, query: str) -> None:
    answer = client.quilt(FILES, query=query)
    assert (answer.status_code, answer.text.partition(":")[0]) == (400, "Failed to deserialize query string")
