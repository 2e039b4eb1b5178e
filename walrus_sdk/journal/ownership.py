"""Who may write a deployment's state: an operating-system lock tells live owners from dead ones, a number fences."""

from __future__ import annotations

import fcntl
import json
import os
import time
import weakref
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from walrus_sdk.errors import OwnershipError, StateError
from walrus_sdk.model.units import DeploymentId

__all__ = ["Holder", "Locks"]

_PROBES = 5
_PROBE_S = 0.002
"""How often, and for how many seconds, a lock that looks taken is waited for: looking takes it for a moment too."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: process, machine, and since when (milliseconds since 1970 UTC)."""

    pid: int
    host: str
    since_ms: int


_ALL: weakref.WeakSet[Locks] = weakref.WeakSet()
"""The locks of this process. Weak: it only serves children that are forked."""


class Locks:
    """The locks of one home, one file a deployment; the kernel lets go of them when a process dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[DeploymentId, int] = {}
        _ALL.add(self)

    def take(self, deployment: DeploymentId, holder: Holder, *, take_over: bool = False) -> None:
        """Take a lock and write down whose it is. Raises `OwnershipError` ``deployment_owned``.

        `take_over` puts a new lock in the place of one that a live process holds; that one is fenced off by the number
        of its incarnation.
        """
        path = self._folder / f"{deployment}.lock"
        descriptor = self._lock(path, deployment, take_over=take_over)
        os.ftruncate(descriptor, 0)
        data = json.dumps({"pid": holder.pid, "host": holder.host, "since_ms": holder.since_ms})
        os.pwrite(descriptor, data.encode(), 0)
        self.give_back(deployment)  # one's own that was taken over
        self._held[deployment] = descriptor

    def _lock(self, path: Path, deployment: DeploymentId, *, take_over: bool) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            try:
                descriptor = os.open(path, flags, 0o600)
            except OSError as error:
                raise StateError("state_unwritable", f"{path}: {error.strerror}", path=str(path)) from error
            try:
                _flock(descriptor)
            except BlockingIOError as error:
                text = os.pread(descriptor, 4096, 0)
                os.close(descriptor)
                if not take_over:
                    raise _owned(deployment, text) from error
                path.unlink(missing_ok=True)
                continue
            if _is_at(descriptor, path):
                return descriptor
            os.close(descriptor)  # it was taken over between opening and locking

    def give_back(self, deployment: DeploymentId) -> None:
        """Let a lock go; its file stays, so that nobody locks a removed one."""
        descriptor = self._held.pop(deployment, None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Let all locks go."""
        for deployment in list(self._held):
            self.give_back(deployment)

    def is_held(self, deployment: DeploymentId) -> bool:
        """Return whether a live process owns a deployment."""
        if deployment in self._held:
            return True
        try:
            descriptor = os.open(self._folder / f"{deployment}.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


def _flock(descriptor: int) -> None:
    """Take a lock that nobody owns, although somebody may just be looking whether it is taken."""
    for _ in range(_PROBES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PROBE_S)
        else:
            return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _forget_in_child() -> None:
    """Close what a forked child inherited: a lock would outlive its owner in it (P8)."""
    for locks in _ALL:
        locks.close()


os.register_at_fork(after_in_child=_forget_in_child)


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether a path still names the file that is open."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


def _owned(deployment: DeploymentId, text: bytes) -> OwnershipError:
    try:
        found = json.loads(text)
        since = datetime.fromtimestamp(found["since_ms"] / 1000, UTC).isoformat(timespec="seconds")
        who, facts = f"process {found['pid']} on {found['host']} since {since}", found
    except (ValueError, KeyError, TypeError):
        who, facts = "another process", {}
    return OwnershipError(
        "deployment_owned",
        f"{deployment} is being worked on by {who}",
        deployment_id=str(deployment),
        pid=facts.get("pid"),
        host=facts.get("host"),
        since_ms=facts.get("since_ms"),
    )
