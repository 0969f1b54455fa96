# SPDX-License-Identifier: ISC
"""Writes what README.md and docs/figures.md show of the results, between marks: <!-- bench: NAME --> and
<!-- bench: end -->. What is around these is written by hand."""

import re
from collections.abc import Callable
from pathlib import Path
from statistics import median

from figures import best, ratio
from results import Results, Stored
from rows import AT_BOTH_PRICES, DEAR, ROWS, WITHOUT_CALLS, Row, Stream, dear_key
from tables import bounds_lists, latency_text, number, sided_text, table


def of_part(*parts: str) -> list[Row]:
    """The rows in tables, once each: as the machine is."""
    return [row for row in ROWS if row.part in parts and not row.point_only and not row.is_dear]


def pair(results: Results, key: str) -> list[Stored | None]:
    """A row as the machine is, and with dear system calls."""
    return [results.rows.get(key), results.rows.get(dear_key(key))]


def over(stored: Stored | None, who: str, other: str) -> str:
    """The ratio to one, or to the best of a kind."""
    if not stored:
        return ""
    metric = stored.row.metric
    name = best(stored.summaries, other, metric) if other in ("limit", "peer") else other
    return sided_text(stored.summaries, who, name, metric)


# ---- what is shown ----


def newest(results: Results) -> Results:
    """Only the rows of the origin that was measured most recently."""
    last = max(results.rows.values(), key=lambda stored: stored.run)
    found = Results(results.path, empty=True)
    found.rows = {key: stored for key, stored in results.rows.items() if stored.origin == last.origin}
    parts = {stored.row.part for stored in found.rows.values()}
    found.parts = {part: about for part, about in results.parts.items() if part in parts}
    return found


def lacking(results: Results) -> list[str]:
    """The rows of a quick run that are missing, and those in which a program has no figures."""
    found = []
    for row in ROWS:
        stored = results.rows.get(row.key)
        if row.quick and not stored:
            found.append(row.key)
        elif row.quick and stored:
            names = [one.name for one in row.implementations if one.name not in stored.summaries]
            found += [f"{row.key} ({', '.join(names)})"] if names else []
    return found


MOST_NAMED = 5


def refusal(results: Results, found: list[str]) -> str:
    origin = next(iter(results.rows.values())).origin or "a run of unknown origin"
    named = [*found[:MOST_NAMED], *(["..."] if len(found) > MOST_NAMED else [])]
    return (f"README.md and docs/ are unchanged, since they show only whole runs. {len(found)} rows are missing or "
            f"incomplete of\n  {origin}:\n" + "\n".join(f"  {one}" for one in named))


# ---- the tables ----


def about(results: Results) -> str:
    """The machine, what a system call cost on it, and how it was measured. All rows are of the same origin, but maybe
    of several runs; the date and the cost are those of the last one."""
    if not results.parts:
        return ""
    last = max(results.parts.values(), key=lambda one: one.get("run", one["date"]))
    where = f"Measured on {last['processors']}, {last['kernel']}, {last['date']}, Noria {last['Noria']}: {last['how']}."
    return filled(f"{where} A system call: {last['system call']}.")


OVERVIEW_HEAD = ["Noria's cost over that of", "io_uring / best by hand", "epoll / epoll by hand", "io_uring / libuv",
                 "io_uring / libevent", "io_uring / libev"]


def overview(results: Results) -> str:
    labels = [(one, f"{label}{more}") for key, label in AT_BOTH_PRICES
              for one, more in ((key, ""), (dear_key(key), f", {DEAR}"))]
    compared = (("noria-uring", "limit"), ("noria-epoll", "epoll"), *(("noria-uring", peer) for peer in
                ("libuv", "libevent", "libev")))
    lines = [[label, *(over(results.rows[key], *two) for two in compared)]
             for key, label in (*labels, *WITHOUT_CALLS) if key in results.rows]
    return table(OVERVIEW_HEAD, lines) if lines else ""


NAMES = {"echo-tcp": "TCP", "echo-unix": "Unix sockets", "udp": "UDP", "churn": "TCP"}
ECHO_HEAD = ["load", "by hand", "by hand, + 1 µs", "peers", "peers, + 1 µs", "epoll by hand", "epoll by hand, + 1 µs",
             "p99, peers", "p99, peers, + 1 µs"]


def echoes(results: Results) -> str:
    """Every echo at both prices: processor time over the best by hand and the best peer, and p99 over the best
    peer's."""
    lines = []
    for row in of_part(*NAMES):
        stored = pair(results, row.key)
        compared = (("noria-uring", "limit"), ("noria-uring", "peer"), ("noria-epoll", "epoll"))
        cells = [over(one, *two) for two in compared for one in stored]
        p99 = [p99_text(one) for one in stored]
        lines.append([f"{NAMES[row.part]}, {row.title}", *cells, *p99])
    lines = [line for line in lines if any(line[1:])]
    return table(ECHO_HEAD, lines) if lines else ""


def p99_text(stored: Stored | None) -> str:
    if not stored or stored.row.part == "churn":
        return ""
    found = latency_text(stored.row, stored.summaries, "noria-uring")
    return found if found == "not comparable" else found.split(" ")[0]


PIPES_HEAD = ["", "io_uring / best by hand", "epoll / epoll by hand", "io_uring / best peer",
              "system calls: io_uring, epoll", "by hand: best, epoll"]


def pipes(results: Results) -> str:
    lines = []
    for row in of_part("pipes"):
        for stored in filter(None, pair(results, row.key)):
            names = ("noria-uring", "noria-epoll", best(stored.summaries, "limit", row.metric), "epoll")
            calls = [number(stored.summaries[name].calls) if name in stored.summaries else "" for name in names]
            ratios = [over(stored, "noria-uring", "limit"), over(stored, "noria-epoll", "epoll"),
                      over(stored, "noria-uring", "peer")]
            pairs = [", ".join(two) if all(two) else "" for two in (calls[:2], calls[2:])]  # nothing counts calls
            lines.append([stored.row.title, *ratios, *pairs])
    return table(PIPES_HEAD, lines) if lines else ""


# ---- README.md ----


def price(results: Results) -> str:
    """What a call costs, and what that makes of small messages."""
    loads = [stored for row in of_part("echo-tcp", "echo-unix")
             if isinstance(row.load, Stream) and row.load.size == 64 and row.load.connections > 1
             and (stored := results.rows.get(dear_key(row.key)))]
    values = [value for stored in loads
              if (value := ratio(stored.summaries, "noria-uring", "peer", stored.row.metric))]
    if not values:
        return ""
    last, omitted = loads[-1], len(loads) - len(values)
    text = (f"A system call costs {last.call_ns:.0f} ns on the machine of the plot, and {last.dear_call_ns:.0f} ns in "
            f"its right half. There an echo of 64 bytes on ten and more connections costs {min(values):.2f} to "
            f"{max(values):.2f} of what it costs with the best other library; the median of {len(values)} loads is "
            f"{median(values):.2f}.")
    if omitted:
        text += f" Left out, because only the client was full: {omitted}."
    return filled(text)


def filled(text: str, columns: int = 120) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines, word] if len(longer) > columns else [*lines[:-1], longer]
    return "\n".join(lines) + "\n"


# ---- the marks ----

SECTIONS: dict[str, dict[str, Callable[[Results], str]]] = {
    "README.md": {"price": price},
    "docs/figures.md": {"about": about, "overview": overview, "bounds": bounds_lists, "echoes": echoes, "pipes": pipes},
}


def with_sections(text: str, sections: dict[str, Callable[[Results], str]], results: Results) -> str:
    """The text with each section written anew. One of which there are no results stays as it is."""
    for name, write_section in sections.items():
        found = re.search(rf"(<!-- bench: {name} -->\n)(.*?)(<!-- bench: end -->)", text, re.DOTALL)
        if not found:
            raise ValueError(f"there is no mark for '{name}'")
        if written := write_section(results):
            text = text[: found.start(2)] + written + text[found.end(2) :]
    return text


def write(results: Results, root: Path) -> None:
    for name, sections in SECTIONS.items():
        path = root / name
        path.write_text(with_sections(path.read_text(), sections, results))
