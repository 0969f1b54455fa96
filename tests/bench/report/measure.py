# SPDX-License-Identifier: ISC
"""Takes one sample of a row by one implementation, and the rounds of a row: A B C, A B C, ... The placement of the
processors is checked before each sample."""

import os
import re
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import machine
import processes
from files import Places
from processes import Failed, Figures, Missing, Server
from rows import (
    CALLS_SECONDS,
    CONNECT_SECONDS,
    CP,
    QUICK_SECONDS,
    QUICK_SHARE,
    QUICK_WARMUP,
    SERVERS,
    START_SECONDS,
    Demo,
    Implementation,
    Load,
    Local,
    Memory,
    Row,
    Stream,
)

UPSTREAM = next(server for server in SERVERS if server.name == "epoll")  # behind every proxy


@dataclass
class Bench:
    """Where things are, and how much is measured."""

    programs: Path
    work: Path
    quick: bool
    rounds: int
    counter: tuple[str, ...]
    places: Places
    dear_instructions: int = 0  # what makes system calls dear here; 0: nothing does
    spare: float = 0  # seconds left for what the placement of the processors spoils
    nearest: float = 0  # the best placement seen, in ns of a bounce
    problems: list[str] = field(default_factory=list)

    def program(self, implementation: Implementation) -> list[str]:
        """Its command, which has dear system calls where the row wants them."""
        own = implementation.program != CP.program
        command = [str(self.programs / implementation.program) if own else CP.program]
        return [*self.dear(), *command] if implementation.dear else command

    def dear(self) -> list[str]:
        return [str(self.programs / "dear"), "--instructions", str(self.dear_instructions), "--"]

    def rounds_of(self, row: Row) -> int:
        if row.rounds:
            return min(row.rounds, self.rounds)
        return self.rounds


@dataclass
class Sample:
    figures: Figures
    bounce: float


Samples = dict[str, list[Sample]]

# ---- servers and the load client ----


def server_of(bench: Bench, load: Stream | Memory, implementation: Implementation, wrapper: tuple[str, ...],
              upstream: str = "") -> Server:
    mode = load.mode if isinstance(load, Stream) else "echo"
    listen = load.listen.format(work=bench.work)
    command = [*bench.program(implementation), *implementation.options, mode, listen, *filter(None, [upstream])]
    cpu, _ = machine.processors()
    return Server(command, processes.environment_of(implementation), cpu, wrapper)


def upstream_of(bench: Bench, stack: ExitStack, load: Stream) -> Server | None:
    """Starts the server behind a proxy, beside the client."""
    if load.mode != "proxy":
        return None
    command = [*bench.program(UPSTREAM), "echo", load.listen]
    _, cpu = machine.processors()
    return stack.enter_context(Server(command, processes.environment_of(UPSTREAM), cpu))


def load_options(load: Stream) -> list[str]:
    options = ["--connections", str(load.connections), "--size", str(load.size), "--pipeline", str(load.pipeline)]
    return [*options, "--churn"] if load.churn else options


def drive(bench: Bench, load: Stream, implementation: Implementation, wrapper: tuple[str, ...] = ()) -> Figures:
    """One run of the load client against a new server."""
    _, cpu = machine.processors()
    with ExitStack() as stack:
        upstream = upstream_of(bench, stack, load)
        address = upstream.address if upstream else ""
        server = stack.enter_context(server_of(bench, load, implementation, wrapper, address))
        beside = ["--beside", str(upstream.pid)] if upstream else []
        window = ["--seconds", f"{load.seconds:g}", "--warmup", f"{load.warmup:g}"]
        command = [str(bench.programs / "load"), server.address, "--server-pid", str(server.pid)]
        command = processes.pinned(cpu, [*command, *load_options(load), *beside, *window])
        found = processes.run_json(command, processes.environment_of(UPSTREAM), load.seconds + load.warmup + 20)
    if found.get("errors"):
        raise Failed(f"{implementation.name}: {found['errors']:.0f} bad answers")
    return found


LOAD_NAMES = {
    "rate": "rate",
    "server_cpu_ns_per_op": "cpu",
    "p50_us": "p50",
    "p99_us": "p99",
    "p999_us": "p999",
    "server_cpu": "server",
    "client_cpu": "client",
}


def quickly(load: Stream) -> Stream:
    return replace(load, seconds=QUICK_SECONDS, warmup=max(QUICK_WARMUP, load.warmup - 0.1))


def stream_sample(bench: Bench, load: Stream, implementation: Implementation) -> Figures:
    found = drive(bench, quickly(load) if bench.quick else load, implementation)
    return {name: float(found[theirs]) for theirs, name in LOAD_NAMES.items()}


# ---- programs that measure themselves ----

LOCAL_WARMUP = 0.1  # so much of the operations comes before, and isn't told but does call
LOCAL_TIMEOUT = 30.0
LOCAL_NAMES = {"wall_ns_per_op": "wall", "cpu_ns_per_op": "cpu"}


def local_command(bench: Bench, load: Local, implementation: Implementation, count: int) -> list[str]:
    command = [*bench.program(implementation), load.workload, *load.options, *implementation.options]
    if count:
        command += ["--count", str(count)]
    if load.files:
        command += bench.places.options(load)
    cpu, _ = machine.processors()
    return processes.pinned(cpu, command) if load.pinned else command


def shortened(load: Local) -> int:
    """The count of a quick run. Of timers there are as many as the row says."""
    return load.count if load.workload.startswith("timers") else int(load.count * QUICK_SHARE)


def local_sample(bench: Bench, load: Local, implementation: Implementation) -> Figures:
    if implementation.program == CP.program:
        return bench.places.cp(load, bench.program(implementation))
    count = shortened(load) if bench.quick else load.count
    command = local_command(bench, load, implementation, count)
    found = processes.run_json(command, processes.environment_of(implementation), LOCAL_TIMEOUT)
    bench.places.forget_copy(load)
    figures = {LOCAL_NAMES.get(name, name): float(value) for name, value in found.items()}
    return figures | {"rate": 1e9 / figures["wall"] if figures["wall"] else 0}


# ---- memory of idle connections ----


IDLE_SECONDS = 0.5


def private_memory(pid: int) -> tuple[float, float]:
    """Bytes that are the process's alone, and bytes resident."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kib = dict(re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE))
    return 1024 * (float(kib["Private_Dirty"]) + float(kib["Private_Clean"])), 1024 * float(kib["Rss"])


def wake_ups(pid: int) -> int:
    """How often the process has gone to sleep so far."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[0])


def look_at(pid: int, idle: bool) -> tuple[float, float, float]:
    """The memory of an idle server, and its wake-ups per second if the row asks for them."""
    time.sleep(0.1)
    before = wake_ups(pid)
    time.sleep(IDLE_SECONDS if idle else 0)
    return (*private_memory(pid), (wake_ups(pid) - before) / IDLE_SECONDS)


def held(bench: Bench, server: Server, connections: int, touch: bool) -> tuple[float, float, float]:
    """What is seen of the server while a client holds that many connections."""
    command = [str(bench.programs / "load"), server.address, "--hold", str(connections)]
    command = processes.pinned(machine.processors()[1], [*command, *(["--touch"] if touch else [])])
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert holder.stdin and holder.stdout
    try:
        if not processes.read_line(holder.stdout, 30).startswith("holding"):
            raise Failed(f"{' '.join(command)} did not get its connections")
        seen = look_at(server.pid, connections > FIRST_CONNECTIONS and not touch)
        holder.stdin.write(b"\n")
        holder.stdin.close()
        holder.wait(10)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    return seen


FIRST_CONNECTIONS = 8  # before the first look, so that code and tables which are there once are not counted


def memory_sample(bench: Bench, load: Memory, implementation: Implementation) -> Figures:
    """Bytes for one connection: untouched, and after an echo on each."""
    found: Figures = {}
    for name, touch in (("idle", False), ("touched", True)):
        with server_of(bench, load, implementation, ()) as server:
            held(bench, server, FIRST_CONNECTIONS, touch)
            before = private_memory(server.pid)
            during = held(bench, server, load.connections, touch)
        found[name] = (during[0] - before[0]) / load.connections
        found[f"{name}_resident"] = (during[1] - before[1]) / load.connections
        found.setdefault("wake_ups", during[2])
    return found


# ---- system calls ----


def calls_between(runs: list[tuple[int, float]]) -> float:
    """What the longer run had more than the shorter one: what was before and after the operations is in both."""
    (calls_a, operations_a), (calls_b, operations_b) = runs
    return max(0.0, (calls_b - calls_a) / max(1.0, operations_b - operations_a))


def counted_run(bench: Bench, load: Stream | Local, implementation: Implementation, longer: bool) -> tuple[int, float]:
    """System calls and operations of a run under perf or strace."""
    log = bench.work / "calls"
    wrapper = (*bench.counter, str(log))
    if isinstance(load, Stream):
        load = replace(load, seconds=CALLS_SECONDS[longer], warmup=0)
        found = drive(bench, load, implementation, wrapper)
    else:
        part = shortened(load) // (4 if bench.counter == processes.PERF else 400)  # strace makes each call take long
        command = local_command(bench, load, implementation, 2 * part if longer else part)
        environment = processes.environment_of(implementation)
        found = processes.run_json([*wrapper, *command], environment, LOCAL_TIMEOUT)
    return processes.counted(log.read_text()), float(found["operations"])


def is_counted(bench: Bench, row: Row) -> bool:
    """In a quick run only where a row stands for many."""
    load = row.load
    stands = not isinstance(load, Stream) or (load.connections, load.size, load.pipeline) == (100, 64, 1)
    return bool(bench.counter) and row.calls and (stands or not bench.quick)


def count_calls(bench: Bench, row: Row, implementation: Implementation) -> float | None:
    load = row.load
    if isinstance(load, (Memory, Demo)) or implementation.program == CP.program or not is_counted(bench, row):
        return None
    try:
        calls = calls_between([counted_run(bench, load, implementation, longer) for longer in (False, True)])
        return calls / (1 + LOCAL_WARMUP) if isinstance(load, Local) else calls
    except (Failed, Missing, OSError, ValueError):
        return None


# ---- whole programs ----

COMMANDS = Path(__file__).resolve().parents[1]


def demo_round(bench: Bench, row: Row, load: Demo, samples: Samples) -> None:
    """A sample of each that is installed: their command measures all of them."""
    command = [str(COMMANDS / load.command), *load.arguments()]
    found = processes.run_json(command, dict(os.environ), 60 + 10 * load.seconds)
    for implementation in row.implementations:
        if implementation.program in found:
            samples.setdefault(implementation.name, []).append(Sample(found[implementation.program], 0))


def measure_demo(bench: Bench, row: Row, load: Demo) -> Samples:
    samples: Samples = {}
    try:
        for _ in range(bench.rounds_of(row)):
            demo_round(bench, row, load, samples)
    except (Failed, OSError) as problem:
        bench.problems.append(f"{row.key}: {problem}")
    return samples


# ---- rounds ----


def sample(bench: Bench, load: Load, implementation: Implementation) -> Figures:
    match load:
        case Stream():
            return stream_sample(bench, load, implementation)
        case Local():
            return local_sample(bench, load, implementation)
        case Memory():
            return memory_sample(bench, load, implementation)
        case Demo():
            raise TypeError("its command measures all of them")


def probe(bench: Bench, load: Load) -> float:
    """How far apart the processors are; 0 for loads that use but one."""
    if isinstance(load, Memory) or (isinstance(load, Local) and load.pinned):
        return 0
    found = machine.bounce(bench.programs)
    bench.nearest = min(bench.nearest or found, found)
    return found


def one_round(bench: Bench, row: Row, among: list[Implementation], samples: Samples) -> None:
    """A sample of each; who fails or has no such workload is not asked again."""
    for implementation in list(among):
        try:
            bounce = probe(bench, row.load)
            samples.setdefault(implementation.name, []).append(
                Sample(sample(bench, row.load, implementation), bounce)
            )
        except Missing:
            among.remove(implementation)
        except (Failed, OSError) as problem:
            bench.problems.append(f"{row.key}: {problem}")
            among.remove(implementation)


def near(bench: Bench, samples: list[Sample]) -> list[Sample]:
    """Those taken while the processors were near each other, when there are two of them; else all."""
    found = [one for one in samples if one.bounce <= machine.FAR * bench.nearest]
    return found if len(found) >= min(2, len(samples)) else samples


def lacking(bench: Bench, among: list[Implementation], samples: Samples) -> list[Implementation]:
    """Those of whose samples less than half, or less than two, were taken with the processors near each other."""

    def is_lacking(taken: list[Sample]) -> bool:
        n_near = sum(one.bounce <= machine.FAR * bench.nearest for one in taken)
        return n_near < max(min(2, len(taken)), len(taken) / 2)

    return [one for one in among if is_lacking(samples[one.name])]


def measure(bench: Bench, row: Row) -> Samples:
    """All rounds of a row, and in its tables up to two more for those whom the placement spoiled too many samples."""
    if isinstance(row.load, Demo):
        return measure_demo(bench, row, row.load)
    among = list(row.implementations)
    samples: Samples = {}
    for _ in range(bench.rounds_of(row)):
        one_round(bench, row, among, samples)
    if not row.point_only:
        again(bench, row, among, samples)
    return samples


def again(bench: Bench, row: Row, among: list[Implementation], samples: Samples) -> None:
    """Two more rounds for those whose samples are lacking, as long as there is time."""
    for _ in range(2):
        spoiled = lacking(bench, among, samples)
        if spoiled and bench.spare > 0:
            began = time.monotonic()
            one_round(bench, row, spoiled, samples)
            bench.spare -= time.monotonic() - began


# ---- the budget ----


def around(load: Load) -> float:
    """Seconds for starting, connecting and stopping."""
    return START_SECONDS + CONNECT_SECONDS * load.connections if isinstance(load, Stream) else 0


def sample_seconds(bench: Bench, load: Load) -> float:
    if isinstance(load, Stream):
        load = quickly(load) if bench.quick else load
        return load.seconds + load.warmup + around(load)
    is_shorter = bench.quick and isinstance(load, Local) and (shortened(load) < load.count or load.files)
    return load.seconds * (QUICK_SHARE if is_shorter else 1)


def seconds_of(bench: Bench, row: Row) -> float:
    """What a row will take, by the data in rows.py."""
    if isinstance(row.load, Demo):
        return bench.rounds_of(row) * row.load.seconds
    each = bench.rounds_of(row) * sample_seconds(bench, row.load)
    if is_counted(bench, row):
        calls = sum(CALLS_SECONDS) + 2 * around(row.load)
        each += calls if isinstance(row.load, Stream) else 0.75 * QUICK_SHARE * row.load.seconds
    return each * len(row.implementations)
