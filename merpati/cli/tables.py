"""Tables for the operator: columns that stay columns, whatever strangers put into them, on a terminal or in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from merpati.cli.common import harmless, out, print_line

GAP = "  "
NARROWEST = 20
"""Cells that every column may have, however narrow the terminal is."""


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str | int]], *, to: Console = out) -> None:
    """Rows under their columns, numbers to the right.  Cut at the edge of a terminal, whole where the output goes
    elsewhere."""
    cells = [[str(cell) if isinstance(cell, int) else harmless(cell) for cell in row] for row in rows]
    numbers = [bool(rows) and isinstance(rows[0][at], int) for at in range(len(columns))]
    most = max(NARROWEST, to.width // 3) if to.is_terminal else None
    widths = [_width(column, (row[at] for row in cells), most) for at, column in enumerate(columns)]
    print_line(Text(_line(columns, widths, numbers), "bold"), to=to)
    for row in cells:  # not by `print_line`, which takes twenty times as long
        line = _line(row, widths, numbers)
        to.file.write((_cut(line, to.width) if to.is_terminal and cell_len(line) > to.width else line) + "\n")
    to.file.flush()


def _width(column: str, cells: Iterator[str], most: int | None) -> int:
    width = max(map(cell_len, cells), default=0)
    return max(cell_len(column), width if most is None else min(width, most))


def _line(cells: Sequence[str], widths: Sequence[int], numbers: Sequence[bool]) -> str:
    last = len(cells) - 1
    line = ""
    for at, cell in enumerate(cells):
        room = widths[at] - cell_len(cell)
        if numbers[at]:
            cell = " " * room + cell
        elif at < last:
            cell = cell + " " * room if room >= 0 else _cut(cell, widths[at])
        line += cell + GAP * (at < last)
    return line.rstrip(" ")


def _cut(text: str, width: int) -> str:
    return set_cell_size(text, width - 1) + "…"
