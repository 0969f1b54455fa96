# SPDX-License-Identifier: ISC
"""The settings of the handwritten servers, as data: for each load the best that tests/bench/sweep has found.

The first rule that holds decides. A load without a rule gets what the server does by itself, which is good for every
load, if not the best.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """What the best settings depend on."""

    listen: str
    connections: int
    size: int
    pipeline: int
    mode: str
    is_dear: bool

    @property
    def in_flight(self) -> int:
        """Bytes, of one connection."""
        return self.size * self.pipeline


Rule = tuple[Callable[[Case], bool], str]

BULK = 32768  # bytes of a message; larger ones are copied more than they are called for
FEW = 64 * 64  # bytes in flight, of small messages
BATCH = 16  # completions; few connections would wait in vain for as many


def is_bulk(case: Case) -> bool:
    return case.mode == "echo" and case.size >= BULK


def is_small(case: Case) -> bool:
    return case.mode == "echo" and case.in_flight < FEW


def is_local(case: Case) -> bool:
    return case.listen.startswith("unix:")


LARGE_BUFFERS = "--buffers 8 --buffer-bytes 65536 --whole"
SMALL_BUFFERS = "--buffers 64 --buffer-bytes 16384 --incremental --flush 262144"
HUGE_BUFFERS = "--buffers 4 --buffer-bytes 1048576 --incremental --flush 262144"

# Bulk: a message fits into a buffer, and all buffers into the cache. Answers to it leave at once where that is cheap,
# so that client and server do not sleep in turns. Small messages: incremental buffers, of which many connections do
# not run out, and as large batches as there are.
RULES: dict[str, tuple[Rule, ...]] = {
    "server_uring": (
        (lambda case: is_bulk(case) and case.is_dear, f"{LARGE_BUFFERS} --flush 262144"),
        (lambda case: is_bulk(case) and is_local(case), "--buffers 16 --buffer-bytes 65536 --whole --flush 1"),
        (is_bulk, LARGE_BUFFERS),
        (lambda case: is_small(case) and is_local(case) and case.connections >= 1000,
         f"{HUGE_BUFFERS} --batch {BATCH}"),
        (lambda case: is_small(case) and case.connections >= 100, f"{SMALL_BUFFERS} --batch {BATCH}"),
        (is_small, SMALL_BUFFERS),
    ),
    "server_epoll": (
        (lambda case: is_bulk(case) and case.is_dear, "--level"),  # a call less than edges take
        (is_bulk, "--edge --buffer 131072"),
        (lambda case: case.mode == "echo", "--edge"),
    ),
}


def settings_of(program: str, case: Case) -> tuple[str, ...]:
    """The options of a server for a load."""
    found = (options for holds, options in RULES.get(program, ()) if holds(case))
    return tuple(next(found, "").split())
