# SPDX-License-Identifier: ISC
"""The rows of the tables, as data: what the benchmark measures.

A row has a load, the implementations that run it, the targets of Noria (bounds.py has them), and its share of the
time. This file contains everything else that defines a row; measure.py measures it.
"""

from dataclasses import dataclass, replace

import bounds
from bounds import CALL_NS, Target
from settings import Case, settings_of

# ---- who is measured ----


@dataclass(frozen=True)
class Implementation:
    """A program and the arguments that select its role.

    kind: "limit" is written by hand for the kernel's interfaces and is what Noria is held against; "floor" is work
    without any loop, told for orientation only; "peer" is another library; "noria" is this one. With `dear` each of its
    system calls costs CALL_NS more.
    """

    name: str
    kind: str
    program: str
    options: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    dear: bool = False


URING = (("LOOP_BACKEND", "uring"),)
EPOLL = (("LOOP_BACKEND", "epoll"),)

SERVERS = (
    Implementation("noria-uring", "noria", "server_noria", environment=URING),
    Implementation("noria-epoll", "noria", "server_noria", environment=EPOLL),
    Implementation("epoll", "limit", "server_epoll"),
    Implementation("uring", "limit", "server_uring"),
    Implementation("hybrid", "limit", "server_hybrid"),
    Implementation("libuv", "peer", "server_libuv"),
    Implementation("libevent", "peer", "server_libevent"),
    Implementation("bufferevent", "peer", "server_libevent", ("--bufferevent",)),
    Implementation("libev", "peer", "server_libev"),
)
BUSY_POLL = Implementation("noria-uring, busy poll", "noria", "server_noria", ("--busy-poll",), URING)
PLAIN_SERVERS = tuple(server for server in SERVERS if server.name != "bufferevent")  # which never is the best peer


def way(how: str) -> tuple[str, ...]:
    """The arguments that select one of several ways of a local_* program; by default its first one."""
    return ("--how", how) if how else ()


def noria(how: str = "") -> tuple[Implementation, ...]:
    """Noria on both backends. The first way it has stands for it; another one is shown beside it."""
    suffix = f", {how}" if how else ""
    return (
        Implementation(f"noria-uring{suffix}", "noria", "local_noria", way(how), URING),
        Implementation(f"noria-epoll{suffix}", "noria", "local_noria", way(how), EPOLL),
    )


NORIA = noria()
LIBUV = Implementation("libuv", "peer", "local_libuv")
LIBEVENT = Implementation("libevent", "peer", "local_libevent")
LIBEV = Implementation("libev", "peer", "local_libev")
PEERS = (LIBUV, LIBEVENT, LIBEV)


def limit(name: str, how: str = "") -> Implementation:
    """One of the ways by hand of local_raw."""
    return Implementation(name, "limit", "local_raw", way(how))


def floor(name: str, how: str = "") -> Implementation:
    """The same for one that has no loop at all, or does less than a loop must."""
    return Implementation(name, "floor", "local_raw", way(how))


# ---- what they are given ----


@dataclass(frozen=True)
class Stream:
    """A server pinned to one processor, the load client to another."""

    listen: str
    connections: int
    size: int = 64
    pipeline: int = 1
    mode: str = "echo"
    churn: bool = False
    seconds: float = 0.4
    warmup: float = 0.15


@dataclass(frozen=True)
class Local:
    """A program that measures itself. `count` is what it is asked for, 0 what it does by itself. `files` names the file
    system that --file (and --to) are on, disk or memory."""

    workload: str
    options: tuple[str, ...] = ()
    seconds: float = 0.3
    count: int = 0
    files: str = ""
    file_bytes: int = 0
    pinned: bool = True


@dataclass(frozen=True)
class Memory:
    """A server that holds idle connections: its private memory for one of them."""

    listen: str
    connections: int
    seconds: float = 1.5


@dataclass(frozen=True)
class Demo:
    """A command of tests/bench/ that measures whole programs beside others, and its row. What it calls an
    implementation is the `program` of that. `seconds` are those of a round of all; `needs` are programs of others,
    without which their figures are missing."""

    command: str
    row: str
    options: tuple[str, ...]
    seconds: float
    needs: tuple[str, ...]

    def arguments(self) -> list[str]:
        return ["--round", self.row, *self.options]


Load = Stream | Local | Memory | Demo


# ---- rows ----


@dataclass(frozen=True)
class Row:
    """One row. `curve` and `x` make it a point of a plot; with `point_only` it is in no table. `rounds` 0 is what the
    command line says. Only rows with `quick` are in a quick run. `calls`: system calls are counted too."""

    part: str
    title: str
    load: Load
    implementations: tuple[Implementation, ...]
    targets: tuple[Target, ...] = ()
    metric: str = "cpu"
    rounds: int = 0
    curve: str = ""
    x: float = 0
    point_only: bool = False
    quick: bool = True
    calls: bool = False
    unit: str = "ns"

    @property
    def key(self) -> str:
        return f"{self.part}: {self.title}"

    @property
    def is_dear(self) -> bool:
        return any(one.dear for one in self.implementations)


DEAR = "calls + 1 µs"  # what they are called


def dear_key(key: str) -> str:
    """The title or the key of the row with dear system calls."""
    return f"{key}, {DEAR}"


def dear(row: Row) -> Row:
    """The row with dear system calls, by whoever is measured. The load client makes cheap ones."""
    among = tuple(replace(one, dear=True) for one in row.implementations)
    curve = f"{row.curve}-dear" if row.curve else ""
    return replace(row, title=dear_key(row.title), implementations=among, curve=curve)


def at_best(row: Row) -> Row:
    """The handwritten servers with the settings that are best for the load."""
    load = row.load
    if not isinstance(load, Stream):
        return row
    case = Case(load.listen, load.connections, load.size, load.pipeline, load.mode, row.is_dear)
    found = ((one, settings_of(one.program, case)) for one in row.implementations)
    return replace(row, implementations=tuple(replace(one, options=options or one.options) for one, options in found))


def both(*rows: Row) -> tuple[Row, ...]:
    """Each row as it is, and with dear system calls."""
    return tuple(at_best(one) for row in rows for one in (row, dear(row)))


FULL_RUN = 40 * 60.0  # seconds; the sum of all rows must stay below, and what is left may be spent on spoiled samples
QUICK_RUN = 5 * 60.0
ROUNDS = 5
QUICK_ROUNDS = 1
QUICK_SECONDS = 0.15
QUICK_WARMUP = 0.08
QUICK_SHARE = 0.5  # of the operations of programs that measure themselves
CURVE_ROUNDS = 3  # of rows that no bound judges as well
SLOW_ROUNDS = 3  # of a load that needs a second to warm up
START_SECONDS = 0.06  # to start a server, to probe the placement, to stop
CONNECT_SECONDS = 0.00005  # for each connection
CALLS_SECONDS = (0.1, 0.3)  # the two runs between which system calls are counted

# ---- echo ----

TCP = "tcp:127.0.0.1:0"
UNIX = "unix:{work}/socket"
UDP = "udp:127.0.0.1:0"

ECHO_LOADS = (  # connections, bytes, in flight
    (1, 64, 1),
    (10, 64, 1),
    (100, 64, 1),
    (1000, 64, 1),
    (10000, 64, 1),
    (100, 64, 16),
    (100, 4096, 1),
    (10, 65536, 1),
)
CURVE_SIZES = (64, 1024, 16384, 65536, 1048576)
CURVE_DEPTHS = (1, 16, 256)


def bytes_text(size: int) -> str:
    """64 B, 4 KiB, 1 MiB."""
    for unit, one in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= one:
            return f"{size // one} {unit}"
    return f"{size} B"


def thousands(value: float) -> str:
    """1 000 000."""
    return f"{value:,.0f}".replace(",", " ")


def echo_row(transport: str, connections: int, size: int, pipeline: int) -> Row:
    """Ten thousand connections need time until each has had some messages, and a percentile of a few messages for each
    says little. With a hundred of them, or large messages, system calls are counted, and in one row bufferevents are
    measured as well."""
    title = f"{connections} × {bytes_text(size)}" + (f", {pipeline} in flight" if pipeline > 1 else "")
    plain = size == 64 and pipeline == 1
    slow = connections >= 10000
    listen = TCP if transport == "tcp" else UNIX
    load = Stream(listen, connections, size, pipeline, seconds=2.0 if slow else 0.4, warmup=1.0 if slow else 0.15)
    alone = connections == 1
    servers = SERVERS if plain and connections == 100 else PLAIN_SERVERS
    return Row(
        f"echo-{transport}",
        title,
        load,
        (*servers, BUSY_POLL) if alone else servers,
        bounds.echo(connections, size) + (bounds.BUSY_POLL if alone else ()),
        rounds=SLOW_ROUNDS if slow else 0,
        curve=f"connections-{transport}" if plain else "",
        x=connections,
        calls=connections == 100 or size > 4096,
    )


def curve_row(curve: str, size: int, pipeline: int, connections: int, x: int) -> Row:
    title = f"{connections} × {bytes_text(size)}, {pipeline} in flight ({curve})"
    load = Stream(UNIX, connections, size, pipeline, seconds=0.25, warmup=0.1)
    return Row(
        "echo-unix",
        title,
        load,
        PLAIN_SERVERS,
        rounds=CURVE_ROUNDS,
        curve=curve,
        x=x,
        point_only=True,
        quick=False,
    )


ECHO = (
    *both(
        *(echo_row("tcp", *load) for load in ECHO_LOADS),
        *(echo_row("unix", *load) for load in ECHO_LOADS),
    ),
    *(at_best(curve_row("size", size, 1, 10, size)) for size in CURVE_SIZES),
    *(at_best(curve_row("depth", 64, depth, 10, depth)) for depth in CURVE_DEPTHS),
)

# ---- other things that servers do ----

SERVING = both(
    Row(
        "udp",
        "100 × 64 B",
        Stream(UDP, 100, mode="udp"),
        PLAIN_SERVERS,
        bounds.echo(100, 64),
        calls=True,
    ),
    Row(
        "churn",
        "connect, echo, close; 32 at a time",
        Stream(TCP, 32, churn=True),
        PLAIN_SERVERS,
        bounds.CHURN,
        calls=True,
    ),
    *(
        Row(
            "proxy",
            f"10 streams × {bytes_text(size)}",
            Stream(TCP, 10, size, mode="proxy"),
            PLAIN_SERVERS,
            rounds=CURVE_ROUNDS,
            calls=True,
        )
        for size in (64, 65536)
    ),
)

# ---- inside one process ----

PIPES = both(
    Row(
        "pipes",
        "ping-pong, 1 B, two turns",
        Local("pingpong", count=150000),
        (
            *NORIA,
            *noria("read"),
            limit("hybrid", "hybrid"),
            limit("epoll", "epoll"),
            limit("multishot", "multishot"),
            limit("uring", "uring"),
            floor("no loop", "none"),
            *PEERS,
        ),
        bounds.PING_PONG,
        calls=True,
    ),
    Row(
        "pipes",
        "throughput, 64 KiB",
        Local("pipe", count=20000),
        (
            *NORIA,
            *noria("stream"),
            limit("epoll", "epoll"),
            limit("hybrid", "hybrid"),
            limit("uring", "uring"),
            floor("no loop", "none"),
            *PEERS,
        ),
        bounds.THROUGHPUT,
        calls=True,
    ),
)

WAKE = (
    Row(
        "wake",
        "own thread",
        Local("wake-self", count=400000),
        (
            *NORIA,
            limit("uring", "uring"),
            limit("epoll", "epoll"),
            limit("msg_ring", "msg_ring"),
            floor("a flag", "flag"),
            *PEERS,
            Implementation("libevent, a turn", "peer", "local_libevent", way("turn")),
        ),
        bounds.OWN_POSTS,
        calls=True,
    ),
    # The thread and the loop have a processor each. The same program tells how long it takes to wake the loop.
    Row(
        "wake",
        "another thread, a flood",
        Local("wake-thread", count=1000, seconds=0.4, pinned=False),
        (*NORIA, limit("epoll", "epoll"), limit("uring", "uring"), *PEERS),
        bounds.FLOOD,
        metric="flood_ns_per_op",
    ),
)

NOP_DEPTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def nop_row(depth: int) -> Row:
    in_table = depth in bounds.NOP
    return Row(
        "loop",
        f"nop, depth {depth}",
        Local("nop", ("--depth", str(depth)), count=500000 if depth == 1 else 1000000),
        (*NORIA, limit("uring")),
        bounds.NOP.get(depth, ()),
        rounds=0 if in_table else CURVE_ROUNDS,
        curve="nop",
        x=depth,
        point_only=not in_table,
        quick=in_table,
        calls=in_table,
    )


def dear_nop_row(depth: int) -> Row:
    """A point of no curve. With one in flight each has a dear call."""
    row = dear(nop_row(depth))
    return replace(row, curve="", load=replace(row.load, seconds=0.65 if depth == 1 else 0.3))


LOOP = (
    *(nop_row(depth) for depth in NOP_DEPTHS),
    *(dear_nop_row(depth) for depth in bounds.NOP),
    Row(
        "loop",
        "a turn of an empty loop",
        Local("turn", count=1000000),
        (*NORIA, *noria("promise"), limit("epoll"), *PEERS),
        calls=True,
    ),
)

TIMER_COUNTS = (1000, 10000, 100000, 1000000)
FIRE_COUNTS = (1000, 100000, 1000000)


def timer_row(what: str, count: int, how: str) -> Row:
    """Starting or cancelling. `how`: "first" with a new loop and new memory, "again" where timers have been before."""
    in_table = count == 1000000
    seconds = 0.3 if in_table else 0.1
    return Row(
        "timers",
        f"{what}, {thousands(count)} timers{', memory never used before' if how == 'first' else ''}",
        Local(f"timers-{what}", way(how), seconds, count),
        (*NORIA, limit("wheel"), *PEERS),
        bounds.TIMERS[what] if in_table else (),
        rounds=0 if in_table else CURVE_ROUNDS,
        curve=f"timers-{what}" if how == "again" else "",
        x=count,
        point_only=not in_table,
        quick=in_table,
    )


# The other loops fire timers by the millisecond, so that those of a millisecond share a wake-up. Noria does with this.
LEEWAY = "noria-uring, 1 ms leeway"


def fire_row(count: int, how: str) -> Row:
    """All fire within a second, at whole milliseconds or at any nanosecond."""
    in_table = count == 100000
    by_nanoseconds = how == "nanoseconds"
    targets = bounds.fire_with_leeway(LEEWAY) if by_nanoseconds else bounds.FIRE
    leeway = Implementation(LEEWAY, "noria", "local_noria", way(f"{how}-leeway"), URING)
    precise = Implementation("libevent, precise", "peer", "local_libevent", way(f"{how}-precise"))
    return Row(
        "timers",
        f"fire, {thousands(count)} timers within 1 s, {how}",
        Local("timers-fire", way(how), 1.4, count),
        (*NORIA, *((leeway,) if by_nanoseconds else ()), limit("wheel"), *PEERS, precise),
        targets if in_table else (),
        rounds=3 if in_table else 1,
        curve="timers-fire" if how == "milliseconds" else "",
        x=count,
        point_only=not in_table,
        quick=in_table and how == "milliseconds",
    )


TIMERS = (
    *(timer_row("start", count, "again") for count in TIMER_COUNTS),
    timer_row("start", 1000000, "first"),
    *(timer_row("cancel", count, "again") for count in TIMER_COUNTS),
    timer_row("cancel", 1000000, "first"),
    *(fire_row(count, "milliseconds") for count in FIRE_COUNTS),
    fire_row(100000, "nanoseconds"),
)

# ---- files ----

COPY_BYTES = 1 << 29
READ_BYTES = 1 << 28
QUICK_BYTES = 1 << 28  # of both, in a quick run
COPY_BLOCK = 65536
CP = Implementation("cp", "peer", "cp")


def copy_row(files: str) -> Row:
    load = Local("copy", files=files, file_bytes=COPY_BYTES, seconds=0.6, pinned=False)
    first, *others = (limit(how, how) for how in ("read-write", "copy_file_range", "fixed"))
    libuv = (Implementation(f"libuv, {how}", "peer", "local_libuv", way(how)) for how in ("copyfile", "blocks"))
    # Who makes the file comes first: cp does not.
    implementations = (first, *NORIA, *others, CP, *libuv)
    return Row("files", f"copy in blocks of 64 KiB, {files}", load, implementations, bounds.COPIES, metric="wall")


FILES = both(
    Row(
        "files",
        "random reads of 4 KiB, depth 32, disk",
        Local("read", ("--depth", "32"), 0.5, 200000, "disk", READ_BYTES, pinned=False),
        (*NORIA, *noria("plain"), limit("fixed", "fixed"), limit("plain", "plain"), floor("pread", "pread"), LIBUV),
        bounds.READS,
        calls=True,
    ),
    copy_row("disk"),
    copy_row("memory"),
)

# ---- memory, start ----

MEMORY = (
    Row(
        "memory",
        "10 000 connections, TCP",
        Memory(TCP, 10000, seconds=2),
        SERVERS,
        bounds.memory(bounds.ECHO_BYTES),
        metric="idle",
        rounds=1,
        unit="B",
    ),
)

START = (
    Row(
        "start",
        "start and stop of a loop",
        Local("start-stop", count=300, seconds=0.1),
        (*NORIA, limit("uring", "uring"), limit("epoll", "epoll"), *PEERS),
    ),
)

# ---- whole programs ----

TLS = ("tls",)
DEMO_ROUNDS = 3


def demo(name: str) -> tuple[Implementation, ...]:
    """A demo on both backends, as its command calls it."""
    return (
        Implementation("noria-uring", "noria", f"{name}, io_uring"),
        Implementation("noria-epoll", "noria", f"{name}, epoll"),
    )


def others(*names: str) -> tuple[Implementation, ...]:
    return tuple(Implementation(name, "peer", name) for name in names)


def demo_row(part: str, title: str, load: Demo, implementations: tuple[Implementation, ...]) -> Row:
    return Row(part, title, load, implementations, rounds=DEMO_ROUNDS, quick=False)


def httpd_row(title: str, row: str, *options: str) -> Row:
    servers = (*demo("httpd"), *others("nginx", "nginx, open files kept"))
    seconds = 8 if row.startswith("handshake") else 5
    return demo_row("httpd", title, Demo("httpd", row, options, seconds, ("nginx", "wrk")), servers)


def tls_proxy_row(title: str, row: str, seconds: float) -> Row:
    load = Demo("proxy", row, (), seconds, ("stunnel", "nginx"))
    return demo_row("tls-proxy", title, load, (*demo("proxy"), *others("stunnel", "nginx")))


def fetch_row(title: str, *options: str) -> Row:
    load = Demo("fetch", "gigabyte", options, 11, ("curl",))
    return demo_row("fetch", title, load, (*demo("fetch"), *others("curl")))


def names_row(at_once: int) -> Row:
    load = Demo("names", str(at_once), (), 3, ())
    return demo_row("names", f"10 000 look-ups, {at_once} at a time", load, (*demo("Noria"), *others("c-ares")))


DEMOS = (
    httpd_row("512 B", "small"),
    httpd_row("64 KiB", "middle"),
    httpd_row("512 B, TLS", "small", *TLS),
    httpd_row("64 KiB, TLS", "middle", *TLS),
    httpd_row("512 B, TLS, a handshake for each", "handshake, new", *TLS),
    httpd_row("512 B, TLS, a session resumed for each", "handshake, reuse", *TLS),
    tls_proxy_row("a server, a MiB", "server, MiB", 4.5),
    tls_proxy_row("a server, a connection", "server, connections", 7),
    tls_proxy_row("a client, a MiB", "client, MiB", 4.5),
    tls_proxy_row("a client, a connection", "client, connections", 6),
    fetch_row("1 GiB, a MiB of it"),
    fetch_row("1 GiB, TLS, a MiB of it", *TLS),
    *(names_row(at_once) for at_once in (1, 10, 100)),
)


def idle_row(title: str, row: str, most: int) -> Row:
    """What the library allocates, which the memory of the server does not tell from what else it has."""
    backends = (
        Implementation("noria-uring", "noria", "io_uring"),
        Implementation("noria-epoll", "noria", "epoll"),
    )
    load = Demo("idle", row, (), 2, ())
    return Row("idle", title, load, backends, bounds.memory(most), metric="idle", rounds=1, unit="B")


IDLE = (
    idle_row("8000 connections, nothing waits on them", "nothing", bounds.IDLE_BYTES),
    idle_row("8000 connections, each an echo", "copy", bounds.ECHO_BYTES),
)

ROWS = (*ECHO, *SERVING, *PIPES, *WAKE, *LOOP, *TIMERS, *FILES, *MEMORY, *IDLE, *START, *DEMOS)
PARTS = tuple(dict.fromkeys(row.part for row in ROWS))

# The rows of the first table in docs/figures.md and of the plot in README.md, and what they are called there: those
# that are there at both prices of a system call, and those that make none.
AT_BOTH_PRICES = (
    ("echo-tcp: 100 × 64 B", "echo, TCP, 100 connections, 64 B"),
    ("echo-unix: 100 × 64 B", "echo, Unix sockets, 100 connections, 64 B"),
    ("echo-unix: 100 × 64 B, 16 in flight", "the same, 16 messages in flight"),
    ("echo-unix: 100 × 4 KiB", "echo, Unix sockets, 100 connections, 4 KiB"),
    ("echo-unix: 10 × 64 KiB", "echo, Unix sockets, 10 connections, 64 KiB"),
    ("churn: connect, echo, close; 32 at a time", "connect, echo, close"),
    ("pipes: ping-pong, 1 B, two turns", "ping-pong over pipes"),
)
WITHOUT_CALLS = (
    ("timers: start, 1 000 000 timers", "start one of a million timers"),
    ("timers: cancel, 1 000 000 timers", "cancel one of a million timers"),
    ("timers: fire, 100 000 timers within 1 s, milliseconds", "fire one of 100 000 timers"),
)
