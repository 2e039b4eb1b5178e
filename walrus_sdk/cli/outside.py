"""What surrounds the command line, as one value: streams, clocks, settings, sessions, a browser. Tests hand in theirs.

What is heavy is imported when it is first used, so that `--help` and completion stay quick.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from walrus_sdk import settings
from walrus_sdk.settings import Settings

if TYPE_CHECKING:
    from walrus_sdk.service.session import Session

__all__ = ["OpenSession", "Outside"]

OpenSession = Callable[..., "AbstractAsyncContextManager[Session]"]


def _open_session(*args: Any, **options: Any) -> AbstractAsyncContextManager[Session]:
    from walrus_sdk.service.session import open_session

    return open_session(*args, **options)


def _browse(url: str) -> bool:
    import webbrowser

    return webbrowser.open(url)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Outside:
    """The surroundings of one command. `open_session` is called as `walrus_sdk.open` is; `browse` shows a URL.

    `wall_ms` is milliseconds since 1970, `monotonic_s` seconds of a clock that only goes forward.
    """

    out: TextIO | None = field(default_factory=lambda: sys.stdout)
    err: TextIO | None = field(default_factory=lambda: sys.stderr)
    stdin: TextIO | None = field(default_factory=lambda: sys.stdin)
    load_settings: Callable[[], Settings] = settings.load
    open_session: OpenSession = _open_session
    browse: Callable[[str], bool] = _browse
    wall_ms: Callable[[], int] = _wall_ms
    monotonic_s: Callable[[], float] = time.monotonic
