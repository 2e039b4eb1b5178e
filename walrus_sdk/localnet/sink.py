"""A server that only counts: it takes every body, throws it away and answers as a publisher that has it already.

For timing clients. The publisher's own sink mode goes through all of the local network (HTTP/1.1 in Python, faults,
gate, ledger) and costs more than the client does; this one is a loop over sockets in a process of its own. It answers
``PUT`` to any route with the receipt of a blob whose id is 32 zero bytes, and ``GET`` with what it has counted.

On Linux the kernel drops a body where it lies (``MSG_TRUNC`` on a TCP socket, tcp(7)): nothing is copied.
"""

from __future__ import annotations

import argparse
import json
import re
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from walrus_sdk.model.units import BlobId

__all__ = ["Counted", "Counting", "main", "running_sink"]

_CHUNK = 1024 * 1024
_DROP = socket.MSG_TRUNC if sys.platform == "linux" else 0
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]{1,15})\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect: *100-continue\r\n", re.IGNORECASE)
_MAX_HEAD = 65_536


def _answer(document: object, status: str = "200 OK") -> bytes:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


_RECEIPT = _answer(
    {
        "alreadyCertified": {
            "blobId": str(BlobId(bytes(32))),
            "event": {"txDigest": "", "eventSeq": "0"},
            "endEpoch": 2**31,
        }
    }
)


@dataclass(slots=True)
class Counted:
    """What came in: connections, whole requests, bytes of their bodies."""

    connections: int = 0
    requests: int = 0
    body_bytes: int = 0


class Counting:
    """One connection: the head of a request, then its body by count. Only bodies with a Content-Length are taken."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted
        self._head = b""
        self._left = 0

    @property
    def left(self) -> int:
        """Bytes of the body that are still to come; 0 between requests."""
        return self._left

    def dropped(self, size: int) -> bytes:
        """Count bytes of the body that nobody kept; returns what is to be answered."""
        self._left -= size
        self._counted.body_bytes += size
        return b"" if self._left else self._whole(_RECEIPT)

    def fed(self, data: bytes) -> bytes:
        """Take bytes at the beginning of a request, with what may follow it; returns what is to be answered.

        Raises `ValueError` for a request that cannot be counted.
        """
        answer = b""
        data = self._head + data
        while data:
            if not self._left:
                end = data.find(b"\r\n\r\n")
                if end < 0:
                    break
                head, data = data[: end + 2], data[end + 4 :]
                answer += self._begun(head)
                if not self._left:
                    continue
            now = min(self._left, len(data))
            answer, data = answer + (self.dropped(now) if now else b""), data[now:]
            if self._left:
                break
        self._head = data
        if len(data) > _MAX_HEAD:
            raise ValueError("a head without an end")
        return answer

    def _begun(self, head: bytes) -> bytes:
        if _CHUNKED.search(head):
            raise ValueError("a body without a length")
        if head.startswith(b"GET "):
            counted = self._counted
            shown = {name: getattr(counted, name) for name in Counted.__slots__}
            return _answer(shown)
        length = _LENGTH.search(head)
        self._left = int(length[1]) if length else 0
        if not self._left:
            return self._whole(_RECEIPT)
        return b"HTTP/1.1 100 Continue\r\n\r\n" if _EXPECT.search(head) else b""

    def _whole(self, answer: bytes) -> bytes:
        self._counted.requests += 1
        return answer


def _serve(place: socket.socket) -> None:
    """Serve for ever, one thread, no timeouts."""
    counted, buffer = Counted(), bytearray(_CHUNK)
    with selectors.DefaultSelector() as watching:
        place.setblocking(False)
        watching.register(place, selectors.EVENT_READ, None)
        while True:
            for key, _ in watching.select():
                if key.data is None:
                    _take_in(place, watching, counted)
                elif not _go_on(key.fileobj, key.data, buffer):  # type: ignore[arg-type]  # a socket: ours are
                    watching.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]


def _take_in(place: socket.socket, watching: selectors.BaseSelector, counted: Counted) -> None:
    while True:
        try:
            found, _ = place.accept()
        except BlockingIOError:
            return
        found.setblocking(False)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        counted.connections += 1
        watching.register(found, selectors.EVENT_READ, Counting(counted))


def _go_on(found: socket.socket, counting: Counting, buffer: bytearray) -> bool:
    """Take what is there; returns whether the connection lasts."""
    try:
        if counting.left:
            size = found.recv_into(buffer, min(counting.left, _CHUNK), _DROP)
            answer = counting.dropped(size) if size else b""
        else:
            size = found.recv_into(buffer, 65_536)
            answer = counting.fed(bytes(buffer[:size])) if size else b""
        if answer:
            found.sendall(answer)
    except BlockingIOError:
        return True
    except (OSError, ValueError):
        return False
    return size > 0


@contextmanager
def running_sink() -> Iterator[str]:
    """Run a sink in a process of its own for the length of a block; gives its address without a final slash."""
    process = subprocess.Popen(
        [sys.executable, "-m", "walrus_sdk.localnet.sink"], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stdin):
            if stream is not None:
                stream.close()


def main(args: Sequence[str] | None = None) -> None:
    """Listen on a free port of 127.0.0.1, write the address as the only line of output, and serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m walrus_sdk.localnet.sink", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on (0: a free one)")
    asked = parser.parse_args(args)
    with socket.create_server(("127.0.0.1", asked.port), backlog=1024) as place:
        sys.stdout.write(f"http://127.0.0.1:{place.getsockname()[1]}\n")
        sys.stdout.flush()
        _serve(place)


if __name__ == "__main__":
    main()
