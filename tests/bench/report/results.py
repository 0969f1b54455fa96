# SPDX-License-Identifier: ISC
"""Reads and writes build/bench/results.json, the figures of all parts. A row replaces the one of an earlier run as soon
as it is measured, so a run that is killed leaves the rows that it had, and those of earlier runs.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import figures
from figures import Summaries, Summary, Verdict
from rows import PARTS, ROWS, Row

Json = dict[str, Any]


@dataclass
class Stored:
    """A row as it is kept: its figures, and what was run. `run` is when that run began, `call_ns` what a system call
    cost then, and `dear_call_ns` what it cost with the addition. `origin` is what was measured, where and how: figures
    that differ in it are not shown together in docs/."""

    row: Row
    commands: list[str]
    summaries: Summaries
    run: str = ""
    call_ns: float = 0
    dear_call_ns: float = 0
    origin: str = ""

    def verdicts(self) -> list[Verdict]:
        return figures.verdicts(self.row, self.summaries, self.call_ns)


class Results:
    def __init__(self, path: Path, empty: bool = False):
        self.path = path
        self.parts: dict[str, Json] = {}
        self.rows: dict[str, Stored] = {}
        if path.exists() and not empty:
            self.read(json.loads(path.read_text()))

    def read(self, found: Json) -> None:
        """What is no row any more is left out."""
        known = {row.key: row for row in ROWS}
        self.parts = {part: about for part, about in found["parts"].items() if part in PARTS}
        for key, kept in found["rows"].items():
            if key in known:
                summaries = {name: Summary(**summary) for name, summary in kept["implementations"].items()}
                of = {name: kept[name] for name in ("run", "call_ns", "dear_call_ns", "origin") if name in kept}
                self.rows[key] = Stored(known[key], kept["commands"], summaries, **of)

    def add(self, stored: Stored, about: Json) -> None:
        """`about` describes the part as of now."""
        self.rows[stored.row.key] = stored
        self.parts[stored.row.part] = about | {"run": stored.run}

    def of(self, part: str) -> list[Stored]:
        """The rows of a part, in their order."""
        return [self.rows[row.key] for row in ROWS if row.part == part and row.key in self.rows]

    def curve(self, name: str) -> list[Stored]:
        found = [self.rows[row.key] for row in ROWS if row.curve == name and row.key in self.rows]
        return sorted(found, key=lambda stored: stored.row.x)

    def write(self) -> None:
        """At once, so that a run which is killed meanwhile leaves the file as it was before."""
        rows = {key: as_json(self.rows[key]) for key in (row.key for row in ROWS) if key in self.rows}
        text = json.dumps({"parts": self.parts, "rows": rows}, ensure_ascii=False, indent=1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = self.path.with_suffix(".new")
        whole.write_text(compact(text) + "\n")
        os.replace(whole, self.path)


def as_json(stored: Stored) -> Json:
    return {
        "run": stored.run,
        "call_ns": stored.call_ns,
        "dear_call_ns": stored.dear_call_ns,
        "origin": stored.origin,
        "commands": stored.commands,
        "targets": figures.as_json(stored.verdicts()),
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
