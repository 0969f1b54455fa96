# SPDX-License-Identifier: ISC
"""Computes figures from samples: medians and their spread, ratios within a run, and whether a target is met."""

from dataclasses import asdict, dataclass
from statistics import median

from bounds import CALL_NS, Target
from rows import Implementation, Row

Spread = tuple[float, float, float]  # median, least, most


@dataclass
class Summary:
    """One implementation in one row. `n` samples were used, `dropped` were not: the processors were far apart."""

    kind: str
    n: int
    dropped: int
    metrics: dict[str, Spread]
    calls: float | None = None

    def middle(self, metric: str) -> float | None:
        return self.metrics[metric][0] if metric in self.metrics else None


Summaries = dict[str, Summary]


def rounded(value: float) -> float:
    """Five digits are more than the figures are good for."""
    return float(f"{value:.5g}")


def spread(values: list[float]) -> Spread:
    return (rounded(median(values)), rounded(min(values)), rounded(max(values)))


def summarise(implementation: Implementation, used: list[dict[str, float]], n_all: int) -> Summary:
    names = dict.fromkeys(name for figures in used for name in figures)
    metrics = {name: spread([figures[name] for figures in used if name in figures]) for name in names}
    return Summary(implementation.kind, len(used), n_all - len(used), metrics)


# ---- who had no time left ----

FULL = 0.95  # the share of the time from which on a server or a client counts as full


def limited_by(summary: Summary) -> str:
    server, client = summary.middle("server") or 0, summary.middle("client") or 0
    full = [name for name, share in (("server", server), ("client", client)) if share >= FULL]
    return " and ".join(full) or "neither"


def is_comparable(summary: Summary) -> bool:
    """A full client brings a server that waits for it fewer messages a turn than it could take."""
    return limited_by(summary) != "client"


# ---- one against another ----


def best(summaries: Summaries, kind: str, metric: str) -> str:
    """The name of the best one of a kind; empty when there is none."""
    found = {name: one.middle(metric) for name, one in summaries.items() if one.kind == kind}
    known = {name: value for name, value in found.items() if value is not None}
    return min(known, key=lambda name: known[name], default="")


def reference(summaries: Summaries, against: str, metric: str) -> str:
    """Whom a ratio is against: "limit" and "peer" are the best of these."""
    return best(summaries, against, metric) if against in ("limit", "peer") else against


def ratio(summaries: Summaries, who: str, against: str, metric: str) -> float | None:
    """Of medians. None where one of the two has no figure, or the client was full and it was not."""
    other = summaries.get(reference(summaries, against, metric))
    mine = summaries[who].middle(metric) if who in summaries else None
    if any(one and not is_comparable(one) for one in (other, summaries.get(who))):
        return None
    theirs = other.middle(metric) if other else None
    return mine / theirs if mine is not None and theirs else None


# ---- targets ----


@dataclass
class Verdict:
    """What came of a target: the bound in words, what was measured in the same terms, and whether that will do."""

    bound: str
    measured: str
    met: bool


NAMES = {"limit": "best limit", "peer": "best peer"}
METRICS = {"cpu": "", "wall": "wall time", "p50": "p50", "idle": "idle", "touched": "after data",
           "mean_late_us": "mean lateness", "early": "early", "flood_ns_per_op": "a post"}


def is_dear(row: Row, call_ns: float) -> bool:
    """Do system calls cost so much that the row's bounds are those for dear ones?"""
    return row.is_dear or call_ns >= CALL_NS


def bound_text(target: Target, metric: str, unit: str, dear: bool) -> str:
    times, plus = target.at(dear)
    parts = []
    if target.against:
        parts.append(f"{times:.2f} × {NAMES.get(target.against, target.against)}")
    if plus or not parts:
        parts.append(f"{plus:g}{' ' + unit if plus else ''}")
    what = METRICS.get(metric, metric) if target.metric else ""
    return f"{target.who}{', ' + what if what else ''} ≤ {' + '.join(parts)}"


def verdict(row: Row, summaries: Summaries, target: Target, call_ns: float = 0) -> Verdict | None:
    """None where a figure is missing, or is the client's rather than the server's."""
    metric, dear = target.metric or row.metric, is_dear(row, call_ns)
    times, plus = target.at(dear)
    mine = summaries[target.who].middle(metric) if target.who in summaries else None
    if mine is None or not is_comparable(summaries[target.who]):
        return None
    bound, measured = plus, f"{mine:.0f}"
    if target.against:
        found = ratio(summaries, target.who, target.against, metric)
        if not found:
            return None
        bound += times * mine / found
        measured = f"{mine - mine / found:+.0f} {row.unit}" if plus else f"{found:.3f}"
    return Verdict(bound_text(target, metric, row.unit, dear), measured, mine <= bound)


def verdicts(row: Row, summaries: Summaries, call_ns: float = 0) -> list[dict[str, object]]:
    found = (verdict(row, summaries, target, call_ns) for target in row.targets)
    return [asdict(one) for one in found if one]
