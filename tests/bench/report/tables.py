# SPDX-License-Identifier: ISC
"""Writes build/bench/README.md: ratios and targets first, then every figure. Writes the table of docs/figures.md as
well."""

from figures import Summaries, Summary, best, is_comparable, limited_by, ratio, reference, verdicts
from results import Results, Stored
from rows import OVERVIEW, PARTS, Demo, Local, Memory, Row, Stream, thousands

INTRODUCTION = """# Side by side

This page is written by `tests/bench/run`, which installs what it needs, builds everything and compares, in one run:

```sh
tests/bench/run              # everything, less than 45 minutes
tests/bench/run echo timers  # some parts: {parts}
tests/bench/run --quick      # everything once, less than five minutes: for a first look, not for keeping
```

Compared are Noria on io_uring (`noria-uring`) and on epoll (`noria-epoll`); three **limits** written by hand for the
kernel's interfaces: `epoll` (readiness and plain calls), `uring` (multishot receive from provided buffers) and `hybrid`
(multishot accept and poll in the ring, plain receive and send); and the **peers** `libuv`, `libevent` (plain events),
`bufferevent` (libevent's buffered ones) and `libev`, each in the best configuration we know. What a row means, who
takes part and what is to be reached is data, in `tests/bench/report/`.

- **What is compared is processor time of the server for one operation**, exact to the nanosecond, all its threads, user
  and kernel. Rates say as much of the client as of the server; "limited by" says which of the two had no time left.
  Where only the client was full, the server got fewer messages a turn than it could have taken: that is marked, and
  not compared or judged.
- **Rows of echoes, copies, pipes and files are there twice**: as the machine is, and with system calls that cost 1 µs
  more, as they do on other machines and in containers. A seccomp filter adds that to the measured programs
  (`tests/bench/dear`), not to the client. What a system call costs by itself is in the table below.
- **Only ratios within a run hold.** Samples are taken A B C, A B C; shown are medians, and the least and the most. Two
  runs differ by about 2 % on TCP, 5 % where messages are large or connections few.
- The server has one processor, the client another. A virtual machine's host may move these apart for a while; a probe
  before each sample (`bounce`, a cache line sent to and fro) tells, and samples taken then, at more than three times
  the best probe of the run, are dropped when two others remain.
- The client checks every byte that comes back; the programs that measure themselves check what they moved.
- System calls are counted in a pass of their own by `perf stat -e raw_syscalls:sys_enter`, or by `strace -c -f` where
  perf may not: a short and a longer run, and the difference of the two, so that start and end don't count.

Raw figures are in [results.json](results.json).
"""


# ---- cells ----


def number(value: float | None) -> str:
    """Three digits or so; thousands apart."""
    if value is None:
        return ""
    if abs(value) < 10:
        return f"{value:.2f}"
    if abs(value) < 100:
        return f"{value:.1f}"
    return thousands(value)


def ratio_text(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def spread_text(summary: Summary, metric: str) -> str:
    if metric not in summary.metrics:
        return ""
    middle, least, most = summary.metrics[metric]
    return f"{number(middle)} ({number(least)}–{number(most)})" if summary.n > 1 else number(middle)


def middle_text(summary: Summary, metric: str) -> str:
    return number(summary.middle(metric))


def table(head: list[str], lines: list[list[str]]) -> str:
    """Columns that are empty all the way are left out."""
    kept = [i for i in range(len(head)) if any(line[i] for line in lines)]
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row[i] for i in kept) + " |" for row in rows) + "\n"


# ---- ratios ----


def against(row: Row, summaries: Summaries, who: str, other: str) -> str:
    """The ratio, and to whom when that is the best of a kind. Marked where only the client was full."""
    found, name = ratio(summaries, who, other, row.metric), reference(summaries, other, row.metric)
    if found:
        return f"{found:.3f}" + (f" ({name})" if name != other else "")
    full = [one for one in (who, name) if one in summaries and not is_comparable(summaries[one])]
    return f"client full ({', '.join(full)})" if full else ""


def ratio_line(stored: Stored) -> list[str]:
    row, summaries = stored.row, stored.summaries
    targets = verdicts(row, summaries, stored.call_ns)
    return [
        row.title,
        against(row, summaries, "noria-uring", "limit"),
        against(row, summaries, "noria-uring", "peer"),
        against(row, summaries, "noria-epoll", "epoll"),
        against(row, summaries, "noria-epoll", "peer"),
        f"{sum(one['met'] for one in targets)} of {len(targets)}" if targets else "",
    ]


RATIO_HEAD = [
    "load",
    "noria-uring / best limit",
    "noria-uring / best peer",
    "noria-epoll / raw epoll",
    "noria-epoll / best peer",
    "bounds met",
]

# ---- figures ----


def limited_text(summary: Summary) -> str:
    return limited_by(summary) if is_comparable(summary) else "**client**: not compared"


def samples_text(summary: Summary) -> str:
    return f"{summary.n}" + (f" ({summary.dropped} dropped)" if summary.dropped else "")


def stream_line(title: str, name: str, summary: Summary) -> list[str]:
    cells = [spread_text(summary, "cpu"), middle_text(summary, "rate"), number(summary.calls)]
    times = [middle_text(summary, metric) for metric in ("p50", "p99", "p999")]
    shares = [f"{summary.middle(who) or 0:.2f}" for who in ("server", "client")]
    return [title, name, *cells, *times, *shares, limited_text(summary), samples_text(summary)]


STREAM_HEAD = [
    "load",
    "who",
    "CPU ns/op",
    "op/s",
    "system calls/op",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "server's CPU",
    "client's CPU",
    "limited by",
    "samples",
]

LOCAL_METRICS = ("wall", "cpu", "rate", "operations")


def extras_text(summary: Summary) -> str:
    """Whatever else a program tells of itself."""
    extras = [name for name in summary.metrics if name not in LOCAL_METRICS]
    return ", ".join(f"{name.replace('_', ' ')} {middle_text(summary, name)}" for name in extras)


def local_line(title: str, name: str, summary: Summary) -> list[str]:
    cells = [spread_text(summary, "cpu"), spread_text(summary, "wall"), middle_text(summary, "rate")]
    return [title, name, *cells, number(summary.calls), extras_text(summary), samples_text(summary)]


LOCAL_HEAD = ["workload", "who", "CPU ns/op", "wall ns/op", "op/s", "system calls/op", "more", "samples"]


def memory_line(title: str, name: str, summary: Summary) -> list[str]:
    metrics = ("idle", "touched", "idle_resident", "touched_resident", "wake_ups")
    return [title, name, *(spread_text(summary, metric) for metric in metrics)]


MEMORY_HEAD = ["load", "who", "private B/connection", "after data", "resident B/connection", "after data", "wake-ups/s"]


def demo_line(title: str, name: str, summary: Summary) -> list[str]:
    cells = [spread_text(summary, "cpu"), *(middle_text(summary, metric) for metric in ("rate", "p99", "errors"))]
    return [title, name, *cells, samples_text(summary)]


DEMO_HEAD = ["load", "who", "CPU ns/op", "op/s", "p99 µs", "errors", "samples"]

LINES = {
    Demo: (DEMO_HEAD, demo_line),
    Stream: (STREAM_HEAD, stream_line),
    Local: (LOCAL_HEAD, local_line),
    Memory: (MEMORY_HEAD, memory_line),
}


def figures_table(rows: list[Stored]) -> str:
    head, line = LINES[type(rows[0].row.load)]
    lines = [
        line(stored.row.title if i == 0 else "", name, summary)
        for stored in rows
        for i, (name, summary) in enumerate(stored.summaries.items())
    ]
    return table(head, lines)


# ---- the page ----

PART_TITLES = {
    "echo-tcp": "Echo over TCP",
    "echo-unix": "Echo over Unix sockets",
    "udp": "Echo over UDP",
    "churn": "Connections that come and go",
    "proxy": "Proxy",
    "pipes": "Pipes",
    "wake": "Waking a loop",
    "loop": "What one job and one turn cost",
    "timers": "Timers",
    "files": "Files in the page cache",
    "memory": "Memory of idle connections",
    "start": "Starting and stopping",
    "httpd": "A file server",
    "tls-proxy": "A proxy that ends or begins TLS",
    "fetch": "Downloads",
    "names": "Look-ups of names",
}


PART_ONLY = ("how", "date", "Noria", "disk", "memory", "run")  # describes each part, not the machine


def about_text(about: dict[str, str], rows: list[Stored]) -> str:
    """How, when and of what a part was measured, and which rows are of another run."""
    told = {name: value for name, value in about.items() if name in PART_ONLY and name != "run"}
    text = "; ".join(value if name in ("how", "date") else f"{name} {value}" for name, value in told.items())
    others = [stored.row.title for stored in rows if stored.run != about.get("run", "")]
    return f"{text}." + (f" Of an earlier run: {'; '.join(others)}." if others else "")


def machine_text(results: Results) -> str:
    """The machine and the versions, as they were for the part that was measured last."""
    about = max(results.parts.values(), key=lambda one: one.get("run", one["date"]))
    return table(["machine", ""], [[name, value] for name, value in about.items() if name not in PART_ONLY])


def bounds_text(results: Results) -> str:
    """How many of all bounds are met, and the others."""
    stored = [one for part in PARTS for one in results.of(part)]
    found = [(one.row.key, bound) for one in stored for bound in verdicts(one.row, one.summaries, one.call_ns)]
    missed = [[key, str(bound["bound"]), str(bound["measured"])] for key, bound in found if not bound["met"]]
    told = f"## Bounds\n\n{len(found) - len(missed)} of {len(found)} bounds are met"
    if n_open := sum(len(one.row.targets) for one in stored) - len(found):
        told += f", {n_open} more are not judged, because a figure is missing or only the client was full"
    return f"{told}; not these:\n\n{table(['load', 'to reach', 'measured'], missed)}" if missed else f"{told}.\n"


def commands_text(rows: list[Stored]) -> str:
    lines = dict.fromkeys(command for stored in rows for command in stored.commands)
    return "```sh\n" + "\n".join(lines) + "\n```\n"


def curves_of(rows: list[Stored], plots: list[str]) -> str:
    names = dict.fromkeys(f"{stored.row.curve}.svg" for stored in rows if stored.row.curve)
    return "\n".join(f"![{name.removesuffix('.svg')}]({name})" for name in names if name in plots)


def part_text(results: Results, part: str, plots: list[str]) -> str:
    rows = results.of(part)
    in_tables = [stored for stored in rows if not stored.row.point_only]
    pictures = [f"![ratios]({part}.svg)"] if f"{part}.svg" in plots else []
    sections = [
        f"## {PART_TITLES[part]}\n",
        about_text(results.parts[part], rows) + "\n",
        table(RATIO_HEAD, [ratio_line(stored) for stored in in_tables]),
        "\n".join([*pictures, curves_of(rows, plots)]).strip() + "\n",
        figures_table(in_tables),
        "Commands, of Noria on io_uring:\n",
        commands_text(in_tables),
    ]
    return "\n".join(section for section in sections if section.strip())


def page(results: Results, plots: list[str]) -> str:
    parts = [part for part in PARTS if results.of(part)]
    introduction = INTRODUCTION.replace("{parts}", ", ".join(PARTS))
    told = [part_text(results, part, plots) for part in parts]
    return "\n".join([introduction, machine_text(results), bounds_text(results), *told])


# ---- the table of docs/figures.md ----


def overview_line(stored: Stored, label: str) -> list[str]:
    row, summaries = stored.row, stored.summaries
    cells = [
        ratio_text(ratio(summaries, "noria-uring", "limit", row.metric)),
        ratio_text(ratio(summaries, "noria-epoll", "epoll", row.metric)),
        *(ratio_text(ratio(summaries, "noria-uring", peer, row.metric)) for peer in ("libuv", "libevent", "libev")),
    ]
    return [label, *cells]


OVERVIEW_HEAD = [
    "Noria's cost over that of",
    "io_uring / best by hand",
    "epoll / epoll by hand",
    "io_uring / libuv",
    "io_uring / libevent",
    "io_uring / libev",
]


def overview(results: Results) -> str:
    lines = [overview_line(results.rows[key], label) for key, label in OVERVIEW if key in results.rows]
    return f"{call_text(results)}{table(OVERVIEW_HEAD, lines)}"


def call_text(results: Results) -> str:
    """The machine, and what a system call cost on it, when rows were measured most recently."""
    told = [about for about in results.parts.values() if "system call" in about]
    if not told:
        return ""
    last = max(told, key=lambda one: one["date"])
    return f"On {last['processors']}, {last['kernel']}. A system call: {last['system call']}.\n\n"

