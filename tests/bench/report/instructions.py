# SPDX-License-Identifier: ISC
"""Counts instructions with callgrind and system calls with strace, and prints the table of tests/bench/instructions."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from processes import STRACE
from processes import counted as calls_counted

PATHS = ("echo", "stream", "pipe", "timer-fires", "timer-cancelled")
BACKENDS = ("epoll", "uring")
# What begins and ends a run is the same in a short one and in a long one.
ROUNDS = (50, 350)
MOST = 1.02
SLACK = 0.005  # for a figure that is hardly above 0


class Totals(NamedTuple):
    """Of one run: operations, the system calls that stand for the world outside, and what was counted."""

    operations: int
    outside: int
    instructions: int
    calls: int


class Figures(NamedTuple):
    """Of one operation."""

    instructions: float
    calls: float


Key = tuple[str, str]


def between(short: Totals, long: Totals) -> Figures:
    """What one operation costs, by the difference of two runs."""
    operations = long.operations - short.operations
    calls = (long.calls - long.outside) - (short.calls - short.outside)
    return Figures((long.instructions - short.instructions) / operations, calls / operations)


def totals(said: str, profile: str, log: str) -> Totals:
    """From what the program printed, what callgrind wrote and what strace wrote. Only instructions are counted by
    function, so that the program's own part can be left out. strace counts all system calls: callgrind misses some
    kinds, and under it reading the clock is a system call too."""
    operations, outside = map(int, said.split())
    names = re.search(r"^events: (.*)$", profile, re.M)
    values = re.search(r"^totals: (.*)$", profile, re.M)
    if not names or not values:
        raise ValueError("callgrind wrote no totals")
    counted = dict(zip(names[1].split(), map(int, values[1].split())))
    return Totals(operations, outside, counted["Ir"], calls_counted(log))


def output_of(command: list[str], backend: str) -> str:
    done = subprocess.run(command, env=os.environ | {"LOOP_BACKEND": backend}, capture_output=True, text=True,
                          timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} on {backend}: {done.stderr.strip()}")
    return done.stdout


def run(program: str, backend: str, path: str, rounds: int) -> Totals:
    with tempfile.TemporaryDirectory() as directory:
        profile, log = Path(directory) / "profile", Path(directory) / "log"
        said = output_of(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", "--toggle-collect=loop_run_with",
             "--toggle-collect=outside_*", program, path, str(rounds)], backend)
        output_of([*STRACE, str(log), program, path, str(rounds)], backend)
        return totals(said, profile.read_text(), log.read_text())


def has_backend(program: str, backend: str) -> bool:
    try:
        run(program, backend, PATHS[0], 1)
    except RuntimeError as error:
        print(f"not counted on {backend}, which can not be had here: {str(error).splitlines()[-1]}")
        return False
    return True


def text(figures: dict[Key, Figures], made_with: str) -> str:
    """The file of figures."""
    rows = [f"{path} {backend} {one.instructions:.1f} {one.calls:.3f}" for (path, backend), one in figures.items()]
    return "\n".join(["# Path, backend, instructions and system calls of one operation, by tests/bench/instructions.",
                      f"# {made_with}", *rows, ""])


def parsed(content: str) -> tuple[dict[Key, Figures], str]:
    """Figures and what they were made with, from the file."""
    lines = content.splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    figures = {(path, backend): Figures(float(instructions), float(calls))
               for path, backend, instructions, calls in rows}
    return figures, lines[1].removeprefix("# ")


def too_many(now: Figures, before: Figures) -> bool:
    return any(new > old * MOST + SLACK for new, old in zip(now, before))


def table(now: dict[Key, Figures], before: dict[Key, Figures]) -> str:
    lines = [f"{'':24}{'instructions':>14}{'before':>10}{'':>9}{'system calls':>14}{'before':>10}"]
    for key, one in now.items():
        line = f"{key[0] + ', ' + key[1]:24}{one.instructions:14.1f}"
        if key in before:
            old = before[key]
            line += f"{old.instructions:10.1f}{100 * (one.instructions / old.instructions - 1):+8.1f}%"
            line += f"{one.calls:14.3f}{old.calls:10.3f}" + ("  more" if too_many(one, old) else "")
        else:
            line += f"{'':19}{one.calls:14.3f}"
        lines.append(line)
    return "\n".join(lines)


def maker(version: str) -> str:
    """The compiler, whatever name it was called by, and the machine."""
    return f"{re.sub('^(cc|gcc-[0-9]+) ', 'gcc ', version.splitlines()[0])}, {os.uname().machine}"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("compiler")
    parser.add_argument("--against", type=Path)
    parser.add_argument("--record", type=Path)
    asked = parser.parse_args()
    made_with = maker(subprocess.run([asked.compiler, "--version"], capture_output=True, text=True, check=True).stdout)
    before, made_before = parsed(asked.against.read_text()) if asked.against else ({}, made_with)
    now = {(path, backend): between(*(run(asked.program, backend, path, rounds) for rounds in ROUNDS))
           for backend in BACKENDS if has_backend(asked.program, backend) for path in PATHS}
    print(table(now, before))
    if asked.record:
        asked.record.write_text(text(now, made_with))
    if made_before != made_with:
        print(f"The figures before were made with {made_before}; these with {made_with}.")
    more = [key for key in now if key in before and too_many(now[key], before[key])]
    for path, backend in more:
        print(f"more than {MOST - 1:.0%} above: {path}, {backend}")
    return 1 if more else 0


if __name__ == "__main__":
    sys.exit(main())
