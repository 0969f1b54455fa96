# SPDX-License-Identifier: ISC
"""The files that the benchmark reads and copies: their directories and file systems, and cp as one of the programs.

The programs create the file that they read if it does not exist. All files are removed at the end.
"""

import shutil
import tempfile
from pathlib import Path

import machine
import processes
from rows import COPY_BLOCK, COPY_BYTES, QUICK_BYTES, Local


class Places:
    """A directory on the disk (where the build tree is) and one in memory (a tmpfs), inside a `with`. One that has no
    room is missing."""

    def __init__(self, build: Path, quick: bool):
        self.quick = quick
        wanted = 3 * (QUICK_BYTES if quick else COPY_BYTES)
        roots = {"disk": build if machine.has_room(build, wanted) else None, "memory": machine.memory_directory(wanted)}
        self.roots = {name: root for name, root in roots.items() if root}
        self.kinds = {name: machine.file_system(root) for name, root in self.roots.items()}
        self.directories: dict[str, Path] = {}

    def __enter__(self) -> "Places":
        for name, root in self.roots.items():
            self.directories[name] = Path(tempfile.mkdtemp(prefix="noria-bench-", dir=root))
        return self

    def __exit__(self, *exception: object) -> None:
        for directory in self.directories.values():
            shutil.rmtree(directory, ignore_errors=True)

    def size(self, load: Local) -> int:
        return min(load.file_bytes, QUICK_BYTES) if self.quick else load.file_bytes

    def source(self, load: Local) -> Path:
        return self.directories[load.files] / f"from-{self.size(load)}"

    def target(self, load: Local) -> Path:
        return self.directories[load.files] / "to"

    def options(self, load: Local) -> list[str]:
        """The arguments that name the files for a program."""
        options = ["--file", str(self.source(load)), "--file-size", str(self.size(load))]
        return [*options, "--to", str(self.target(load))] if load.workload == "copy" else options

    def forget_copy(self, load: Local) -> None:
        """Every copy begins without its target, and none leaves its pages to be written out during the next."""
        if load.files:
            self.target(load).unlink(missing_ok=True)

    def cp(self, load: Local, program: list[str]) -> processes.Figures:
        """The same copy by cp of the coreutils."""
        if not self.source(load).exists():
            raise processes.Missing  # the implementation before it did not create it
        wall, cpu = processes.run_timed([*program, str(self.source(load)), str(self.target(load))])
        self.forget_copy(load)
        blocks = self.size(load) / COPY_BLOCK
        return {"wall": 1e9 * wall / blocks, "cpu": 1e9 * cpu / blocks, "rate": blocks / wall}
