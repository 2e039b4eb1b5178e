"""Run the demo on a fresh local network and write its output into README.md (``make readme``)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- demo:begin -->", "<!-- demo:end -->"


def recorded() -> str:
    """Return what `make demo` prints on a machine that has never run it."""
    with tempfile.TemporaryDirectory() as home:
        surroundings = os.environ | {"WALRUS_DEPLOYMENT_HOME": home}
        command = [sys.executable, str(ROOT / "examples" / "demo.py")]
        done = subprocess.run(
            command, cwd=ROOT, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
        )
        stop = [str(Path(sys.executable).with_name("walrus-sdk")), "localnet", "stop"]
        subprocess.run(stop, env=surroundings, stdout=subprocess.DEVNULL, check=True)
        return done.stdout


def main() -> None:
    """Replace what stands between the marks."""
    text = README.read_text(encoding="utf-8")
    block = f"{BEGIN}\nRecorded by `make readme`:\n\n```\n$ make demo\n{recorded()}```\n{END}"
    README.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: block, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
