# SPDX-License-Identifier: ISC
"""Finds the best settings of the servers written by hand, for each load of the rows that have such a server.

For each server and load it begins with the settings in rows.py. It varies one of them after the other, keeps the best
value of each, and prints what every value costs. All values of a setting are measured in turns, A B C, A B C, so that
they meet the same machine. The settings that are printed as best are those to write into rows.py.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import machine
import measure
from files import Places
from main import ROOT, matches
from measure import Bench
from processes import Failed
from rows import PARTS, ROWS, Implementation, Row, Stream

Options = tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """One thing that a server can be told, and the values to try: first what the server does by itself."""

    name: str
    values: tuple[Options, ...]


def buffers(n: int, size: int, kind: str) -> Options:
    return ("--buffers", str(n), "--buffer-bytes", str(size), f"--{kind}")


BUFFERS = (
    *(buffers(n, size, "incremental") for n, size in ((16, 1 << 17), (4, 1 << 20), (16, 1 << 20), (64, 1 << 14))),
    *(buffers(n, size, "whole") for n, size in ((64, 4096), (256, 4096), (1024, 4096), (4096, 4096))),
    *(buffers(n, size, "whole") for n, size in ((1024, 16384), (8, 65536), (16, 65536), (64, 65536), (512, 65536))),
)
SETTINGS = {
    "server_uring": (
        Setting("buffers", BUFFERS),
        Setting("receive", tuple(("--receive", how) for how in ("multishot", "single", "poll"))),
        Setting("sends", tuple(("--sends", how) for how in ("reported", "silent"))),
        Setting("flush", tuple(("--flush", str(n)) for n in (65536, 1, 16384, 1 << 18, 1 << 30))),
        Setting("task-run", tuple(("--task-run", how) for how in ("deferred", "cooperative", "plain"))),
        Setting("files", tuple(("--files", how) for how in ("table", "plain"))),
        Setting("batch", tuple(("--batch", str(n)) for n in (1, 4, 16, 64))),
    ),
    "server_epoll": (
        Setting("trigger", (("--level",), ("--edge",))),
        Setting("buffer", tuple(("--buffer", str(n)) for n in (65536, 4096, 16384, 1 << 17, 1 << 18))),
    ),
}
NOISE = 0.99  # a value must cost less than this share of the current one to replace it


def value_in(setting: Setting, options: Options) -> Options:
    """The value among a server's options, or what it does without any."""
    told = f" {' '.join(options)} "
    return next((value for value in setting.values if f" {' '.join(value)} " in told), setting.values[0])


def least_cost(bench: Bench, load: Stream, server: Implementation, values: list[Options]) -> dict[Options, float]:
    """The CPU time of an operation with each of these options, in ns: the least, because other work only adds to it."""
    samples: dict[Options, list[float]] = {options: [] for options in values}
    for _ in range(bench.rounds):
        for options, taken in samples.items():
            try:
                found = measure.drive(bench, measure.quickly(load), replace(server, options=options))
                taken.append(float(found["server_cpu_ns_per_op"]))
            except Failed as failure:
                print(f"  {' '.join(options)}: {failure}", file=sys.stderr)
    return {options: min(taken) for options, taken in samples.items() if taken}


def best_value(bench: Bench, load: Stream, server: Implementation, chosen: dict[str, Options],
               setting: Setting) -> Options:
    """Tries every value of one setting beside the chosen values of the others."""

    def options_with(value: Options) -> Options:
        return tuple(word for part in {**chosen, setting.name: value}.values() for word in part)

    values = dict.fromkeys((chosen[setting.name], *setting.values))
    costs = least_cost(bench, load, server, [options_with(value) for value in values])
    told = {value: costs[options_with(value)] for value in values if options_with(value) in costs}
    for value, cost in told.items():
        print(f"  {' '.join(value)}: {cost:.0f} ns", flush=True)
    best = min(told, key=lambda value: told[value])
    current = told.get(chosen[setting.name])
    return best if current is None or told[best] < NOISE * current else chosen[setting.name]


def sweep(bench: Bench, row: Row, server: Implementation) -> None:
    assert isinstance(row.load, Stream)
    settings = SETTINGS[server.program]
    chosen = {setting.name: value_in(setting, server.options) for setting in settings}
    print(f"{row.key}, {server.name}", flush=True)
    for setting in settings:
        chosen[setting.name] = best_value(bench, row.load, server, chosen, setting)
    best = " ".join(word for value in chosen.values() for word in value)
    print(f"best: {row.key}, {server.name}: {best}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench/sweep", description=__doc__.replace("\n", " "))
    parser.add_argument("parts", nargs="*", metavar="PART", help="only these: echo, udp, churn, proxy, or one kind")
    parser.add_argument("--server", choices=SETTINGS, help="only this one")
    parser.add_argument("--title", metavar="TEXT", help="only rows whose title contains this")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="samples of each value; 3")
    asked = parser.parse_args()
    for part in asked.parts:
        if not any(matches(one, part) for one in PARTS):
            parser.error(f"there is no part '{part}' (there are: {', '.join(PARTS)})")
    return asked


def wanted(asked: argparse.Namespace) -> list[tuple[Row, Implementation]]:
    rows = [row for row in ROWS if isinstance(row.load, Stream) and not row.point_only]
    if asked.parts:
        rows = [row for row in rows if any(matches(row.part, part) for part in asked.parts)]
    found = [(row, one) for row in rows for one in row.implementations if one.program in SETTINGS]
    return [
        (row, one)
        for row, one in found
        if asked.server in (None, one.program) and (asked.title or "") in row.title
    ]


def main() -> int:
    asked = arguments()
    machine.raise_descriptor_limit()
    programs = ROOT / "build" / "tests" / "bench"
    price = machine.price(programs)
    print(f"a system call: {price.text()}")
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as work, Places(ROOT / "build", True) as places:
        bench = Bench(programs, Path(work), True, asked.rounds, (), places, price.instructions)
        for row, server in wanted(asked):
            if price.instructions or not server.dear:
                sweep(bench, row, server)
    return 0


if __name__ == "__main__":
    sys.exit(main())
