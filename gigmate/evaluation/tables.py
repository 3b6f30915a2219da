"""Figures as files: CSV for programs, Markdown for people."""

import csv
import io
from pathlib import Path

from gigmate.files.atomic import write_bytes

Row = dict[str, str]


def write_csv(path: Path, rows: list[dict[str, str | float]]) -> Path:
    """Write rows under the union of their columns, in the order of appearance; returns the path."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())
    return path


def markdown(rows: list[Row]) -> str:
    """A table; empty without rows."""
    if not rows:
        return ""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(row.get(name, "") for name in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write_report(path: Path, title: str, facts: str, rows: list[Row]) -> Path:
    """Write a Markdown page with one table; returns its path."""
    write_bytes(path, f"# {title}\n\n{facts}\n\n{markdown(rows)}".encode())
    return path


def read_csv(path: Path) -> list[Row]:
    """The rows of a CSV file with a header."""
    with path.open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file)]
