"""Planted bugs: each is switched on by the tests only, and must be found; a green simulation shows nothing otherwise.

    python -m tests.torture.planted

A bug is a patch of the product as a careless programmer would have written it, and what must see it: seeds of the
simulation, pairs of deaths, power cuts, or a scenario of its own. The invariant that fired is printed.
"""

from __future__ import annotations

import sys
import time

from tests.torture.planted import effects, home, lies, outside, sites
from tests.torture.planted.hunting import Bug, Scenario, hunt

__all__ = ["BUGS", "LIES", "LISTED", "NOT_APPLICABLE", "SCENARIOS", "Bug", "Scenario", "hunt", "main", "title"]

LISTED = {
    1: "marked done before stored",
    2: "a new digest for each attempt",
    3: "a nonce that is not durable",
    4: "synchronous NORMAL",
    5: "synchronous OFF",
    6: "acknowledged before the commit",
    7: "no check of the inode",
    8: "intent after the effect",
    9: "no look before paying again",
    10: "a lease by wall clock",
    11: "no fence after SIGSTOP",
    12: "deletes before the commit",
    13: "index page first",
    14: "unchanged-check by mtime only",
    15: "a one-use token used again",
    16: "retry without limit",
    17: "an unreadable file skipped",
    18: "end epoch not checked again",
    19: "cleanup without counting references",
    20: "a cancel that wins after the commit",
    21: "believes the blob id in the answer",
    22: "no total deadline",
    23: "redirects followed",
    24: "an unescaped name in HTML",
    25: "a secret in an exception",
}
"""The bugs that every deployer is tempted by; each is planted, or said not to apply."""

LIES = {
    "lie: rollback": "a rollback changes what visitors read",
    "lie: resume": "resume keeps the id",
    "lie: skipped": "a skipped file is really stored",
    "lie: figures": "every figure has a source",
    "lie: cleanup": "a cleanup deletes, and says what",
}
"""What a tool may say without doing it; what is named here must be true."""

NOT_APPLICABLE: dict[int, str] = {}
"""Which of the listed bugs cannot be planted here, and why, in a sentence: there is none."""


def _order(bug: Bug) -> tuple[int, int, str]:
    if isinstance(bug.key, int):
        return 0, bug.key, ""
    return (1, 0, bug.key) if bug.key is not None else (2, 0, "")


BUGS = tuple(sorted((*effects.BUGS, *sites.BUGS, *home.BUGS, *outside.BUGS, *lies.BUGS), key=_order))
"""By number, then the lies, then our own."""
SCENARIOS = tuple(dict.fromkeys(bug.find for bug in BUGS if isinstance(bug.find, Scenario)))
"""Each must pass without its bug."""


def title(bug: Bug) -> str:
    """Return a bug's key and name."""
    return f"{'' if bug.key is None else bug.key:>13}  {bug.name}"


def main() -> int:
    """Hunt all planted bugs and print what found each, by their numbers; returns how many were not found."""
    missed = 0
    for bug in BUGS:
        start = time.perf_counter()
        try:
            found = hunt(bug)
        except AssertionError as error:
            missed += 1
            found = str(error)
        seconds = time.perf_counter() - start
        sys.stdout.write(f"{title(bug):<62} {found:<10} {seconds:>6.2f} s\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(BUGS) - missed} of {len(BUGS)} found\n")
    return missed
