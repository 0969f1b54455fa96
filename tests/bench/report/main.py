# SPDX-License-Identifier: ISC
"""The command line: selects the parts to measure, their order, and the files to write."""

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import figures
import machine
import measure
import pages
import plots
import processes
import tables
from files import Places
from measure import Bench
from results import Results, Stored
from rows import CALL_NS, FULL_RUN, PARTS, QUICK_ROUNDS, QUICK_RUN, ROUNDS, ROWS, Demo, Local, Row, Stream

ROOT = Path(__file__).resolve().parents[3]
WRITTEN = ROOT / "build" / "bench"
SHOWN = {"overview.svg": "overview.svg", "connections-tcp-both.svg": "connections.svg"}  # in docs/, and called there


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/bench/run",
        description="Compares Noria with limits written by hand and with other libraries, in one run, and writes "
        "build/bench/.",
        epilog=f"Parts: {', '.join(PARTS)}; echo is both of its kind.",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="measure only this; all unless told otherwise")
    parser.add_argument("--quick", action="store_true", help="everything once and briefly, in less than five minutes")
    parser.add_argument("--rounds", type=positive, metavar="N",
                        help=f"of each row; {ROUNDS}, or {QUICK_ROUNDS} when quick")
    parser.add_argument("--list", action="store_true", help="show rows and the seconds of each, measure nothing")
    parser.add_argument("--pages", action="store_true", help="write build/bench/ anew from the results, and the "
                        "tables and plots that README.md and docs/ show if all of these are of one commit, machine "
                        "and number of rounds; measure nothing")
    asked = parser.parse_args()
    for part in asked.parts:
        if not any(matches(one, part) for one in PARTS):
            parser.error(f"there is no part '{part}' (there are: {', '.join(PARTS)})")
    return asked


def positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


def matches(part: str, asked: str) -> bool:
    return part == asked or part.startswith(f"{asked}-")


def wanted(asked: argparse.Namespace) -> list[Row]:
    rows = [row for row in ROWS if not asked.parts or any(matches(row.part, part) for part in asked.parts)]
    return [row for row in rows if row.quick or not asked.quick]


def can_run(bench: Bench, row: Row, descriptors: int) -> bool:
    """Rows that need more descriptors or other file systems than there are."""
    if getattr(row.load, "connections", 0) + 100 > descriptors:
        bench.problems.append(f"{row.key}: only {descriptors} descriptors may be open")
        return False
    if isinstance(row.load, Local) and row.load.files and row.load.files not in bench.places.directories:
        bench.problems.append(f"{row.key}: no such file system with room for three copies")
        return False
    if row.is_dear and not bench.dear_instructions:
        bench.problems.append(f"{row.key}: system calls can not be made dear here")
        return False
    return True


# ---- the description of a row ----


def commands_of(row: Row) -> list[str]:
    """What is run, to be shown: Noria's programs on io_uring, without the paths of this machine."""
    prefix = ["LOOP_BACKEND=uring"]
    dear = [f"dear {CALL_NS} --"] if row.is_dear else []
    if isinstance(row.load, Stream):
        upstream = ["UPSTREAM"] if row.load.mode == "proxy" else []
        listen = row.load.listen.format(work="/tmp")
        server = [*prefix, "taskset -c 0", *dear, "server_noria", row.load.mode, listen, *upstream, "&"]
        window = ["--seconds", f"{row.load.seconds:g}", "--warmup", f"{row.load.warmup:g}"]
        load = ["load", listen, "--server-pid", "$!", *measure.load_options(row.load), *window]
        return [" ".join(server), " ".join(["taskset -c 1", *load])]
    if isinstance(row.load, Demo):
        return [" ".join([f"tests/bench/{row.load.command}", *map(shlex.quote, row.load.arguments())])]
    if isinstance(row.load, Local):
        files = ["--file FROM", *(["--to TO"] if row.load.workload == "copy" else [])] if row.load.files else []
        files = [*files, f"--file-size {row.load.file_bytes}"] if files else []
        count = ["--count", str(row.load.count)] if row.load.count else []
        program = [*(["taskset -c 0"] if row.load.pinned else []), *dear, "local_noria"]
        return [" ".join([*prefix, *program, row.load.workload, *row.load.options, *count, *files])]
    hold = f"load {row.load.listen} --hold {row.load.connections}"
    return [hold, f"{hold} --touch", "grep Private /proc/SERVER/smaps_rollup"]


def headline(summaries: figures.Summaries, row: Row, call_ns: float) -> str:
    """What is said while it runs."""
    found = {kind: figures.ratio(summaries, "noria-uring", kind, row.metric) for kind in ("limit", "peer")}
    known = [f"{value:.3f} of the best {kind}" for kind, value in found.items() if value]
    missed = [one.bound for one in figures.verdicts(row, summaries, call_ns) if one.state == figures.MISSED]
    return (", ".join(known) or "no ratio") + (f"; not reached: {'; '.join(missed)}" if missed else "")


def absent(row: Row) -> str:
    """The programs of others that a row needs and that are not installed."""
    needs = row.load.needs if isinstance(row.load, Demo) else ()
    names = [name for name in needs if not shutil.which(name)]
    return f" (not installed: {', '.join(names)})" if names else ""


# ---- measuring ----


def measure_row(bench: Bench, row: Row) -> figures.Summaries:
    samples = measure.measure(bench, row)
    summaries: figures.Summaries = {}
    for implementation in row.implementations:
        taken = samples.get(implementation.name)
        if taken:
            used = [one.figures for one in measure.near(bench, taken)]
            summary = figures.summarise(implementation, used, len(taken))
            summary.calls = measure.count_calls(bench, row, implementation)
            summaries[implementation.name] = summary
    return summaries


def measure_rows(bench: Bench, rows: list[Row], results: Results, price: machine.Price) -> None:
    """Writes what there is after each row: a run may be killed."""
    description, run = machine.describe(ROOT, price), datetime.now(timezone.utc).isoformat(timespec="seconds")
    for row in rows:
        began = time.monotonic()
        print(f"{row.key}{absent(row)}", end="", flush=True)
        summaries = measure_row(bench, row)
        told = about(bench, row, description)
        origin = machine.origin(told, run)
        results.add(Stored(row, commands_of(row), summaries, run, price.call_ns, price.dear_call_ns, origin), told)
        results.write()
        took, planned = time.monotonic() - began, measure.seconds_of(bench, row)
        print(f": {headline(summaries, row, price.call_ns)} ({took:.1f} s, planned {planned:.1f})", flush=True)


def about(bench: Bench, row: Row, description: dict[str, str]) -> dict[str, str]:
    """The description of a part, beside its figures."""
    counter = bench.counter[0] if bench.counter else "nothing"
    kinds = {name: f"on {kind}" for name, kind in bench.places.kinds.items()} if row.part == "files" else {}
    rounds = f"{bench.rounds} round{'' if bench.rounds == 1 else 's'}"
    how = f"{rounds}{', quick' if bench.quick else ''}, system calls counted by {counter}"
    return {"how": how, **description, **kinds}


def write_page(results: Results) -> None:
    WRITTEN.mkdir(parents=True, exist_ok=True)
    drawn = plots.draw_all(results, WRITTEN)
    (WRITTEN / "README.md").write_text(tables.page(results, drawn))


def run(asked: argparse.Namespace, programs: Path) -> int:
    rounds = asked.rounds or (QUICK_ROUNDS if asked.quick else ROUNDS)
    descriptors = machine.raise_descriptor_limit()
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as work, Places(ROOT / "build", asked.quick) as places:
        price = machine.price(programs)
        print(f"a system call: {price.text()}", flush=True)
        counter = processes.counter()
        bench = Bench(programs, Path(work), asked.quick, rounds, counter, places, price.instructions)
        rows = [row for row in wanted(asked) if can_run(bench, row, descriptors)]
        seconds = sum(measure.seconds_of(bench, row) for row in rows)
        bench.spare = 0.5 * ((QUICK_RUN if asked.quick else FULL_RUN) - seconds)
        print(f"about {seconds / 60:.1f} minutes", flush=True)
        results = Results(WRITTEN / "results.json")
        measure_rows(bench, rows, results, price)
        write_page(results)
    for problem in bench.problems:
        print(problem, file=sys.stderr)
    print(f"written: {WRITTEN.relative_to(ROOT)}/README.md")
    return 1 if bench.problems else 0


# ---- the command's other ways ----


def show(asked: argparse.Namespace) -> int:
    """The time budget, row by row, as it is with perf or strace at hand."""
    rounds = asked.rounds or (QUICK_ROUNDS if asked.quick else ROUNDS)
    bench = Bench(Path(), Path(), asked.quick, rounds, processes.PERF, Places(ROOT, asked.quick))
    rows = wanted(asked)
    for row in rows:
        print(f"{measure.seconds_of(bench, row):7.1f} s  {row.key}{absent(row)}")
    print(f"{sum(measure.seconds_of(bench, row) for row in rows):7.1f} s  in all")
    return 0


def write_pages() -> int:
    """README.md and docs/ stay as they are unless all that they show is of the same program, machine and rounds."""
    results = Results(WRITTEN / "results.json")
    if not results.rows:
        print(f"there are no results in {WRITTEN.relative_to(ROOT)}/results.json", file=sys.stderr)
        return 1
    write_page(results)
    shown = pages.newest(results)
    if lacking := pages.lacking(shown):
        print(f"written: {WRITTEN.relative_to(ROOT)}/README.md\n{pages.refusal(shown, lacking)}", file=sys.stderr)
        return 1
    pages.write(shown, ROOT)
    for drawn, copied in SHOWN.items():
        shutil.copyfile(WRITTEN / drawn, ROOT / "docs" / copied)
    return 0


def interrupt(*_: object) -> None:
    """Ctrl-C and SIGTERM alike: servers are ended, files go away."""
    raise KeyboardInterrupt


def main() -> int:
    asked = arguments()
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    if asked.list:
        return show(asked)
    if asked.pages:
        return write_pages()
    try:
        return run(asked, ROOT / "build" / "tests" / "bench")
    except KeyboardInterrupt:
        print("\ninterrupted: the rows measured so far are kept, --pages writes the pages", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
