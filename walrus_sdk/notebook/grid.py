"""A heat grid of a large site's files on one canvas: a cell a file, a colour a state. The script is inline.

Optional: it needs anywidget, and the table stays beside it as what a keyboard or a screen reader uses.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from walrus_sdk.notebook.state import FileState

__all__ = ["LEAST_FILES", "grid", "states_bytes"]

LEAST_FILES = 1000
"""Files above which a grid is worth more than a table."""

_COLOURS = {
    FileState.FAILED: "#c5221f",
    FileState.LOOKING: "#e8a200",
    FileState.SENDING: "#1a63d8",
    FileState.WAITING: "#c4c7cc",
    FileState.STORED: "#188038",
}
_CODES = {state: number for number, state in enumerate(FileState)}
_SCRIPT = """
function render({ model, el }) {
  const cell = 7, gap = 1, columns = 110;
  const figure = document.createElement("figure");
  figure.style.margin = "6px 0";
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  const legend = document.createElement("figcaption");
  figure.append(canvas, legend);
  el.append(figure);
  const colours = model.get("colours"), words = model.get("words");
  for (let i = 0; i < words.length; i++) {
    const mark = document.createElement("span");
    mark.style.cssText = "display:inline-block;width:9px;height:9px;margin:0 4px 0 10px;background:" + colours[i];
    mark.setAttribute("aria-hidden", "true");
    const text = document.createElement("span");
    legend.append(mark, text);
  }
  let drawn = new Uint8Array(0);
  function draw() {
    const view = model.get("states");
    const states = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    const rows = Math.max(1, Math.ceil(states.length / columns));
    const context = canvas.getContext("2d");
    if (canvas.height !== rows * (cell + gap) || canvas.width !== columns * (cell + gap)) {
      canvas.width = columns * (cell + gap);
      canvas.height = rows * (cell + gap);
      drawn = new Uint8Array(0);
    }
    const counts = new Array(words.length).fill(0);
    for (let i = 0; i < states.length; i++) {
      counts[states[i]]++;
      if (i < drawn.length && drawn[i] === states[i]) continue;
      context.fillStyle = colours[states[i]];
      context.fillRect((i % columns) * (cell + gap), Math.floor(i / columns) * (cell + gap), cell, cell);
    }
    drawn = states.slice();
    const told = words.map((word, i) => counts[i] + " " + word);
    legend.querySelectorAll("span:nth-child(even)").forEach((span, i) => { span.textContent = told[i]; });
    canvas.setAttribute("aria-label", "Files by state: " + told.join(", "));
  }
  model.on("change:states", draw);
  draw();
  return () => model.off("change:states", draw);
}
export default { render };
"""


def states_bytes(states: Sequence[FileState]) -> bytes:
    """Return the states as the canvas takes them: a byte a file."""
    return bytes(map(_CODES.__getitem__, states))


def grid() -> Any | None:
    """Return a grid without files, `None` where anywidget is not installed."""
    if importlib.util.find_spec("anywidget") is None:
        return None
    import anywidget
    import traitlets

    class HeatGrid(anywidget.AnyWidget):
        """The widget: `states` has a byte for each file."""

        _esm = _SCRIPT
        states = traitlets.Bytes(b"").tag(sync=True)
        colours = traitlets.List(list(_COLOURS.values())).tag(sync=True)
        words = traitlets.List([state.value for state in FileState]).tag(sync=True)

    return HeatGrid()
