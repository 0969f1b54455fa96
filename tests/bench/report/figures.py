# SPDX-License-Identifier: ISC
"""Computes figures from samples: medians and their spread, ratios within a run, and whether a target is met."""

from dataclasses import asdict, dataclass
from statistics import median

from bounds import CALL_NS, Target
from rows import Implementation, Row, Stream

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
    if any(one and not is_comparable(one) for one in (other, summaries.get(who))):
        return None
    return rough_ratio(summaries, who, against, metric)


def rough_ratio(summaries: Summaries, who: str, against: str, metric: str) -> float | None:
    """The same, whoever was full."""
    other = summaries.get(reference(summaries, against, metric))
    mine = summaries[who].middle(metric) if who in summaries else None
    theirs = other.middle(metric) if other else None
    return mine / theirs if mine is not None and theirs else None


# ---- latencies ----

SAME_RATE = 0.03  # rates that differ by less count as equal; two runs differ by as much
STEP_BITS = 6  # of the client's histogram: 64 steps in each power of two (load/histogram.h)


def step_of(us: float) -> int:
    """The step of the client's histogram that a duration is in."""
    ns = int(us * 1000)
    drop = max(0, ns.bit_length() - 1 - STEP_BITS)
    return (drop << STEP_BITS) + (ns >> drop)


def is_full(summary: Summary) -> bool:
    return "server" in limited_by(summary)


def has_same_load(row: Row, one: Summary, other: Summary) -> bool:
    """The same rate, or only one message, for which nothing waits."""
    if isinstance(row.load, Stream) and row.load.connections * row.load.pipeline == 1:
        return True
    rates = [summary.middle("rate") or 0 for summary in (one, other)]
    return max(rates) <= (1 + SAME_RATE) * min(rates)


def is_known(row: Row, mine: Summary, theirs: Summary, is_met: bool) -> bool:
    """May their latencies be compared? In a closed loop messages wait where there is no time left. If that is not the
    server, a quicker client would make its latency less, not more. So it is enough if the one with the greater latency
    was full: the other program then, or Noria where it misses the bound."""
    return has_same_load(row, mine, theirs) or is_full(theirs if is_met else mine)


# ---- targets ----

MET, MISSED, BEYOND, OPEN = "met", "missed", "beyond", "open"
BESIDE = 1.10  # times the best program by hand: as far as Noria may be from it anywhere


@dataclass
class Verdict:
    """What came of a target: the bound in words, what was measured in the same terms, and whether that will do.
    BEYOND: the best program by hand does not reach it either, and Noria is beside that. OPEN: it can not be judged.
    `why` says what is reached by hand, if that is not the bound, or why it is open."""

    bound: str
    measured: str
    state: str
    why: str = ""


NAMES = {"limit": "best limit", "peer": "best peer"}
METRICS = {"cpu": "", "wall": "wall time", "p50": "p50", "p99": "p99", "idle": "idle", "touched": "after data",
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


def verdict(row: Row, summaries: Summaries, target: Target, call_ns: float = 0) -> Verdict:
    metric, dear = target.metric or row.metric, is_dear(row, call_ns)
    text = bound_text(target, metric, row.unit, dear)
    names = [target.who, *([reference(summaries, target.against, metric)] if target.against else [])]
    if any(name not in summaries or summaries[name].middle(metric) is None for name in names):
        return Verdict(text, "", OPEN, "not measured")
    return judged(row, summaries, target, text, names, dear)


def judged(row: Row, summaries: Summaries, target: Target, text: str, names: list[str], dear: bool) -> Verdict:
    """Of programs that have a figure: `names` is Noria and, if the bound has one, the other."""
    metric = target.metric or row.metric
    times, plus = target.at(dear)
    mine, *theirs = (summaries[name].middle(metric) or 0 for name in names)
    bound = plus + times * sum(theirs)
    is_met = reaches(metric, mine, bound)
    measured = f"{mine:.0f}"
    if theirs and theirs[0]:
        measured = f"{mine - theirs[0]:+.0f} {row.unit}" if plus else f"{mine / theirs[0]:.3f}"
    if why := unknown(row, summaries, names, metric, is_met):
        return Verdict(text, measured, OPEN, why)
    if is_met:
        return Verdict(text, measured, MET)
    by_hand = best_by_hand(row, summaries, target, metric)
    reached = (summaries[by_hand].middle(metric) or 0) if by_hand else 0
    if not theirs or not theirs[0] or reaches(metric, reached, bound):
        return Verdict(text, measured, MISSED)
    if unknown(row, summaries, [by_hand, *names[1:]], metric, False):
        return Verdict(text, measured, MISSED)
    state = BEYOND if mine <= BESIDE * reached else MISSED
    return Verdict(text, measured, state, f"{by_hand}: {reached / theirs[0]:.3f}")


def reaches(metric: str, value: float, bound: float) -> bool:
    """A 99th percentile has the tolerance of a step."""
    return step_of(value) <= step_of(bound) + 1 if metric == "p99" else value <= bound


def unknown(row: Row, summaries: Summaries, names: list[str], metric: str, is_met: bool) -> str:
    """Why a bound can not be judged; empty when it can. Where only the client was full a server got fewer messages a
    turn than it could take, so its cost for one is at most the measured one: enough for Noria to meet a bound, or to
    miss one against it."""
    if metric == "p99":
        known = is_known(row, summaries[names[0]], summaries[names[1]], is_met)
        return "" if known else "other rates, and not the server was full"
    full = [name for name in names if not is_comparable(summaries[name])]
    if not full or (metric == "cpu" and full == ([names[0]] if is_met else names[1:])):
        return ""
    return f"client full ({', '.join(full)})"


def best_by_hand(row: Row, summaries: Summaries, target: Target, metric: str) -> str:
    """The program by hand that tells whether a bound against others can be reached. Empty where there is none."""
    if not target.against or summaries.get(target.against, Summary(target.against, 0, 0, {})).kind == "limit":
        return ""
    return "epoll" if target.who == "noria-epoll" and "epoll" in summaries else best(summaries, "limit", metric)


def verdicts(row: Row, summaries: Summaries, call_ns: float = 0) -> list[Verdict]:
    return [verdict(row, summaries, target, call_ns) for target in row.targets]


def as_json(found: list[Verdict]) -> list[dict[str, object]]:
    return [asdict(one) for one in found]
