# SPDX-License-Identifier: ISC
"""Reads and writes build/bench/results.json, the figures of all parts. Measuring a part replaces only its own figures.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from figures import Summaries, Summary, verdicts
from rows import PARTS, ROWS, Row

Json = dict[str, Any]


@dataclass
class Stored:
    """A row as it is kept: its figures, and what was run."""

    row: Row
    commands: list[str]
    summaries: Summaries


class Results:
    def __init__(self, path: Path):
        self.path = path
        self.parts: dict[str, Json] = {}
        self.rows: dict[str, Stored] = {}
        if path.exists():
            self.read(json.loads(path.read_text()))

    def read(self, found: Json) -> None:
        """What is no row any more is left out."""
        known = {row.key: row for row in ROWS}
        self.parts = {part: about for part, about in found["parts"].items() if part in PARTS}
        for key, kept in found["rows"].items():
            if key in known:
                summaries = {name: Summary(**summary) for name, summary in kept["implementations"].items()}
                self.rows[key] = Stored(known[key], kept["commands"], summaries)

    def add(self, row: Row, commands: list[str], summaries: Summaries) -> None:
        self.rows[row.key] = Stored(row, commands, summaries)

    def of(self, part: str) -> list[Stored]:
        """The rows of a part, in their order."""
        return [self.rows[row.key] for row in ROWS if row.part == part and row.key in self.rows]

    def curve(self, name: str) -> list[Stored]:
        found = [self.rows[row.key] for row in ROWS if row.curve == name and row.key in self.rows]
        return sorted(found, key=lambda stored: stored.row.x)

    def write(self) -> None:
        rows = {key: as_json(self.rows[key]) for key in (row.key for row in ROWS) if key in self.rows}
        text = json.dumps({"parts": self.parts, "rows": rows}, ensure_ascii=False, indent=1)
        self.path.write_text(compact(text) + "\n")


def as_json(stored: Stored) -> Json:
    return {
        "commands": stored.commands,
        "targets": verdicts(stored.row, stored.summaries),
        "implementations": {name: asdict(summary) for name, summary in stored.summaries.items()},
    }


def compact(text: str) -> str:
    """JSON with an implementation's figures on one line: what is deeper than five levels is not broken."""
    lines: list[str] = []
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip(" "))
        if depth > 4 or (depth == 4 and line.strip()[0] in "]}"):
            lines[-1] += line.strip() if depth == 4 else line.strip() + (" " if line.endswith(",") else "")
        else:
            lines.append(line)
    return "\n".join(lines)
