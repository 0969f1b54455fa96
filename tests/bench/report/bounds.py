# SPDX-License-Identifier: ISC
"""What Noria must reach, as data. figures.py judges it, rows.py says for which rows.

Prices of a system call differ between machines, and what it is worth to make few of them does with them. A bound may
therefore have two values: `times` where a call is cheap, and `dear` where it is not. Those rows whose calls cost
CALL_NS more are judged by the second one, and on a machine on which a call costs as much all rows are.
"""

from dataclasses import dataclass

CALL_NS = 1000  # what a system call costs more in the rows that are dear
MANY = 1000  # connections, whose data leaves the cache
BULK = 65536  # bytes of a message, from which on copying is the cost, whoever calls for it


@dataclass(frozen=True)
class Target:
    """who's `metric` ≤ times × against's + plus; against is an implementation, "limit" or "peer" (the best one of
    these), or empty when `plus` alone is the bound. `dear` and `dear_plus` replace `times` and `plus` where system
    calls are dear. A bound of p99 has a tolerance of one step of the client's histogram."""

    who: str
    times: float
    against: str
    plus: float = 0
    metric: str = ""
    dear: float | None = None
    dear_plus: float | None = None

    def at(self, is_dear: bool) -> tuple[float, float]:
        """The factor and the addition for a price."""
        if not is_dear:
            return self.times, self.plus
        times = self.times if self.dear is None else self.dear
        return times, self.plus if self.dear_plus is None else self.dear_plus


ON_EPOLL = Target("noria-epoll", 1.03, "epoll")
LATENCY = Target("noria-uring", 1.00, "peer", metric="p99")


def echo(connections: int, size: int) -> tuple[Target, ...]:
    """Of TCP, Unix sockets and UDP."""
    limit = Target("noria-uring", 1.05 if connections >= MANY else 1.03, "limit", dear=1.10)
    peer = Target("noria-uring", 1.00, "peer", dear=0.90 if size >= BULK else 0.55)
    return (limit, peer, ON_EPOLL, LATENCY)


# One connection mostly sleeps. That the loop may be told to poll instead is a promise of its own (busy_poll_ns): the
# round trip comes down from 57 µs to 20.
BUSY_POLL = (Target("noria-uring, busy poll", 0.40, "limit", metric="p50"),)

# Not above any other library, at either price: what is promised of all that serves. A connection that comes and goes,
# and a pipe, have calls that nobody can leave out.
NO_WORSE = Target("noria-uring", 1.00, "peer")
CHURN = (Target("noria-uring", 1.03, "limit", dear=1.10), NO_WORSE, ON_EPOLL)
PING_PONG = (
    Target("noria-uring", 1.05, "limit", dear=1.10),
    NO_WORSE,
    Target("noria-epoll", 1.05, "epoll"),
)
THROUGHPUT = (Target("noria-uring", 1.05, "epoll"), Target("noria-epoll", 1.05, "epoll"))

# A post costs no system call where the loop's own thread makes it, and few where others make many.
OWN_POSTS = (Target("noria-uring", 1.00, "libev"), Target("noria-uring", 1.00, "libuv"))
FLOOD = (Target("noria-uring", 1.00, "libev", metric="flood_ns_per_op"),)

NOP = {
    1: (Target("noria-uring", 1.00, "uring", plus=25),),
    64: (Target("noria-uring", 1.00, "uring", plus=14, dear_plus=25),),
}

TIMERS = {
    "start": (Target("noria-uring", 1.00, "libev"),),
    "cancel": (Target("noria-uring", 0.40, "libev"),),
}
# Two promises beside the cost: no timer fires early, and none later than in the fastest other loop.
ON_TIME = (
    Target("noria-uring", 1.00, "libev", metric="mean_late_us"),
    Target("noria-uring", 0, "", metric="early"),
)
FIRE = (Target("noria-uring", 0.80, "libev"), *ON_TIME)


def fire_with_leeway(who: str) -> tuple[Target, ...]:
    """At any nanosecond, with the leeway that the clock of milliseconds gives the other loops."""
    return (Target(who, 1.00, "libev"), *ON_TIME)


# Files have their own promises: random reads as with registered buffers by hand, copies no slower than cp.
READS = (Target("noria-uring", 1.05, "fixed"),)
COPIES = tuple(Target("noria-uring", 1.00, "cp", metric=metric) for metric in ("wall", "cpu"))


def memory(most: int) -> tuple[Target, ...]:
    """Bytes of a connection, before any data and after."""
    return tuple(Target("noria-uring", 0, "", plus=most, metric=metric) for metric in ("idle", "touched"))


# Of tests/bench/idle, which fails by the same ones: on a connection nothing waits, or an echo's loop_copy does. The
# bench's own server is an echo.
IDLE_BYTES, ECHO_BYTES = 256, 394
