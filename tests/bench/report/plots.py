# SPDX-License-Identifier: ISC
"""Writes build/bench/*.svg with gnuplot: the ratios of each part, and the cost as the load grows."""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from figures import is_comparable, ratio
from results import Results, Stored
from rows import DEAR, OVERVIEW, PARTS, Stream, bytes_text, thousands

# Implementation: colour, and shape of its points. The same in every picture.
LOOKS = {
    "noria-uring": ("#0b6e4f", 7),
    "noria-epoll": ("#6bbf59", 5),
    "epoll": ("#444444", 4),
    "uring": ("#888888", 6),
    "hybrid": ("#bbbbbb", 8),
    "wheel": ("#444444", 4),
    "libuv": ("#c1292e", 9),
    "libevent": ("#f1a208", 11),
    "bufferevent": ("#f7cf7a", 10),
    "libev": ("#235789", 13),
}
LEFT = 0.4  # where the axis of ratios begins, at the earliest
FINE = "0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.5, 1.7, 2"
COARSE = "0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20"
COMPARED = ("noria-uring", "noria-epoll", "libuv", "libevent", "bufferevent", "libev")


@dataclass
class Curve:
    name: str
    title: str
    x: str
    logarithmic_y: bool = False


ECHO_CURVES = (
    Curve("connections-tcp", "Echo of 64 B over TCP", "connections"),
    Curve("connections-unix", "Echo of 64 B over Unix sockets", "connections"),
    Curve("size", "Echo over 10 Unix sockets", "bytes of a message", True),
    Curve("depth", "Echo of 64 B over 10 Unix sockets", "messages in flight on each", True),
)
CURVES = (
    *ECHO_CURVES,
    *(replace(curve, name=f"{curve.name}-dear", title=f"{curve.title}, {DEAR}") for curve in ECHO_CURVES),
    Curve("nop", "An operation that does nothing", "operations in flight"),
    Curve("timers-start", "Starting a timer", "timers"),
    Curve("timers-cancel", "Cancelling a timer", "timers"),
    Curve("timers-fire", "Firing timers, all within a second", "timers", True),
)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def points(values: list[tuple[float, float]]) -> str:
    return "\n".join(f"{x:g} {y:g}" for x, y in values) + "\ne\n"


def draw(path: Path, settings: list[str], lines: list[str], data: list[str], height: int = 400,
         width: int = 800) -> None:
    """One picture: settings, the lines of `plot`, and the data of each."""
    script = [
        f"set terminal svg size {width},{height} font 'sans-serif,13' background '#ffffff' linewidth 1.2",
        f"set output {quoted(str(path))}",
        "set border 3 linecolor '#888888'",
        "set tics nomirror textcolor '#333333'",
        "set grid ytics linecolor '#dddddd'",
        "set key below horizontal Left reverse samplen 2",
        "set bmargin 7",
        "set rmargin 6",
        *settings,
        "plot " + ", \\\n     ".join(lines),
        "",
    ]
    subprocess.run(["gnuplot"], input="\n".join(script) + "".join(data), text=True, check=True, timeout=60)


def look(name: str) -> str:
    colour, shape = LOOKS.get(name, ("#999999", 1))
    return f"linecolor rgb '{colour}' pointtype {shape} pointsize 0.7 title {quoted(name)} noenhanced"


# ---- curves ----


def curve_points(rows: list[Stored], name: str) -> list[tuple[float, float]]:
    known = [(stored.row.x, stored.summaries[name]) for stored in rows if name in stored.summaries]
    found = [(x, summary.middle("cpu")) for x, summary in known if is_comparable(summary)]
    return [(x, y) for x, y in found if y]


def tics_of(rows: list[Stored], curve: Curve) -> str:
    """A label for each point, or for every other one where there are many."""
    label = bytes_text if curve.x.startswith("bytes") else thousands
    shown = rows if len(rows) < 9 else rows[::2]
    return ", ".join(f"{quoted(label(int(stored.row.x)))} {stored.row.x:g}" for stored in shown)


def draw_curve(results: Results, curve: Curve, path: Path) -> bool:
    rows = results.curve(curve.name)
    names = dict.fromkeys(name for stored in rows for name, one in stored.summaries.items() if one.kind != "floor")
    values = {name: found for name in names if len(found := curve_points(rows, name)) > 1}
    if not values:
        return False
    settings = [
        f"set title {quoted(curve.title)}",
        f"set xlabel {quoted(curve.x)}",
        "set ylabel 'CPU ns per operation'",
        "set logscale x",
        "set logscale y" if curve.logarithmic_y else "set yrange [0:*]",
        f"set xtics ({tics_of(rows, curve)})",
    ]
    lines = [f"'-' with linespoints {look(name)}" for name in values]
    draw(path, settings, lines, [points(found) for found in values.values()])
    return True


# ---- ratios ----


def ratio_points(rows: list[Stored], name: str) -> list[tuple[float, float]]:
    """What it costs over the best limit, by row."""
    found = [(i, ratio(stored.summaries, name, "limit", stored.row.metric)) for i, stored in enumerate(rows)]
    return [(i, value) for i, value in found if value]


def draw_ratios(path: Path, title: str, rows: list[Stored], labels: list[str], top: float) -> bool:
    """A line for each row, on it a dot for each implementation, a little below one another. What is beyond an
    edge is a dot at it."""
    values = {name: found for name in COMPARED if (found := ratio_points(rows, name))}
    if not values:
        return False
    tics = ", ".join(f"{quoted(label)} {i}" for i, label in enumerate(labels))
    left = max(LEFT, 0.95 * min(1, *(y for found in values.values() for _, y in found)))
    settings = [
        f"set title {quoted(title)}",
        "set xlabel 'over the best limit by hand (beyond an edge: at it)'",
        f"set yrange [{len(rows) - 0.4}:-0.6]",
        f"set xrange [{left:g}:{1.02 * top:g}]",
        "set logscale x",
        f"set xtics ({FINE if top <= 2 else COARSE})",
        f"set ytics ({tics}) noenhanced",
        "set key maxcols 3",
        "set grid xtics ytics",
        "set arrow from 1, graph 0 to 1, graph 1 nohead linecolor '#666666' linewidth 1.5 back",
    ]
    lines = [f"'-' with points {look(name)}" for name in values]
    data = [points(below(found, i, len(values), top)) for i, found in enumerate(values.values())]
    draw(path, settings, lines, data, height=110 + 38 * len(rows), width=1000)
    return True


def below(found: list[tuple[float, float]], i: int, n: int, top: float) -> list[tuple[float, float]]:
    """The dots of the i-th of n implementations."""
    return [(max(LEFT, min(value, top)), row + 0.6 * (i - (n - 1) / 2) / n) for row, value in found]


def draw_part(results: Results, part: str, path: Path) -> bool:
    """Parts of one row, and those that have no such ratio, need no picture."""
    rows = [stored for stored in results.of(part) if not stored.row.point_only and isinstance(stored.row.load, Stream)]
    labels = [stored.row.title for stored in rows]
    return len(rows) > 2 and draw_ratios(path, f"{part}: processor time for an operation", rows, labels, 2)


def draw_overview(results: Results, path: Path) -> bool:
    chosen = [(results.rows[key], label) for key, label in OVERVIEW if key in results.rows]
    rows, labels = [stored for stored, _ in chosen], [label for _, label in chosen]
    return draw_ratios(path, "Processor time for an operation", rows, labels, 20)


def draw_all(results: Results, directory: Path) -> list[str]:
    """The names of the pictures that there are now."""
    drawn = [f"{part}.svg" for part in PARTS if draw_part(results, part, directory / f"{part}.svg")]
    drawn += [f"{curve.name}.svg" for curve in CURVES if draw_curve(results, curve, directory / f"{curve.name}.svg")]
    if draw_overview(results, directory / "overview.svg"):
        drawn.append("overview.svg")
    return drawn
