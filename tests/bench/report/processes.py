# SPDX-License-Identifier: ISC
"""Runs programs: servers, which are always stopped, programs that print one line of JSON, cp, and the count of system
calls."""

import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

from rows import Implementation

Figures = dict[str, float]


class Failed(Exception):
    """A program did not do what it should."""


class Missing(Exception):
    """An implementation has no such workload."""


NO_SUCH_WORKLOAD = 3  # the status of a program of local_* for that


def environment_of(implementation: Implementation) -> dict[str, str]:
    """The environment of an implementation, without the loop's variables of the calling shell."""
    kept = {name: value for name, value in os.environ.items() if name not in ("LOOP_BACKEND", "NORIA_HARD")}
    return kept | dict(implementation.environment)


def pinned(cpu: int, command: list[str]) -> list[str]:
    return ["taskset", "-c", str(cpu), *command]


# ---- servers ----


def read_line(stream: IO[bytes], seconds: float) -> str:
    """One line of a process, or as much of it as came in that time."""
    until = time.monotonic() + seconds
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0, until - time.monotonic()))
        byte = os.read(stream.fileno(), 1) if ready else b""
        if not byte:
            break
        line += byte
    return line.decode().strip()


class Server:
    """A server that runs inside a `with`, on one processor. `wrapper` runs it, where system calls are counted."""

    def __init__(self, command: list[str], environment: dict[str, str], cpu: int, wrapper: tuple[str, ...] = ()):
        self.command = command
        self.wrapped = bool(wrapper)
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*wrapper, *pinned(cpu, command)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )

    def __enter__(self) -> "Server":
        try:
            assert self.process.stdout
            line = read_line(self.process.stdout, 10)
            if not line.startswith("listening on "):
                raise Failed(f"{' '.join(self.command)} said '{line or self.complaint()}' instead of where it listens")
            self.address = line.split()[2]
            self.pid = self.child() if self.wrapped else self.process.pid
        except BaseException:
            self.end()
            raise
        return self

    def complaint(self) -> str:
        """The end of what it wrote on its standard error."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").strip().split("\n")[-1]

    def child(self) -> int:
        """The server, where the process that was started is the one that counts its system calls."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def __exit__(self, *exception: object) -> None:
        self.end()

    def end(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
        self.errors.close()

    def signal(self, number: int) -> None:
        """To the server itself, if it can be told; who counts its system calls ends with it."""
        pid = self.process.pid
        try:
            pid = self.child() if self.wrapped else pid
            os.kill(pid, number)
        except (OSError, IndexError):
            self.process.send_signal(number)


# ---- programs that measure ----


def run_json(command: list[str], environment: dict[str, str], seconds: float) -> Figures:
    """The object that a program prints as its last line. It is killed after that time."""
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as expired:
        raise Failed(f"{' '.join(command)} did not end within {seconds:.0f} s") from expired
    if done.returncode == NO_SUCH_WORKLOAD:
        raise Missing
    lines = done.stdout.strip().split("\n")
    if done.returncode != 0 or not lines[-1].startswith("{"):
        said = (done.stderr.strip() or done.stdout.strip()).split("\n")[-1]
        raise Failed(f"{' '.join(command)} ended with status {done.returncode}: {said}")
    return json.loads(lines[-1])


def run_timed(command: list[str]) -> tuple[float, float]:
    """Seconds of wall and of processor time that a program takes."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        process.kill()
        raise
    wall = time.monotonic() - began
    if process.returncode:
        raise Failed(f"{' '.join(command)} ended with status {process.returncode}")
    return wall, usage.ru_utime + usage.ru_stime


# ---- system calls ----

PERF = ("perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o")
STRACE = ("strace", "-c", "-f", "-o")


def works(wrapper: tuple[str, ...]) -> bool:
    """Can this count the system calls of a program here?"""
    with tempfile.NamedTemporaryFile("r") as log:
        try:
            command = [*wrapper, log.name, "true"]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
        except OSError:
            return False
        return done.returncode == 0 and counted(log.read()) > 0


def counter() -> tuple[str, ...]:
    """perf, which hardly disturbs what it counts, where it may; else strace; else nothing."""
    return next((wrapper for wrapper in (PERF, STRACE) if works(wrapper)), ())


def counted(log: str) -> int:
    """How many system calls the log of perf or strace tells of."""
    perf = re.search(r"^(\d+),.*raw_syscalls:sys_enter", log, re.MULTILINE)
    strace = re.search(r"^100\.00\s+\S+\s+\S+\s+(\d+)\s+(?:\d+\s+)?total$", log, re.MULTILINE)
    found = perf or strace
    return int(found.group(1)) if found else 0
