# SPDX-License-Identifier: ISC
"""Describes the machine: the processors in use and their distance, the file systems, and what the report states about
the machine."""

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from rows import CALL_NS, DEAR

CHANGED = " with changes"
FAR = 3.0  # times the best that was seen: the host has put the two processors far apart


def processors() -> tuple[int, int]:
    """The server's and the client's; the same one where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[min(1, len(allowed) - 1)]


def raise_descriptor_limit() -> int:
    """As many descriptors as may be; those who are started inherit that."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def bounce(programs: Path) -> float:
    """Nanoseconds for a cache line to go from one processor to the other and back; 0 where there is only one."""
    server, client = processors()
    if server == client:
        return 0
    command = [str(programs / "bounce"), str(server), str(client)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=20).stdout)["bounce_ns"]


# ---- what a system call costs ----


@dataclass
class Price:
    """Of a system call, as it is and with the addition, and the instructions of the filter that adds it."""

    call_ns: float
    dear_call_ns: float
    instructions: int

    def text(self) -> str:
        dear = f"; {self.dear_call_ns:.0f} ns in the rows with {DEAR}" if self.instructions else ""
        return f"{self.call_ns:.0f} ns{dear}"


def price(programs: Path) -> Price:
    """Where the kernel has no seccomp filters, there is no addition."""
    command = ["taskset", "-c", str(processors()[0]), str(programs / "dear")]
    for wanted in (CALL_NS, 0):
        done = subprocess.run([*command, str(wanted)], capture_output=True, text=True, timeout=20)
        if done.returncode == 0:
            break
        print(done.stderr.strip(), file=sys.stderr)
    done.check_returncode()
    return Price(**json.loads(done.stdout))


# ---- file systems ----


def file_system(directory: Path) -> str:
    """The type of the file system that a directory is on: of the longest mount point above it."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, found, *_ = line.split()
        prefix = mount.rstrip("/") + "/"
        if f"{directory.resolve()}/".startswith(prefix) and len(prefix) >= len(best):
            best, kind = prefix, found
    return kind


def has_room(directory: Path, size: int) -> bool:
    return directory.is_dir() and os.access(directory, os.W_OK) and shutil.disk_usage(directory).free > size


def memory_directory(size: int) -> Path | None:
    """A directory on a tmpfs with room for that much."""
    candidates = ("/dev/shm", os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/run")
    for name in filter(None, candidates):
        if file_system(Path(name)) == "tmpfs" and has_room(Path(name), size):
            return Path(name)
    return None


# ---- the description of the machine ----


def output_of(*command: str) -> str:
    """The first line that a command writes, or nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().split("\n")[0]


def processor_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "Linux"


def package_version(name: str, pkg_config: str = "") -> str:
    """By pkg-config where there is a file for it, else what dpkg says, without the distribution's additions."""
    version = output_of("pkg-config", "--modversion", pkg_config) if pkg_config else ""
    if not version:
        version = output_of("dpkg-query", "-W", "-f=${Version}", name)
        version = version.split(":")[-1].split("-")[0]
    return version or "unknown"


def commit(root: Path) -> str:
    """Of what was measured; what else has changed in the tree doesn't matter."""
    name = output_of("git", "-C", str(root), "rev-parse", "--short", "HEAD")
    changed = output_of("git", "-C", str(root), "status", "--porcelain", "--", "loop", "net", "tests/bench")
    return (name or "unknown") + (CHANGED if changed else "")


def versions(root: Path) -> dict[str, str]:
    return {
        "Noria": commit(root),
        "liburing": package_version("liburing-dev", "liburing"),
        "libuv": package_version("libuv1-dev", "libuv"),
        "libevent": package_version("libevent-dev", "libevent"),
        "libev": package_version("libev-dev"),
        "compiler": output_of("cc", "--version"),
        "gnuplot": output_of("gnuplot", "--version").removeprefix("gnuplot "),
    }


def congestion_control() -> str:
    try:
        return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    except OSError:
        return "unknown"


def origin(about: dict[str, str], run: str) -> str:
    """What was measured, where and how. Of a tree with changes nothing tells that two runs measured the same."""
    told = [f"Noria {about['Noria']}", about["how"], about["processors"], about["kernel"]]
    return "; ".join([*told, run] if about["Noria"].endswith(CHANGED) else told)


def describe(root: Path, paid: Price) -> dict[str, str]:
    """Everything that a reader needs to know beside the figures."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "system call": paid.text(),
        "processors": f"{len(os.sched_getaffinity(0))} × {processor_name()}",
        "kernel": f"Linux {platform.release()}",
        "distribution": distribution(),
        "TCP congestion control": congestion_control(),
        **versions(root),
    }
