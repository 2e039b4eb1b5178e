"""Whether a folder lies on a file system on which locks may not hold: SQLite and ownership both lean on them."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["file_system", "lock_warning"]

_NETWORK = frozenset(
    "9p afp afs beegfs ceph cifs coda davfs fuse.ceph fuse.ceph-fuse fuse.davfs2 fuse.gcsfuse fuse.glusterfs"
    " fuse.goofys fuse.rclone fuse.s3fs fuse.sshfs glusterfs gpfs lustre ncpfs nfs nfs4 orangefs prl_fs smb3 smbfs"
    " vboxsf virtiofs vmhgfs fuse.vmhgfs-fuse".split()
)
_ESCAPED = re.compile(r"\\([0-7]{3})")


def file_system(path: Path, mountinfo: str) -> str | None:
    """Return the type of the file system that holds an absolute path, from the text of ``/proc/self/mountinfo``."""
    found, depth = None, 0
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split()
        if not dash or len(fields) < 5 or not after.split():
            continue
        place = Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        if path.is_relative_to(place) and len(place.parts) >= depth:  # the later one lies on top
            found, depth = after.split()[0], len(place.parts)
    return found


def lock_warning(home: Path, mountinfo: str | None = None) -> str | None:
    """Return a warning when a home lies on a network file system; `None` when not, or when it cannot be known."""
    try:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8") if mountinfo is None else mountinfo
        found = file_system(home.resolve(), text)
    except (OSError, ValueError):
        return None
    if found not in _NETWORK:
        return None
    return (
        f"{home} is on a network file system ({found}): locks may not hold there, and two processes could work on one"
        " deployment; set WALRUS_DEPLOYMENT_HOME to a local folder"
    )
