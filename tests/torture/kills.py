"""kill -9 against real processes: verbs that are killed at any moment, and the same verb again until it is done.

A local network runs in a process of its own, with stores that a hang-up ends or does not end. In each round one verb
is run in children that are killed, by the clock or after so many acknowledgements, and then once without a kill.
Children tell each event of the journal as soon as it is acknowledged to them. At the end of the round every one of
them must be in the journal, nothing that was recorded or certified at a kill may have been paid again, what was paid
in vain must be named, there must be one site, and visitors must get its files byte for byte.

Children are forked from a process without threads; a share of them are fresh interpreters.
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio

from tests.torture.child import CONCURRENCY, KEPT, Task, work
from tests.torture.network import Net, end_after
from walrus_sdk.http import client
from walrus_sdk.journal.check import check
from walrus_sdk.journal.database import open_reader
from walrus_sdk.journal.store import journal_path
from walrus_sdk.model import events

__all__ = ["Figures", "run"]

_FILES = 24
_LATENCY_S = 0.08
"""At most so long takes a store; and so long after an acknowledgement, when stores are under way, comes a kill."""
_ROUNDS_OF_A_WORLD = 25
CALLS = {"pwrite64": 250, "fdatasync": 20, "rename": 5, "fsync": 10, "unlink": 3}
"""System calls that make something last, and about how many of each a thread makes in a verb."""
_MOST_KILLS = 6
"""Kills of one verb in a row; the default of ``max_recoveries`` is far above."""
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it. All but kills, rounds, `paid_in_vain` (at most `bound`) and seconds must be 0.

    `bound`: stores that were in flight at the kills. `unreported`: paid in vain and named in no result, told or kept
    in the journal. `wrong_content`: pages. `second_sites`, `unsound`, `failed`: rounds with another number of sites
    than one, with a journal that is not sound, with a verb that did not come to its end without a kill. What is wrong
    is also told on standard error.
    """

    kills: int = 0
    rounds: int = 0
    lost_acknowledgements: int = 0
    paid_for_recorded: int = 0
    paid_in_vain: int = 0
    bound: int = 0
    unreported: int = 0
    wrong_content: int = 0
    second_sites: int = 0
    unsound: int = 0
    failed: int = 0
    acknowledgements: int = 0
    seconds: float = 0.0

    def __add__(self, other: Figures) -> Figures:
        mine, theirs = asdict(self), asdict(other)
        return Figures(**{name: mine[name] + theirs[name] for name in mine})

    @property
    def good(self) -> bool:
        """Whether everything held."""
        wrong = (self.lost_acknowledgements, self.paid_for_recorded, self.unreported, self.wrong_content)
        return not any((*wrong, self.second_sites, self.unsound, self.failed)) and self.paid_in_vain <= self.bound


# ── children as their parent sees them ────────────────────────────────────────────────────────────────────────────


class _Child:
    """One child: what it told, and its end."""

    def __init__(self, task: Task, *, fresh: bool, under: Sequence[str] = ()) -> None:
        self._pipe, its = os.pipe()
        self._buffer = b""
        self.told: list[dict[str, Any]] = []
        self.killed = False
        self._process: subprocess.Popen[bytes] | None = None
        if fresh:
            command = [
                *under,
                sys.executable,
                "-m",
                "tests.torture.child",
                str(its),
                json.dumps(asdict(task)),
            ]
            self._process = subprocess.Popen(command, pass_fds=(its,), stderr=subprocess.DEVNULL)
            self._pid = self._process.pid
        else:
            self._pid = os.fork()
            if not self._pid:
                os.close(self._pipe)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # its errors are told
                end_after(lambda: work(task, its, forked=True))
        os.close(its)

    def run(self, lines: float, seconds: float, only: str = "") -> None:
        """Read until its end, and kill it so many seconds after so many lines (events of a type, if `only` says so)."""
        end, armed = time.monotonic() + _PATIENCE_S, False
        while self._read(end - time.monotonic()):
            counted = [line for line in self.told if not only or line.get("event", [""] * 4)[3] == only]
            if not armed and len(counted) >= lines:
                end, armed = time.monotonic() + seconds, True
        os.kill(self._pid, signal.SIGKILL)
        while self._read(None):
            pass
        os.close(self._pipe)
        code = self._process.wait() if self._process else os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self.killed = code == -signal.SIGKILL

    def _read(self, wait: float | None) -> bool:
        """Take in what it told; false at its end, or when the time is over."""
        if wait is not None and not select.select([self._pipe], [], [], max(0.0, wait))[0]:
            return False
        data = os.read(self._pipe, 65536)
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        self.told += [json.loads(line) for line in lines]
        return bool(data)

    def all(self, kind: str) -> list[Any]:
        """Return everything of a kind that it told."""
        return [line[kind] for line in self.told if kind in line]


# ── rounds ────────────────────────────────────────────────────────────────────────────────────────────────────────

Pages = dict[str, bytes]


class _House:
    """One world: a network, a home, a folder, and what must be true of them."""

    def __init__(
        self, folder: Path, chance: random.Random, fresh_share: float, pace: dict[str, float], *, calls: bool
    ) -> None:
        self.net = Net()
        self._calls = calls
        self._chance = chance
        self._fresh_share = fresh_share
        self._pace = pace
        self._home, self._site = folder / "home", folder / "site"
        self._pages: Pages = {}
        self._served: Pages = {}
        self._paths: set[str] = set()
        self._versions: dict[int, Pages] = {}
        self._url = ""
        self._safe: dict[str, int] = {}
        self._named: set[str] = set()
        self._told: list[Any] = []
        self._figures = Figures()

    # ── the folder ──────────────────────────────────────────────────────────────────────────────────────────

    def _change(self) -> None:
        """Write a new state of the site: some pages changed, perhaps one more or one less."""
        chance = self._chance
        if not self._pages:
            self._pages = {f"/page-{n:02}.html": self._page() for n in range(_FILES)} | {"/index.html": b"home"}
        else:
            pages = [path for path in self._pages if path != "/index.html"]
            self._pages = dict(self._pages) | {
                path: self._page() for path in chance.sample(pages, chance.randint(1, 9))
            }
            if chance.random() < 0.3:
                self._pages[f"/more/{chance.randrange(100)}.html"] = self._page()
            if chance.random() < 0.3:
                del self._pages[chance.choice(pages)]
        self._paths |= set(self._pages)
        for path in self._paths:
            place = self._site / path[1:]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            if path in self._pages:
                place.write_bytes(self._pages[path])

    def _page(self) -> bytes:
        return b"<p>%d</p>" % self._chance.randrange(10**9) * self._chance.randint(1, 200)

    # ── one round ───────────────────────────────────────────────────────────────────────────────────────────

    def round(self) -> Figures:
        """Choose a verb, kill it some times, let it come to its end, and check everything."""
        self._figures, self._told = Figures(rounds=1), []
        verb, arguments = self._choose()
        task = Task(str(self._home), str(self._site), self.net.facts, verb, arguments)
        for _ in range(self._chance.randint(1, _MOST_KILLS)):
            if not self._kill(task).killed:
                break
        began = time.monotonic()
        child = self._child(task, fresh=False)
        child.run(1, _PATIENCE_S)
        results = child.all("result")
        self._told += child.all("event")
        if not results:
            said = (child.all("error") or ["it took too long"])[0]
            self._note(f"{verb} {arguments} did not come to its end: {said}", failed=1)
            return self._figures
        self._pace[verb] = 0.7 * self._pace.get(verb, 0.3) + 0.3 * (time.monotonic() - began)
        self._pace[f"{verb} told"] = max(self._pace.get(f"{verb} told", 0), len(child.told))
        self._take(verb, arguments, results[0])
        self._check(verb)
        return self._figures

    def _choose(self) -> tuple[str, dict[str, Any]]:
        chance = self._chance
        known = sorted(self._versions)[-KEPT:-1]
        kind = chance.choices(("deploy", "resume", "cancel", "rollback", "cleanup"), (4, 3, 2, 2, 1))[0]
        if kind == "cleanup" and self._served:
            return "cleanup", {"days": chance.choice((0.0, 7.0))}
        if kind == "rollback" and known:
            return "rollback", {"to": chance.choice(known)}
        self._change()
        deploy = Task(str(self._home), str(self._site), self.net.facts, "deploy")
        if kind in ("resume", "cancel"):
            begun = [event[0] for event in self._kill(deploy).all("event") if event[3] == events.DEPLOYMENT_PLANNED]
            if begun:
                return kind, {"deployment": begun[-1]}
        return "deploy", {}

    def _child(self, task: Task, *, fresh: bool, under: Sequence[str] = ()) -> _Child:
        on_disconnect = self._chance.choice(("drop", "finish"))
        self.net.ask(on_disconnect=on_disconnect, latency_s=_LATENCY_S * self._chance.random())
        backend = self._chance.choice(("asyncio", "asyncio", "trio"))
        return _Child(replace(task, backend=backend), fresh=fresh, under=under)

    def _kill(self, task: Task) -> _Child:
        """Run a task in a child that is killed, unless it comes to its end before."""
        chance = self._chance
        under = self._at_a_call() if self._calls else ()
        child = self._child(task, fresh=bool(under) or chance.random() < self._fresh_share, under=under)
        moment = chance.random()
        if under:
            child.run(math.inf, 0.0)
        elif moment < 0.3:
            child.run(1, chance.uniform(0, self._pace.get(task.verb, 0.3) * 1.1))
        elif moment < 0.6 or task.verb not in ("deploy", "resume"):
            most = int(self._pace.get(f"{task.verb} told", 20))
            child.run(1 + chance.randint(1, most), chance.choice((0.0, chance.uniform(0, _LATENCY_S))))
        else:
            child.run(chance.randint(1, 4), chance.uniform(0, _LATENCY_S), only=events.EFFECT_RELEASED)
        told = child.all("event")
        self._told += told
        if child.killed:
            self._figures += Figures(kills=1, bound=CONCURRENCY)
        for result in child.all("result"):
            self._named |= set((result or {}).get("possibly_paid_in_vain", ()))
        for said in child.all("error"):
            self._note(f"{task.verb} {task.arguments} failed before its kill: {said}", failed=1)
        now = self.net.ask()
        done = [event[4] for event in told if event[3] == events.EFFECT_DONE]
        for name in (*now["certified"], *(data["name"] for data in done if data["kind"] == "store")):
            self._safe.setdefault(name, len(now["paid"]))
        return child

    def _at_a_call(self) -> Sequence[str]:
        """Return what kills a command at its nth system call of a kind that writes (fault P2)."""
        call, most = self._chance.choice(list(CALLS.items()))
        number = self._chance.randint(1, most)
        kill = f"inject={call}:signal=KILL:when={number}"
        return ("strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", kill)

    def _take(self, verb: str, arguments: Mapping[str, Any], result: dict[str, Any] | None) -> None:
        """Take in what a verb came to without a kill."""
        if result is None:
            return
        self._named |= set(result["possibly_paid_in_vain"])
        if verb == "cleanup":
            return
        self._served = self._versions[arguments["to"]] if verb == "rollback" else self._pages
        self._versions[result["version"]] = self._served
        self._url = result["url"]

    # ── checks ──────────────────────────────────────────────────────────────────────────────────────────────

    def _note(self, text: str, **figures: int) -> None:
        self._figures += Figures(**figures)
        print(text, file=sys.stderr, flush=True)

    def _check(self, verb: str) -> None:
        self._check_journal(verb)
        now = self.net.ask()
        again = [name for at, name in enumerate(now["paid"]) if at >= self._safe.get(name, len(now["paid"]))]
        if again:
            self._note(f"paid again after {verb}: {again}", paid_for_recorded=len(again))
            self._safe |= {name: len(now["paid"]) for name in again}
        if now["sites"] != bool(self._served):
            self._note(f"{now['sites']} sites after {verb}", second_sites=1)
        wrong = self._wrong_pages() if self._served else []
        if wrong:
            self._note(f"after {verb}: {wrong}", wrong_content=len(wrong))

    def _check_journal(self, verb: str) -> None:
        path = journal_path(self._home)
        with closing(open_reader(path)) as db:
            rows = db.execute("select deployment, n, incarnation, type, data from events")
            there = {row[:2]: [*row[:4], json.loads(row[4])] for row in rows}
            rows = db.execute("select name from operations where kind = 'store' and state = 'released'")
            open_ = {name for (name,) in rows}
            rows = db.execute("select result from deployments where result is not null")
            results = [json.loads(text) for (text,) in rows]  # of a verb that was killed before it could tell it, too
            kept = {name for result in results for name in result.get("possibly_paid_in_vain", ())}
        alive = {deployment for deployment, _ in there}
        forgotten = {event[0] for event in self._told if verb == "cleanup" and event[0] not in alive}
        lost = [e for e in self._told if e[0] not in forgotten and there.get((e[0], e[1])) != e]
        self._figures += Figures(acknowledgements=len(self._told))
        if lost:
            self._note(f"not in the journal after {verb}: {lost}", lost_acknowledgements=len(lost))
        silent = set(self.in_vain()) - self._named - open_ - kept
        if silent:
            self._note(f"paid in vain and named nowhere after {verb}: {sorted(silent)}", unreported=len(silent))
            self._named |= silent
        found = check(path)
        if found:
            self._note(f"after {verb}: {found}", unsound=1)

    def in_vain(self) -> Counter[str]:
        """Return how often each blob was paid in vain."""
        now = self.net.ask()
        return Counter(now["paid"]) - Counter(now["certified"])

    def _wrong_pages(self) -> list[str]:
        place = urlsplit(self._url)
        connection = HTTPConnection("127.0.0.1", place.port or 0, timeout=20)
        wrong = []
        with closing(connection):
            for path in sorted(self._paths):
                connection.request("GET", path, headers={"Host": place.netloc})
                answer = connection.getresponse()
                body = answer.read()
                expected = self._served.get(path)
                if (answer.status, body) != (200, expected) and (answer.status == 200 or expected is not None):
                    wrong.append(f"{path} ({answer.status}, {hashlib.sha256(body).hexdigest()[:8]})")
        return wrong


def run(kills: int, seed: int, fresh_share: float = 0.1, lanes: int | None = None, *, calls: bool = False) -> Figures:
    """Kill so many children, in `lanes` worlds at a time (default: one for each processor), each with its own choices.

    With `calls` each is a fresh interpreter and dies at a system call that writes, which needs ``strace``.
    For a process without threads: it forks.
    """
    began, figures = time.perf_counter(), Figures()
    lanes = min(lanes or os.cpu_count() or 1, kills)
    for pid, pipe in [_fork_lane(lane, kills, seed, fresh_share, lanes, calls) for lane in range(lanes)]:
        with os.fdopen(pipe) as file:
            found = json.loads(file.read())
        os.waitpid(pid, 0)
        figures += Figures(**found)
    return replace(figures, seconds=time.perf_counter() - began)


def _fork_lane(lane: int, kills: int, seed: int, fresh_share: float, lanes: int, calls: bool) -> tuple[int, int]:
    """Start one lane in a process of its own; returns its id and the pipe on which its figures come."""
    mine, its = os.pipe()
    pid = os.fork()
    if not pid:
        share = kills * (lane + 1) // lanes - kills * lane // lanes
        end_after(lambda: _lane(share, f"{seed} {lane}", fresh_share, its, calls))
    os.close(its)
    return pid, mine


def _get_ready() -> None:
    """Import and make here, once, what each forked child would else import and make for itself."""
    for backend in ("asyncio", "trio"):
        anyio.run(anyio.sleep, 0, backend=backend)
    client.usual_tls()
    gc.freeze()  # a child's collector does not touch, and so copy, what was there before


def _lane(kills: int, seed: str, fresh_share: float, pipe: int, calls: bool) -> None:
    """Kill one child after the other, in one world after the other."""
    _get_ready()
    chance = random.Random(seed)
    memory, pace, figures = Path("/dev/shm"), dict[str, float](), Figures()
    while figures.kills < kills:
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
            house = _House(Path(name), chance, fresh_share, pace, calls=calls)
            try:
                for _ in range(_ROUNDS_OF_A_WORLD):
                    failed = figures.failed
                    figures += house.round()
                    if figures.kills >= kills or figures.failed > failed:
                        break
                figures += Figures(paid_in_vain=house.in_vain().total())
            finally:
                house.net.close()
    with os.fdopen(pipe, "w") as file:
        json.dump(asdict(figures), file)


def main(arguments: list[str]) -> None:
    """Print figures: the number of kills, then the seed, the share of fresh interpreters; ``calls``: by strace."""
    calls = "calls" in arguments
    arguments = [text for text in arguments if text != "calls"]
    kills, seed, share = (*arguments, *("200", "1", "0.1")[len(arguments) :])[:3]
    figures = run(int(kills), int(seed), float(share), calls=calls)
    for name, value in asdict(figures).items():
        print(f"{name:>22}  {value}")
    print(f"{'kills a second':>22}  {figures.kills / figures.seconds:.1f}")
    sys.exit(not figures.good)


if __name__ == "__main__":
    main(sys.argv[1:])
