"""The commit that a folder was built from, as git tells it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

__all__ = ["git_commit"]

_SECONDS = 5.0


def git_commit(place: Path) -> str:
    """Return the commit that is checked out where `place` lies; empty without git or outside a checkout."""
    command = ["git", "-C", str(place), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = done.stdout.strip()
    return text if done.returncode == 0 and re.fullmatch(r"[0-9a-f]{40,64}", text) else ""
