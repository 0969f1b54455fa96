# SPDX-License-Identifier: ISC
"""Writes build/bench/README.md: bounds first, then ratios and every figure. pages.py writes what docs/ shows of it."""

from figures import (
    BEYOND,
    MET,
    MISSED,
    OPEN,
    Summaries,
    Summary,
    Verdict,
    is_comparable,
    is_known,
    limited_by,
    reference,
    rough_ratio,
)
from results import Results, Stored
from rows import PARTS, Demo, Local, Memory, Row, Stream, thousands

INTRODUCTION = """# Side by side

This page is written by `tests/bench/run`, which installs what it needs, builds everything and compares, in one run:

```sh
tests/bench/run              # everything, less than 40 minutes
tests/bench/run echo timers  # some parts: {parts}
tests/bench/run --quick      # everything once, less than five minutes: for a first look, not for keeping
```

Compared are Noria on io_uring (`noria-uring`) and on epoll (`noria-epoll`); three **limits** written by hand for the
kernel's interfaces: `epoll` (readiness and plain calls), `uring` (multishot receive from provided buffers) and `hybrid`
(multishot accept and poll in the ring, plain receive and send); and the **peers** `libuv`, `libevent` (plain events),
`bufferevent` (libevent's buffered ones) and `libev`, each in the best configuration we know. What a row means and who
takes part is data, in `tests/bench/report/rows.py`, and what is to be reached in `bounds.py` beside it.

- **What is compared is processor time of the server for one operation**, exact to the nanosecond, all its threads, user
  and kernel. Rates say as much of the client as of the server; "limited by" says which of the two had no time left.
  Where only the client was full, the server got fewer messages a turn than it could have taken, and its cost for one
  is at most the measured one. Such a ratio is marked "at most" or "at least", and judged only where that suffices.
- **Latencies are of a closed loop:** a connection sends its next message when the last one is answered. With N messages
  in flight the mean latency is N divided by the rate, so with the server full p99 follows the rate: the cheaper server
  has the shorter queue. p99 is therefore compared where the program with the greater one had no time left, where both
  had the same rate (within 3 %), or where only one message was in flight. It is the median of all rounds, and a bound
  has a tolerance of one step of the client's histogram, which has 64 steps in each power of two: 0.8 to 1.6 %.
- **Rows of echoes, proxies, pipes, files and nops are there twice**: as the machine is, and with system calls that cost
  1 µs more, as they do on other machines and in containers. A seccomp filter adds that to the measured programs
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


def spread_text(summary: Summary, metric: str) -> str:
    if metric not in summary.metrics:
        return ""
    middle, least, most = summary.metrics[metric]
    return f"{number(middle)} ({number(least)}–{number(most)})" if summary.n > 1 else number(middle)


def middle_text(summary: Summary, metric: str) -> str:
    return number(summary.middle(metric))


def table(head: list[str], lines: list[list[str]]) -> str:
    """Columns that are empty all the way are left out. Empty without lines."""
    kept = [i for i in range(len(head)) if any(line[i] for line in lines)]
    if not kept:
        return ""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row[i] for i in kept) + " |" for row in rows) + "\n"


# ---- ratios ----


def sided_text(summaries: Summaries, who: str, name: str, metric: str) -> str:
    """The ratio of the two. Where only the client was full with one of them it is a bound, with both it means
    nothing."""
    found = rough_ratio(summaries, who, name, metric)
    if not found:
        return ""
    full = [one for one in (who, name) if not is_comparable(summaries[one])]
    if len(full) > 1 or (full and metric != "cpu"):
        return "client full"
    side = ("at most " if full == [who] else "at least ") if full else ""
    return f"{side}{found:.3f}"


def against(row: Row, summaries: Summaries, who: str, other: str) -> str:
    """The ratio, and to whom when that is the best of a kind."""
    name = reference(summaries, other, row.metric)
    found = sided_text(summaries, who, name, row.metric)
    return f"{found} ({name})" if found[-1:].isdigit() and name != other else found


def latency_text(row: Row, summaries: Summaries, who: str) -> str:
    """p99 over that of the best peer, where these may be compared."""
    peer = reference(summaries, "peer", "p99")
    found = rough_ratio(summaries, who, peer, "p99")
    if not found or not isinstance(row.load, Stream):
        return ""
    known = is_known(row, summaries[who], summaries[peer], found <= 1)
    return f"{found:.3f} ({peer})" if known else "not comparable"


def count_text(found: list[Verdict]) -> str:
    known = [one for one in found if one.state in (MET, MISSED)]
    return f"{sum(one.state == MET for one in known)} of {len(known)}" if known else ""


def ratio_line(stored: Stored) -> list[str]:
    row, summaries = stored.row, stored.summaries
    return [
        row.title,
        against(row, summaries, "noria-uring", "limit"),
        against(row, summaries, "noria-uring", "peer"),
        against(row, summaries, "noria-epoll", "epoll"),
        against(row, summaries, "noria-epoll", "peer"),
        latency_text(row, summaries, "noria-uring"),
        count_text(stored.verdicts()),
    ]


RATIO_HEAD = [
    "load",
    "noria-uring / best limit",
    "noria-uring / best peer",
    "noria-epoll / raw epoll",
    "noria-epoll / best peer",
    "noria-uring's p99 / best peer's",
    "bounds met",
]

# ---- figures ----


def limited_text(summary: Summary) -> str:
    return limited_by(summary) if is_comparable(summary) else "**client**"


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
    metrics = ("rate", "p99", "errors", "idle", "touched")
    cells = [spread_text(summary, "cpu"), *(middle_text(summary, metric) for metric in metrics)]
    return [title, name, *cells, samples_text(summary)]


DEMO_HEAD = ["load", "who", "CPU ns/op", "op/s", "p99 µs", "errors", "allocated B/connection", "after data", "samples"]

LINES = {
    Demo: (DEMO_HEAD, demo_line),
    Stream: (STREAM_HEAD, stream_line),
    Local: (LOCAL_HEAD, local_line),
    Memory: (MEMORY_HEAD, memory_line),
}


def figures_table(rows: list[Stored]) -> str:
    if not rows:
        return ""
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
    "idle": "What the library allocates for an idle connection",
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
    if not results.parts:
        return ""
    about = max(results.parts.values(), key=lambda one: one.get("run", one["date"]))
    return table(["machine", ""], [[name, value] for name, value in about.items() if name not in PART_ONLY])


def bounds_lists(results: Results) -> str:
    """How many bounds are met, and the others: what Noria misses, what nobody reaches, what can not be told."""
    found = [(stored.row.key, one) for part in PARTS for stored in results.of(part) for one in stored.verdicts()]
    if not found:
        return ""
    of = {state: [(key, one) for key, one in found if one.state == state] for state in (MET, MISSED, BEYOND, OPEN)}
    missed = [[key, one.bound, one.measured, one.why] for key, one in of[MISSED]]
    beyond = [[key, one.bound, one.measured, one.why] for key, one in of[BEYOND]]
    unknown = [[key, one.bound, one.measured, one.why] for key, one in of[OPEN]]
    told = f"{len(of[MET])} of {len(of[MET]) + len(missed)} bounds are met. "
    told += f"{len(beyond)} more are out of reach, {len(unknown)} can not be judged.\n"
    lists = (
        ("Missed by Noria:", ["load", "to reach", "measured", "by hand"], missed),
        ("Not below what the best program by hand reaches:", ["load", "to reach", "measured", "by hand"], beyond),
        ("Not judged:", ["load", "to reach", "measured", "why"], unknown),
    )
    return "\n".join([told, *(f"{title}\n\n{table(head, lines)}" for title, head, lines in lists if lines)])


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
    commands = ["Commands, of Noria on io_uring:\n", commands_text(in_tables)] if in_tables else []
    sections = [
        f"## {PART_TITLES[part]}\n",
        about_text(results.parts[part], rows) + "\n",
        table(RATIO_HEAD, [ratio_line(stored) for stored in in_tables]),
        "\n".join([*pictures, curves_of(rows, plots)]).strip() + "\n",
        figures_table(in_tables),
        *commands,
    ]
    return "\n".join(section for section in sections if section.strip())


def page(results: Results, plots: list[str]) -> str:
    parts = [part for part in PARTS if results.of(part)]
    introduction = INTRODUCTION.replace("{parts}", ", ".join(PARTS))
    told = [part_text(results, part, plots) for part in parts]
    return "\n".join([introduction, machine_text(results), f"## Bounds\n\n{bounds_lists(results)}", *told])
