# SPDX-License-Identifier: ISC
"""Writes build/bench/*.svg with gnuplot: the ratios of each part, and the cost as the load grows."""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from figures import best, is_comparable, rough_ratio
from results import Results, Stored
from rows import AT_BOTH_PRICES, DEAR, PARTS, WITHOUT_CALLS, Stream, bytes_text, dear_key, thousands

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
    "bufferevent": ("#f7cf7a", 11),
    "libev": ("#235789", 13),
}
LEFT = 0.4  # where the axis of ratios begins, at the earliest
RIGHT = 3.0  # and where it ends
TICS = "0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.5, 2, 2.5, 3"
COMPARED = ("noria-uring", "noria-epoll", "libuv", "libevent", "bufferevent", "libev")


@dataclass
class Curve:
    name: str
    title: str
    x: str
    logarithmic_y: bool = False


ECHO_CURVES = (
    Curve("connections-tcp", "Echo of 64 B over TCP", "connections", True),
    Curve("connections-unix", "Echo of 64 B over Unix sockets", "connections", True),
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


def draw_both_prices(results: Results, curve: Curve, path: Path) -> bool:
    """A curve as the machine is, and with dear system calls beside it, on the same axis."""
    both = [results.curve(curve.name), results.curve(f"{curve.name}-dear")]
    names = [name for name in (*BESIDE, "epoll", "uring") if all(len(curve_points(rows, name)) > 1 for rows in both)]
    if not names:
        return False
    costs = [y / 1000 for rows in both for name in names for _, y in curve_points(rows, name)]
    height, places = 510, ((0.05, 0.48), (0.53, 0.96))
    script = [
        *beginning(path, height),
        "set logscale xy",
        f"set yrange [{0.8 * min(costs):g}:{1.2 * max(costs):g}]",
        "set ytics (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)",
        f"set xlabel {quoted(curve.x)}",
        "set grid xtics ytics linecolor '#dddddd'",
        f"set label 1 {quoted(f'{curve.title}: µs of processor time for a message')} at screen 0.02, screen 0.95 "
        "font 'sans-serif,16'",
        f"set tmargin at screen {1 - 95 / height:g}",
        f"set bmargin at screen {105 / height:g}",
    ]
    for i, (rows, (left, right)) in enumerate(zip(both, places)):
        lines = [f"'-' with linespoints {dot(name, True)} notitle" for name in names]
        data = [points([(x, y / 1000) for x, y in curve_points(rows, name)]).rstrip("\n") for name in names]
        script += [
            f'set title "{price_title(rows, bool(i))}"',
            f"set lmargin at screen {left}",
            f"set rmargin at screen {right}",
            f"set xtics ({tics_of(rows, curve)})",
            "plot " + ", ".join(lines),
            *data,
            "unset label 1",
        ]
    run_gnuplot([*script, "unset xlabel", *legend(height, names)])
    return True


# ---- ratios ----


Dots = list[tuple[float, float]]


def ratio_points(rows: list[Stored], name: str) -> tuple[Dots, Dots]:
    """What it costs over the best limit, by row: where that is sure, and where only the client was full with one of the
    two."""
    sure: Dots = []
    rough: Dots = []
    for i, stored in enumerate(rows):
        summaries, metric = stored.summaries, stored.row.metric
        if value := rough_ratio(summaries, name, "limit", metric):
            among = (summaries[name], summaries[best(summaries, "limit", metric)])
            (sure if all(map(is_comparable, among)) else rough).append((i, value))
    return sure, rough


def below(found: Dots, i: int, n: int, left: float, right: float) -> Dots:
    """The dots of the i-th of n implementations, a little below one another. What is beyond an edge is a dot at it."""
    return [(max(left, min(value, right)), row + 0.6 * (i - (n - 1) / 2) / n) for row, value in found]


def series(rows: list[Stored], names: tuple[str, ...], left: float, right: float) -> tuple[list[str], list[str]]:
    """The lines of `plot` and their data: filled dots, and hollow ones where the client was full."""
    lines, data = [], []
    for i, name in enumerate(names):
        for found, is_sure in zip(ratio_points(rows, name), (True, False)):
            if found:
                lines.append(f"'-' with points {dot(name, is_sure)} notitle")
                data.append(points(below(found, i, len(names), left, right)))
    return lines, data


def dot(name: str, is_sure: bool) -> str:
    """The shape before a filled one is the same, hollow."""
    colour, shape = LOOKS[name]
    return f"linecolor rgb '{colour}' pointtype {shape if is_sure else shape - 1} pointsize 0.8"


def key_of(names: list[str]) -> list[str]:
    """The legend alone: a line for each that draws nothing."""
    return [f"NaN with points {dot(name, True)} title {quoted(SHOWN_AS.get(name, name))} noenhanced" for name in names]


SHOWN_AS = {"noria-uring": "Noria, io_uring", "noria-epoll": "Noria, epoll", "bufferevent": "libevent, buffered",
            "epoll": "by hand, epoll", "uring": "by hand, io_uring", "hybrid": "by hand, both"}


def panel_settings(labels: list[str], left: float, right: float, tics: str) -> list[str]:
    rows = ", ".join(f"{quoted(label)} {i}" for i, label in enumerate(labels))
    return [
        f"set yrange [{len(labels) - 0.4}:-0.6]",
        f"set xrange [{left:g}:{right:g}]",
        "set logscale x",
        f"set xtics ({tics})",
        f"set ytics ({rows}) noenhanced",
        "set grid xtics ytics linecolor '#dddddd'",
        "set arrow 1 from 1, graph 0 to 1, graph 1 nohead linecolor '#222222' linewidth 1.5 back",
    ]


def draw_part(results: Results, part: str, path: Path) -> bool:
    """The ratios of a part. Parts of one row, and those that have no such ratio, need no picture."""
    rows = [stored for stored in results.of(part) if not stored.row.point_only and isinstance(stored.row.load, Stream)]
    lines, data = series(rows, COMPARED, LEFT, RIGHT)
    if len(rows) < 3 or not lines:
        return False
    settings = [
        f"set title {quoted(f'{part}: processor time for an operation')}",
        "set xlabel 'over the best limit by hand (beyond an edge: at it; hollow: the client was full)'",
        *panel_settings([stored.row.title for stored in rows], LEFT, RIGHT, TICS),
        "set key maxcols 3",
    ]
    names = [name for name in COMPARED if any(name in stored.summaries for stored in rows)]
    draw(path, settings, [*lines, *key_of(names)], data, height=110 + 38 * len(rows), width=1000)
    return True


# ---- the picture of README.md ----

BESIDE = ("noria-uring", "noria-epoll", "libuv", "libevent", "libev")
ROW_PIXELS = 46
OVERVIEW_WIDTH = 1040


@dataclass
class Panel:
    """A part of the picture: its place in fractions of the width, and of pixels from the top."""

    title: str
    rows: list[Stored]
    labels: list[str]
    left: float
    right: float
    top: int
    edges: tuple[float, float]
    tics: str

    def script(self, height: int) -> tuple[list[str], list[str]]:
        bottom = self.top + ROW_PIXELS * len(self.rows)
        lines, data = series(self.rows, BESIDE, *self.edges)
        settings = [
            f'set title "{self.title}" noenhanced',
            f"set lmargin at screen {self.left:g}",
            f"set rmargin at screen {self.right:g}",
            f"set tmargin at screen {1 - self.top / height:g}",
            f"set bmargin at screen {1 - bottom / height:g}",
            *panel_settings(self.labels, *self.edges, self.tics),
            "set label 3 'by hand' at 1, graph 1.03 center font 'sans-serif,11' textcolor '#555555'",
        ]
        return settings, ["plot " + ", \\\n     ".join(lines or ["NaN notitle"]), *[one.rstrip("\n") for one in data]]


def price_title(rows: list[Stored], is_dear: bool) -> str:
    costs = [stored.dear_call_ns if is_dear else stored.call_ns for stored in rows]
    where = "dear system calls: one more microsecond for each" if is_dear else "system calls as the machine has them"
    return f"{where}\\n(one call: {costs[-1]:.0f} ns)" if costs and costs[-1] else where


def overview_panels(results: Results) -> list[Panel]:
    """Both prices of a system call side by side, and below what makes none."""
    both = [(key, label) for key, label in AT_BOTH_PRICES if {key, dear_key(key)} <= results.rows.keys()]
    alone = [(key, label) for key, label in WITHOUT_CALLS if key in results.rows]
    labels = [label for _, label in both]
    cheap, dear = ([results.rows[of(key)] for key, _ in both] for of in (str, dear_key))
    timers = [results.rows[key] for key, _ in alone]
    top, below_them = 95, 95 + ROW_PIXELS * len(both) + 95
    tics, edges = "1, 1.5, 2, 3, 4", (0.7, 5)
    found = [
        Panel(price_title(cheap, False), cheap, labels, 0.31, 0.64, top, edges, tics),
        Panel(price_title(dear, True), dear, [""] * len(both), 0.66, 0.98, top, edges, tics),
        Panel("no system calls: timers", timers, [label for _, label in alone], 0.31, 0.98,
              below_them, (0.7, 100), "1, 2, 5, 10, 20, 50, 100"),
    ]
    return [panel for panel in found if panel.rows]


def draw_overview(results: Results, path: Path) -> bool:
    panels = overview_panels(results)
    if not panels:
        return False
    height = max(panel.top + ROW_PIXELS * len(panel.rows) for panel in panels) + 120
    script = [
        *beginning(path, height),
        f"set label 1 'Processor time of one operation, as a multiple of the best program written by hand (= 1)' "
        f"at screen 0.02, screen {1 - 22 / height:g} font 'sans-serif,16'",
        f"set label 2 'Further left is cheaper. Beyond an edge: at it. Hollow: the load client had no time left, so "
        f"the figure is rough.' at screen 0.02, screen {66 / height:g} textcolor '#555555'",
    ]
    for i, panel in enumerate(panels):
        settings, plot = panel.script(height)
        script += [*settings, *plot, *(["unset label 1", "unset label 2"] if i == 0 else [])]
    run_gnuplot([*script, *legend(height, list(BESIDE))])
    return True


def beginning(path: Path, height: int) -> list[str]:
    """Of a picture of several plots."""
    return [
        f"set terminal svg size {OVERVIEW_WIDTH},{height} font 'sans-serif,13' background '#ffffff' linewidth 1.2",
        f"set output {quoted(str(path))}",
        "set multiplot",
        "set border 3 linecolor '#888888'",
        "set tics nomirror textcolor '#333333'",
    ]


def run_gnuplot(script: list[str]) -> None:
    subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True, timeout=60)


def legend(height: int, names: list[str]) -> list[str]:
    """A plot of nothing at the bottom, for its key alone."""
    return [
        "unset title", "unset xtics", "unset ytics", "unset border", "unset arrow 1", "unset label 3",
        "unset grid",
        "set lmargin at screen 0.02", "set rmargin at screen 0.98",
        f"set tmargin at screen {48 / height:g}", f"set bmargin at screen {6 / height:g}",
        "set key center center horizontal Left reverse maxrows 1 samplen 1 width -2",
        "unset logscale",
        "set xrange [1:2]",
        "set yrange [1:2]",
        "plot " + ", ".join(key_of(names)),
        "unset multiplot",
    ]


def draw_all(results: Results, directory: Path) -> list[str]:
    """The names of the pictures that there are now."""
    drawn = [f"{part}.svg" for part in PARTS if draw_part(results, part, directory / f"{part}.svg")]
    drawn += [f"{curve.name}.svg" for curve in CURVES if draw_curve(results, curve, directory / f"{curve.name}.svg")]
    if draw_overview(results, directory / "overview.svg"):
        drawn.append("overview.svg")
    for curve in ECHO_CURVES[:2]:
        if draw_both_prices(results, curve, directory / f"{curve.name}-both.svg"):
            drawn.append(f"{curve.name}-both.svg")
    return drawn
