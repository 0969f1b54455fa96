# SPDX-License-Identifier: ISC
"""Reads what the commands that measure whole programs have noted (tests/bench/demos.sh): lines of
ROW|PROGRAM|FIGURE=NUMBER|... As a program it prints the figures of the last sample of each program as JSON."""

import json
import sys
from statistics import median

Figures = dict[str, float]


def read(path: str) -> dict[tuple[str, str], list[Figures]]:
    """The samples of each row and program, in the order in which those came first."""
    samples: dict[tuple[str, str], list[Figures]] = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row, program, *figures = line.rstrip("\n").split("|")
            pairs = (figure.split("=") for figure in figures)
            samples.setdefault((row, program), []).append({name: float(value) for name, value in pairs if value})
    return samples


def middle(samples: list[Figures], name: str) -> float | None:
    """The median of a figure; None where no sample has it."""
    known = [sample[name] for sample in samples if name in sample]
    return median(known) if known else None


def ratio(samples: list[Figures], beside: list[Figures], name: str) -> float | None:
    """The median of the ratios of one round each: a processor that changes its speed changes both samples of a round.
    None where no round has both."""
    known = [(one.get(name), other.get(name)) for one, other in zip(samples, beside)]
    ratios = [one / other for one, other in known if one is not None and other]
    return median(ratios) if ratios else None


def table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines))


if __name__ == "__main__":
    print(json.dumps({program: samples[-1] for (_, program), samples in read(sys.argv[1]).items()}))
