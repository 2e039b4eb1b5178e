"""Values as notebooks and forges show them: HTML in which everything is escaped, and the same as plain text.

Structure only, no scripts, no addresses of other machines: it reads well in JupyterLab, on GitHub and without styles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

__all__ = ["Facts", "Shown", "escape", "facts_html", "facts_text", "rows_html"]

Facts = Sequence[tuple[str, str]]


def facts_html(caption: str, facts: Facts) -> str:
    """Return labelled facts as a table, a row each."""
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(label)}</th>'
        f'<td style="text-align:left">{escape(text)}</td></tr>'
        for label, text in facts
    )
    return f"<table><caption>{escape(caption)}</caption><tbody>{rows}</tbody></table>"


def rows_html(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, more: str = "") -> str:
    """Return rows as a table under a head; `more` says what is left out."""
    top = "".join(f'<th scope="col" style="text-align:left">{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    rest = f"<p>{escape(more)}</p>" if more else ""
    table = f"<table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return table + rest


def facts_text(caption: str, facts: Facts) -> str:
    """Return labelled facts as lines."""
    width = max((len(label) for label, _ in facts), default=0)
    return "\n".join([caption, *(f"  {label:<{width}}  {text}" for label, text in facts)])


class Shown:
    """Shows a value by its facts: in a notebook as a table, in IPython as lines. `repr` stays what it is.

    The text form has no addresses of memory and no order of chance: a saved notebook changes with the facts only.
    """

    __slots__ = ()

    def facts(self) -> tuple[str, Facts]:
        """Return a caption and labelled facts, for people."""
        raise AssertionError("each kind says what it shows")

    def _repr_html_(self) -> str:
        caption, facts = self.facts()
        return facts_html(caption, facts)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        # Both forms here: IPython takes a dataclass's own `repr` before it looks for a pretty one.
        return {"text/plain": facts_text(*self.facts()), "text/html": self._repr_html_()}
