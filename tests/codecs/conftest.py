"""Recipes of the vectors: the content that each case was made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

VECTORS = Path(__file__).resolve().parents[1] / "vectors"


def make_content(recipe: dict[str, Any]) -> bytes:
    """Return the bytes that a recipe of the vectors describes."""
    length, pattern = recipe["length"], recipe["pattern"]
    i = np.arange(length, dtype=np.int64)
    if pattern == "byte i = (i*31+7) % 256":
        return ((i * 31 + 7) % 256).astype(np.uint8).tobytes()
    if pattern == "byte i = (i*31+7+s) % 256":
        return ((i * 31 + 7 + recipe["s"]) % 256).astype(np.uint8).tobytes()
    if pattern == "byte i = (i*31+7+(i//256)*17+(i//65536)*29) % 256":
        return ((i * 31 + 7 + (i // 256) * 17 + (i // 65536) * 29) % 256).astype(np.uint8).tobytes()
    assert pattern.startswith('concatenate sha256(b"walrus" + j as u64 LE)'), pattern
    blocks = (hashlib.sha256(b"walrus" + j.to_bytes(8, "little")).digest() for j in range(length // 32 + 1))
    return b"".join(blocks)[:length]


@pytest.fixture(scope="session")
def content() -> Any:
    """The function that makes a vector's content."""
    return make_content


def load(name: str) -> Any:
    """Read one file of vectors."""
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give one test per case to tests that ask for `blob_case`, `sliver_case` or `quilt_case`."""
    files = {"blob_case": "blob_ids.json", "sliver_case": "slivers.json", "quilt_case": "quilts.json"}
    for fixture, name in files.items():
        if fixture in metafunc.fixturenames:
            cases = load(f"walrus/{name}")["cases"]
            metafunc.parametrize(fixture, cases, ids=[_case_id(case, i) for i, case in enumerate(cases)])


def _case_id(case: dict[str, Any], index: int) -> str:
    if "name" in case:
        return str(case["name"])
    return f"{index}-n{case['n_shards']}-{case['content']['length']}"
