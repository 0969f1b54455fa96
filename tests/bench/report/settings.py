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

RULES: dict[str, tuple[Rule, ...]] = {
    "server_uring": (),
    "server_epoll": (),
}


def settings_of(program: str, case: Case) -> tuple[str, ...]:
    """The options of a server for a load."""
    found = (options for holds, options in RULES.get(program, ()) if holds(case))
    return tuple(next(found, "").split())
