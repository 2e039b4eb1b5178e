"""Faults of the process (P): what a process leaves that ends, stops, forks, runs short, or is failed by its callers."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

import walrus_sdk as ws
from tests.service.conftest import House
from tests.torture.test_kills import figures_of
from walrus_sdk import local
from walrus_sdk.errors import OwnershipError, WalrusError
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.service import resume
from walrus_sdk.sui.signers import CallbackSigner, KeySigner

ELSEWHERE: dict[str, list[str]] = {
    "P1": [
        "tests/torture/test_kills.py::test_whatever_is_killed_comes_to_its_end_and_nothing_acknowledged_is_lost",
        "tests/engine/test_crashes.py::test_after_a_death_at_any_hook_point_the_same_call_pays_each_blob_once",
        "tests/journal/test_durability.py::test_what_was_acknowledged_survives_kill_9",
    ],
    "P3": ["tests/engine/test_crashes.py::test_a_second_death_on_the_way_back_is_met_as_well"],
    "P4": [
        "tests/cli/test_signals_and_streams.py::test_a_second_signal_ends_the_grace_of_what_is_paid",
        "tests/cli/test_signals_and_streams.py::test_a_reader_that_goes_away_does_not_end_a_deployment",
        "tests/cli/test_end_to_end.py::test_a_signal_finishes_what_is_paid_and_the_same_command_goes_on",
    ],
    "P5": ["tests/service/test_host.py::test_a_handle_can_be_awaited_on_any_event_loop"],
    "P8": ["tests/journal/test_durability.py::test_descriptors_of_the_journal_do_not_reach_children"],
    "P11": ["tests/service/test_host.py::test_a_script_that_ends_while_it_deploys_lets_what_is_paid_finish"],
}
"""Tests of other folders for the same fault."""

PAGES = {f"page-{number}.html": b"<p>%d</p>" % number * 40 for number in range(12)}
ASKED: dict[str, Any] = {"site_name": "tides", "max_quilt_files": 3, "concurrency": 2}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def house(net: LocalNetwork, tmp_path: Path) -> House:
    made = House(net, tmp_path / "home", tmp_path / "site")
    made.write(PAGES | {"index.html": b"home"})
    return made


@pytest.fixture
def options(house: House) -> dict[str, Any]:
    return {"home": house.home, "network": house.net.network, "signer": KeySigner(house.net.key)}


Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def script(house: House) -> Iterator[Script]:
    """Run lines of Python in a process of their own; `options` and `folder` are there, and `deploy(listener)`."""
    started: list[subprocess.Popen[str]] = []
    facts = [str(house.home), str(house.folder), house.net.url, house.net.world.genesis.to_json().decode()]

    def run(lines: str) -> subprocess.Popen[str]:
        code = f"{_PREAMBLE}\n{lines}"
        command = [sys.executable, "-c", code, json.dumps([*facts, house.net.key.to_suiprivkey(), ASKED])]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


_PREAMBLE = """
import json, os, resource, signal, subprocess, sys, threading
from dataclasses import replace
import walrus_sdk as ws
from walrus_sdk.codecs.keys import PrivateKey
from walrus_sdk.localnet.genesis import Genesis
from walrus_sdk.localnet.world import network_of
from walrus_sdk.sui.signers import KeySigner

home, folder, url, genesis, key, asked = json.loads(sys.argv[1])
network = replace(network_of(Genesis.from_json(genesis.encode()), url), settle_s=0.2, grace_s=1.0)
options = {"home": home, "network": network, "signer": KeySigner(PrivateKey.from_suiprivkey(key))}

def deploy(listener=None):
    return ws.run.deploy(folder, progress=listener, **asked, **options)

def told(verb):
    try:
        verb()
    except ws.WalrusError as error:
        return error.code
    except BaseException as error:
        return f"not of the tree: {error!r}"
    return "done"
"""


def said(process: subprocess.Popen[str]) -> Any:
    """Return what a script printed, which is JSON, after its end."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out)


def check_whole(house: House, result: ws.DeployResult) -> None:
    """Check that visitors get the folder, and that what was paid twice is named."""
    assert house.served(result.url) == house.source()
    twice = {blob_id for blob_id, times in house.paid().items() if times > 1}
    assert twice <= set(result.possibly_paid_in_vain)


def test_every_fault_of_the_process_has_a_test(covered: Any) -> None:
    assert covered("P", 11, __file__, ELSEWHERE) == []


# ── P1: killed ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_p1_killed_half_way_no_byte_of_a_recorded_store_is_sent_again(house: House, script: Script) -> None:
    house.write(
        {f"page-{number:02}.html": b"<p>%02d</p>" % number * 700 for number in range(40)} | {"index.html": b"x"}
    )
    killed = script("""
def listen(progress):
    if 0 < progress.stores_total <= 2 * progress.stores_confirmed:
        os.kill(os.getpid(), signal.SIGKILL)
deploy(listen)
""")
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    with closing(sqlite3.connect(house.home / "state" / "journal.db")) as db:
        recorded = {
            name for (name,) in db.execute("select name from operations where kind = 'store' and state = 'done'")
        }
        left = sum(size for (size,) in db.execute("select size from entries where state is not 'stored'"))
    before = house.net.ledger()
    assert len(recorded) >= 7, "half of the stores are recorded"
    assert recorded <= {row["blob_id"] for row in before}
    last: list[Progress] = []

    async def deploy() -> ws.DeployResult:
        async with house.session() as sites:
            return await sites.deploy(house.folder, **ASKED, progress=last.append)

    check_whole(house, anyio.run(deploy))
    sent = house.net.ledger()[len(before) :]
    assert recorded.isdisjoint(row["blob_id"] for row in sent)
    assert 0 < sum(row["bytes_received"] for row in sent) == last[-1].bytes_sent
    assert last[-1].bytes_sent <= left, "only what was not recorded left this machine"


# ── P2: system calls ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.skipif(shutil.which("strace") is None, reason="kills at a system call by strace, which is not installed")
def test_p2_a_death_at_a_system_call_loses_nothing() -> None:
    figures = figures_of(6, 1, calls=True)
    assert figures.good, figures
    assert figures.kills >= 6
    assert figures.acknowledgements > 0


# ── P4, P5: signals, terminals, notebooks ─────────────────────────────────────────────────────────────────────────


@pytest.mark.processes
def test_p4_a_terminal_that_is_closed_stops_a_deploy_which_goes_on_later(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "site"
    folder.mkdir()
    for name, data in (PAGES | {"index.html": b"home"}).items():
        (folder / name).write_bytes(data)
    local.ensure_running(home, shards=10)
    try:
        local.set_faults(home, {"shape": {"latency_s": 0.3}})
        code = in_a_terminal(home, "deploy", str(folder), "--max-quilt-files", "3", "--concurrency", "1")
        assert code == 128 + signal.SIGHUP
        local.set_faults(home, {"shape": {"latency_s": 0.0}})
        (left,) = ws.run.list(home=home)
        assert (left.status, left.resumable) == ("interrupted", True)
        result = ws.run.resume(home=home)
        assert (result.deployment_id, result.possibly_paid_in_vain) == (left.deployment_id, ())
        paid = [row["blob_id"] for row in local.ledger(home) if row["paid"]]
        assert len(paid) == len(set(paid)) == 5
    finally:
        local.stop(home)


def in_a_terminal(home: Path, *arguments: str) -> int:
    """Run the command in a terminal that is closed when the first store is confirmed; returns its exit code."""
    master, slave = pty.openpty()
    # The first terminal that the leader of a session opens becomes its own.
    code = "import os, sys; [os.dup2(os.open(sys.argv[1], os.O_RDWR), n) for n in range(3)]"
    code += "; os.execv(sys.argv[2], sys.argv[2:])"
    command = [sys.executable, "-c", code, os.ttyname(slave), str(Path(sys.executable).with_name("walrus-sdk"))]
    env = {**os.environ, "WALRUS_DEPLOYMENT_HOME": str(home), "TERM": "xterm"}
    process = subprocess.Popen([*command, *arguments], env=env, start_new_session=True)
    shown = b""
    while b"1 of 5 stores" not in shown:
        shown += os.read(master, 4096)
    os.close(master)
    os.close(slave)
    return process.wait(30)


def test_p5_a_cell_that_is_run_twice_joins_the_first_run_and_a_different_one_is_refused(
    house: House, options: dict[str, Any]
) -> None:
    house.net.faults.reshape(latency_s=0.2)
    with ws.connect(**options) as sites:
        storing = threading.Event()
        first = sites.deploy(house.folder, progress=when_storing(storing.set), **ASKED)
        assert storing.wait(30)
        with pytest.raises(OwnershipError) as caught:
            sites.deploy(house.folder, **ASKED, message="another").wait()
        assert caught.value.code == "deployment_owned"
        again = sites.deploy(house.folder, **ASKED)
        check_whole(house, first.wait())
        assert again.wait().deployment_id == first.wait().deployment_id
    assert set(house.paid().values()) == {1}


def when_storing(act: Callable[[], object]) -> Callable[[Progress], None]:
    """Return a listener that acts once, when the first store is confirmed."""
    acted: list[bool] = []

    def listen(progress: Progress) -> None:
        if progress.phase is Phase.STORE and progress.stores_confirmed and not acted:
            acted.append(True)
            act()

    return listen


@pytest.mark.anyio
async def test_p5_the_verbs_in_one_call_work_while_an_event_loop_runs(house: House, options: dict[str, Any]) -> None:
    check_whole(house, ws.run.deploy(house.folder, **ASKED, **options))


def test_p5_an_interrupt_while_a_handle_is_waited_for_stops_it_and_the_next_cell_goes_on(
    house: House, options: dict[str, Any]
) -> None:
    house.net.faults.reshape(latency_s=0.1)
    main = threading.main_thread().ident
    assert main is not None
    with ws.connect(**options) as sites:
        handle = sites.deploy(
            house.folder, progress=when_storing(lambda: signal.pthread_kill(main, signal.SIGINT)), **ASKED
        )
        with pytest.raises(KeyboardInterrupt):
            handle.wait()
        assert handle.is_over
        (left,) = sites.list().wait()
        assert left.resumable
        result = sites.deploy(house.folder, **ASKED).wait()
    assert result.deployment_id == left.deployment_id
    assert set(house.paid().values()) == {1}
    check_whole(house, result)


# ── P7: stopped for long ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.processes
def test_p7_a_process_that_was_stopped_is_fenced_off_before_its_next_effect(
    house: House, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "HANDOVER_S", 0.0)
    # A process that is stopped inside a commit would hold the journal until it goes on.
    sleeper = script("""
import sqlite3
from contextlib import closing
from pathlib import Path
def between_commits():
    with closing(sqlite3.connect(Path(home) / "state" / "journal.db", isolation_level=None)) as db:
        db.execute("begin immediate")  # waits for a commit that is under way
stopped = []
def listen(progress):
    if progress.stores_confirmed >= 2 and not stopped:
        stopped.append(True)
        between_commits()
        os.kill(os.getpid(), signal.SIGSTOP)
asked["concurrency"] = 1
print(json.dumps(told(lambda: deploy(listen))))
""")
    os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)

    async def take_over() -> ws.DeployResult:
        async with house.session(network=replace(house.net.network, settle_s=0.2, grace_s=0.0)) as sites:
            (left,) = await sites.list()
            with pytest.raises(OwnershipError):
                await sites.resume(left.deployment_id)
            return await sites.resume(left.deployment_id, take_over=True)

    result = anyio.run(take_over)
    before = house.net.ledger()
    sleeper.send_signal(signal.SIGCONT)
    assert said(sleeper) in ("fenced", "interrupted")
    assert house.net.ledger() == before, "it has stored nothing since"
    check_whole(house, result)


# ── P8: forks ─────────────────────────────────────────────────────────────────────────────────────────────────────

_FORK = """
import anyio
from walrus_sdk.journal.store import open_journal
from walrus_sdk.journal.writer import Job
from walrus_sdk.machine.clock import SystemClock
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.ports import Change
from pathlib import Path

which = DeploymentId("deploy_0000000000001_00000001")

async def main():
    async with open_journal(Path(home), SystemClock()) as journal:
        owner = await journal.claim(which, new=True)
        await forked(journal, owner)

def in_child(work):
    pid = os.fork()
    if not pid:
        try:
            work()
        except ws.WalrusError as error:
            print(json.dumps(error.code), flush=True)
        finally:
            os._exit(0)
    return pid
"""


@pytest.mark.processes
def test_p8_a_forked_child_cannot_write_in_the_name_of_its_parent(script: Script) -> None:
    process = script(f"""{_FORK}
async def forked(journal, owner):
    def work():
        job = Job(owner, [Change("note", {{"message": "from the child"}})])
        journal.writer._commit([job])
        if job.error is not None:
            raise job.error
    os.waitpid(in_child(work), 0)
    await journal.append(owner, [Change("note", {{"message": "from the parent"}})])
    assert [event.data["message"] for event in await journal.events(which)] == ["from the parent"]
anyio.run(main)
""")
    assert said(process) == "state_unsafe"


@pytest.mark.processes
def test_p8_a_lock_does_not_outlive_its_owner_in_a_forked_child(house: House, script: Script) -> None:
    process = script(f"""{_FORK}
async def forked(journal, owner):
    print(in_child(signal.pause), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
anyio.run(main)
""")
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.wait(30)

    async def is_live() -> bool:
        async with house.session() as sites:
            return sites._wiring.is_live(ws.DeploymentId("deploy_0000000000001_00000001"))

    try:
        assert not anyio.run(is_live)
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.processes
def test_p8_a_forked_child_has_a_host_thread_of_its_own(script: Script) -> None:
    process = script("""
sites = ws.connect(**options)
before = sites.list().wait()
if not os.fork():
    with ws.connect(**options) as own:
        print(json.dumps(len(own.list().wait())), flush=True)
    os._exit(0)
os.wait()
assert sites.list().wait() == before == []
sites.close()
""")
    assert said(process) == 0


# ── P6: memory ────────────────────────────────────────────────────────────────────────────────────────────────────

MIB = 1 << 20


def large(count: int) -> dict[str, bytes]:
    """Return files of a mebibyte each, no two alike."""
    return {f"data-{number:03}.bin": bytes([number % 251, number // 251]) * (MIB // 2) for number in range(count)}


@pytest.mark.slow
@pytest.mark.processes
def test_p6_memory_grows_with_what_is_under_way_and_not_with_the_site(house: House, script: Script) -> None:
    peaks = []
    for count in (8, 80):
        house.write(large(count))
        process = script("""
code = told(deploy)
with open("/proc/self/status") as file:  # getrusage has the parent's peak too, from before exec
    (peak,) = [int(line.split()[1]) for line in file if line.startswith("VmHWM")]
print(json.dumps([code, peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
""")
        code, *kibibytes = said(process)
        assert code == "done"
        peaks.append(sum(kibibytes) / 1024)
    few, many = peaks
    print(f"peak memory: {few:.0f} MiB for 8 MiB, {many:.0f} MiB for 80 MiB")
    assert many - few < 24, "72 MiB more in the folder"


_SHORT_OF_MEMORY = """
def limited(extra, verb):
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (now + extra * 2**20, most))
    try:
        return told(verb)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

async def in_a_task():
    async with ws.open(**options) as sites:
        await sites.deploy(folder, **asked)

def on_a_loop():
    anyio.run(in_a_task)

import anyio
anyio.run(anyio.sleep, 0)  # what a caller's own loop needs is there

def in_child(extra, verb):
    codes, (reading, writing) = [], os.pipe()
    if not os.fork():
        signal.alarm(15)  # a verb or an end of the process that waits for ever
        options["home"] += f"-{extra}-{verb.__name__}"
        os.write(writing, json.dumps([limited(extra, verb), told(verb)]).encode())
        sys.exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        codes = json.loads(file.read() or "[]")
    return [*codes, os.wait()[1]]

ws.run, ws.WalrusError
"""


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="the limit counts from /proc")
@pytest.mark.parametrize("verb", ["deploy", "on_a_loop"])
def test_p6_too_little_memory_is_an_error_at_once_and_the_same_call_goes_on_with_more(
    script: Script, verb: str
) -> None:
    amounts = [0, 1, 4, 16, 64, 120]
    process = script(f"""{_SHORT_OF_MEMORY}
print(json.dumps([in_child(extra, {verb}) for extra in {amounts}]))
""")
    assert said(process) == [["machine_exhausted", "done", 0]] * len(amounts)


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="the limit counts from /proc")
@pytest.mark.parametrize("verb", ["deploy", "on_a_loop"])
def test_p6_with_a_little_more_memory_it_ends_well_or_with_an_error(house: House, script: Script, verb: str) -> None:
    house.write(large(4))
    process = script(f"""{_SHORT_OF_MEMORY}
print(json.dumps([in_child(extra, {verb}) for extra in range(128, 320, 24)]))
""")
    for short, last, status in said(process):
        assert short in ("machine_exhausted", "done")
        assert (last, status) == ("done", 0)


@pytest.mark.processes
def test_p9_a_host_thread_that_nobody_could_end_is_ended(script: Script) -> None:
    process = script("""
start = threading.Thread.start
def short(thread):
    if "end" in thread.name:
        raise RuntimeError("can't start new thread")
    start(thread)
threading.Thread.start = short
signal.alarm(10)
print(json.dumps(told(lambda: ws.connect(**options))), flush=True)
""")
    assert said(process) == "machine_exhausted"


# ── P9: not enough of something ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.processes
def test_p9_too_few_descriptors_are_an_error_and_the_same_call_goes_on_with_more(house: House, script: Script) -> None:
    process = script("""
codes, (_, most) = [], resource.getrlimit(resource.RLIMIT_NOFILE)
for limit in (8, 14, 18, 22, 26, 30):
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
    codes.append(told(deploy))
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
print(json.dumps([*codes, told(deploy)]))
""")
    *short, last = said(process)
    assert [code for code in short if code.startswith("not of the tree")] == []
    assert short[0] != "done"
    assert last == "done"
    assert set(house.paid().values()) == {1}


@pytest.mark.processes
def test_p9_a_host_thread_that_cannot_run_is_an_error(script: Script) -> None:
    process = script("""
signal.alarm(5)
resource.setrlimit(resource.RLIMIT_NOFILE, (5, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
print(json.dumps(told(lambda: ws.connect(**options))), flush=True)
os._exit(0)
""")
    assert not said(process).startswith("not of the tree")


@pytest.mark.processes
@pytest.mark.parametrize("what", ["threads", "processes"])
def test_p9_too_few_threads_or_processes_are_an_error_and_the_same_call_goes_on_with_more(
    house: House, script: Script, what: str
) -> None:
    process = script(f"""
left, start, popen = [], threading.Thread.start, subprocess.Popen.__init__
def short_thread(thread):
    if not left and not thread.name.startswith("walrus_sdk"):
        raise RuntimeError("can't start new thread")
    left[:] = left[1:]
    start(thread)
def short_popen(*arguments, **options):
    raise BlockingIOError(11, "Resource temporarily unavailable")
if {what == "threads"}:
    threading.Thread.start = short_thread
else:  # only the pure tier of blob ids needs processes
    from walrus_sdk.codecs import tiers
    tiers.compiled = lambda: None
    subprocess.Popen.__init__ = short_popen
codes = []
for count in range(3):
    left[:] = [True] * count
    codes.append(told(deploy))
threading.Thread.start, subprocess.Popen.__init__ = start, popen
print(json.dumps([*codes, told(deploy)]))
""")
    *short, last = said(process)
    assert [code for code in short if code.startswith("not of the tree")] == []
    assert short[0] != "done"
    assert last == "done"
    assert set(house.paid().values()) == {1}


# ── P10: callers' own functions ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.anyio
@pytest.mark.parametrize("phase", list(Phase))
async def test_p10_a_progress_view_that_fails_does_not_end_a_deployment(house: House, phase: Phase) -> None:
    def listen(progress: Progress) -> None:
        if progress.phase is phase:
            raise ValueError("a broken view")

    async with house.session() as sites:
        result = await sites.deploy(house.folder, progress=listen, **ASKED)
    check_whole(house, result)


@pytest.mark.processes
def test_p10_a_progress_view_that_asks_for_the_end_of_the_program_does_not_get_it(script: Script) -> None:
    process = script("""
signal.alarm(10)
print(json.dumps(told(lambda: deploy(lambda progress: sys.exit(3) if progress.stores_confirmed else None))), flush=True)
os._exit(0)
""")
    assert said(process) == "done"


@pytest.mark.anyio
async def test_p10_a_signer_that_fails_is_an_error_and_the_same_call_goes_on(house: House) -> None:
    async def fail(_: ws.SigningRequest) -> bytes:
        raise OSError("the device is gone")

    async with house.session(signer=CallbackSigner(house.net.key.address, fail)) as sites:
        with pytest.raises(WalrusError) as caught:
            await sites.deploy(house.folder, **ASKED)
    assert caught.value.code == "signature_refused"
    async with house.session() as sites:
        check_whole(house, await sites.deploy(house.folder, **ASKED))
    assert set(house.paid().values()) == {1}


@pytest.mark.anyio
async def test_p10_a_token_provider_that_fails_is_an_error_and_the_same_call_goes_on(house: House) -> None:
    async def fail() -> str:
        raise OSError("the vault is sealed")

    async with house.session(publisher_token=fail) as sites:
        with pytest.raises(WalrusError):
            await sites.deploy(house.folder, **ASKED)
    assert house.paid() == {}
    async with house.session() as sites:
        check_whole(house, await sites.deploy(house.folder, **ASKED))


# ── P11: the end of the interpreter ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.processes
@pytest.mark.parametrize(
    "reached",
    [
        "progress.phase.value == 'plan'",
        "progress.bytes_sent",
        "progress.stores_confirmed == 2",
        "progress.phase.value == 'chain'",
        "progress.phase.value == 'verify'",
    ],
)
def test_p11_an_end_without_any_clean_up_leaves_a_deployment_that_goes_on(
    house: House, script: Script, reached: str, options: dict[str, Any]
) -> None:
    process = script(f"""
def listen(progress):
    if {reached}:
        os._exit(7)
deploy(listen)
""")
    assert process.wait(60) == 7
    left = ws.run.list(**options)
    assert all(item.resumable for item in left)
    result = ws.run.deploy(house.folder, settle_s=0.2, **ASKED, **options)
    assert [item.deployment_id for item in ws.run.list(**options)] == [result.deployment_id]
    check_whole(house, result)
