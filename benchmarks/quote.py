"""``python -m benchmarks.quote [FILE]``: the saved rows as the Markdown table that README quotes.

Only rows that have a limit are quoted. FILE is benchmarks/results/rows.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["quoted"]


def quoted(saved: Mapping[str, Any]) -> str:
    """Return a sentence on the machine, and the table."""
    machine = saved["machine"]
    head = (
        f"Measured on {machine['date']}: {machine['cpus']} processors ({machine['processor'] or machine['system']}), "
        f"Python {machine['python']}."
    )
    lines = ["| quantity | against | ours | theirs | ratio | limit | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for row in saved["rows"]:
        if row["limit"] is not None:
            sign = "≤" if row["at_most"] else "≥"
            cells = (
                row["quantity"], row["against"], *(f"{row[name]:.3g} {row['unit']}" for name in ("ours", "theirs")),
                f"{row['ratio']:.3g}", f"{sign} {row['limit']:.3g}", row["verdict"],
            )  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([head, "", *lines])


def main(arguments: list[str]) -> None:
    """Print the table."""
    path = Path(arguments[0]) if arguments else Path(__file__).parent / "results" / "rows.json"
    sys.stdout.write(quoted(json.loads(path.read_text(encoding="utf-8"))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
