"""A table that is text already, and its two files: CSV for a spreadsheet, LaTeX for a paper."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LATEX_SPECIAL = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "—": "---",
        "±": r"$\pm$",
        "−": r"$-$",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)


@dataclass(frozen=True)
class Sheet:
    """One table: a name for its files, a title, headings and rows of equal length.

    Parameters
    ----------
    name : str
        Of its files, without suffix.
    title : str
    headings : tuple of str
    rows : tuple of tuple of str
    last_is_mean : bool
        The last row sums up the others.
    words : int
        So many columns from the left hold words, the others numbers.
    bold : frozenset of int
        Rows that stand out, counted from 0.
    footnote : str
        Explains marks in the table; a comment in LaTeX, and not in the CSV.
    """

    name: str
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    last_is_mean: bool = False
    words: int = 1
    bold: frozenset[int] = frozenset()
    footnote: str = ""

    def write(self, folder: Path) -> None:
        """Write ``name.csv`` and ``name.tex``."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{self.name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([self.headings, *self.rows])
        (folder / f"{self.name}.tex").write_text(self.latex(), encoding="utf-8")

    def latex(self) -> str:
        """Return a ``tabular`` for the booktabs package."""
        columns = "l" * self.words + "r" * (len(self.headings) - self.words)
        body = [_latex_row(row, i in self.bold) for i, row in enumerate(self.rows)]
        if self.last_is_mean:
            body.insert(-1, r"\midrule")
        lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(self.headings), r"\midrule"]
        comment = [f"% {self.footnote}"] if self.footnote else []
        return "\n".join([*lines, *body, r"\bottomrule", r"\end{tabular}", *comment, ""])


def _latex_row(cells: Sequence[str], bold: bool = False) -> str:
    texts = [cell.translate(LATEX_SPECIAL) for cell in cells]
    return " & ".join(rf"\textbf{{{text}}}" if bold else text for text in texts) + r" \\"
