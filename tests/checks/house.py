# SPDX-License-Identifier: ISC
"""The rules of the house, and its drawing.

house.py check BUILD-DIR   checks every rule; the objects of that build show which file calls which. Prints each
                           violation, then a line with the number of rules and of broken rules
house.py draw BUILD-DIR    writes docs/house.svg: the rooms, their files, and the dependencies between rooms

A room is a folder of the library. A file may include and call only what its own room and the rooms that USES lists
for it contain. Every file may include public headers, which include only public headers themselves.
"""

import collections
import functools
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DRAWING = "docs/house.svg"

MOST_LINES = 550  # of a source
MOST_FUNCTION_LINES = 40
MOST_COLUMNS = 120
MOST_SOURCES = 15  # in a folder
STUMP_COLUMNS = 40  # a shorter line in the middle of a paragraph is one

KERNEL = "loop/kernel/simulated"  # has rooms of its own

# What each room may use beside itself, from the ground up.
BELOW_CORE = ("loop/kernel", "loop/ground")
USES = {
    "loop/kernel": (),
    "loop/ground": ("loop/kernel",),
    "loop/core": BELOW_CORE,
    "loop/event": (*BELOW_CORE, "loop/core"),
    "loop/syscall": (*BELOW_CORE, "loop/core", "loop/event"),
    "loop/turn": (*BELOW_CORE, "loop/core", "loop/event", "loop/syscall"),
    "loop/backend": (*BELOW_CORE, "loop/core", "loop/event", "loop/syscall", "loop/turn"),
    "loop/low_level": (*BELOW_CORE, "loop/core", "loop/event", "loop/syscall"),
    "loop/flow": (*BELOW_CORE, "loop/core", "loop/event", "loop/syscall", "loop/low_level"),
    "loop/run": (*BELOW_CORE, "loop/core", "loop/event", "loop/syscall", "loop/turn", "loop/backend",
                 "loop/low_level", "loop/flow"),
    "domain": BELOW_CORE,
    "net": (*BELOW_CORE, "domain"),
    "net/tls": BELOW_CORE,
    "net/names": BELOW_CORE,
    "fs": BELOW_CORE,
    "process": BELOW_CORE,
    "sync": BELOW_CORE,
    "service": (*BELOW_CORE, "net"),
    f"{KERNEL}/machine": BELOW_CORE,
    f"{KERNEL}/object": (*BELOW_CORE, f"{KERNEL}/machine"),
    f"{KERNEL}/disk": (*BELOW_CORE, f"{KERNEL}/machine", f"{KERNEL}/object"),
    f"{KERNEL}/network": (*BELOW_CORE, f"{KERNEL}/machine", f"{KERNEL}/object", f"{KERNEL}/disk"),
    f"{KERNEL}/ring": (*BELOW_CORE, f"{KERNEL}/machine", f"{KERNEL}/object", f"{KERNEL}/disk", f"{KERNEL}/network"),
    "loop/simulation": (*BELOW_CORE, "loop/run", f"{KERNEL}/machine", f"{KERNEL}/object", f"{KERNEL}/disk",
                        f"{KERNEL}/network", f"{KERNEL}/ring"),
}
# These call the loop by its public headers alone; which room defines such a function is not their affair. net/tls/ and
# net/names/ are libraries of their own, and net/names/ calls net/ in the same way.
OUTSIDE = ("domain", "net", "net/tls", "net/names", "fs", "process", "sync", "service")
PUBLIC_CALLS = {"net/names": ("loop/", "net")}
# The sources of the libraries.
PARTS = [line for line in (ROOT / "tests/parts").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
LIBRARY = tuple(f"{top}/**/*.[ch]" for top in PARTS)
# Where the loop fills in a struct of another part.
ALLOWED = {("loop/run/env.c", "fs/fs.h")}

# Built where there is no c-ares.
ELSEWHERE = {"net/names/system.c"}


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def tracked(*patterns):
    found = []
    for pattern in patterns:
        found += [str(path.relative_to(ROOT)) for path in ROOT.glob(pattern)]
    return sorted(path for path in found if not path.startswith("build/"))


@functools.cache
def sources_of_library():
    return tracked(*LIBRARY)


@functools.cache
def public_headers():
    lists = re.findall(r"set\(noria_(?:tls_|adapter_)?headers\n(.*?)\)", read("CMakeLists.txt"), re.DOTALL)
    return [header for listed in lists for header in listed.split()]


def room_of(path):
    """The room that a file stands in; None for a public header."""
    if path in public_headers():
        return None
    parts = path.split("/")
    if path.startswith(KERNEL):
        return "/".join(parts[:4])
    return "/".join(parts[:2]) if parts[0] == "loop" or "/".join(parts[:2]) in OUTSIDE else parts[0]


def is_simulated(path):
    """Whether its object is only in the build on the simulated kernel."""
    return path.startswith((KERNEL, "loop/simulation/"))


@functools.cache
def includes():
    """(file, header) for each inclusion of a header of the project."""
    known = set(sources_of_library())
    return [(path, header) for path in sorted(known)
            for header in re.findall(r'#include [<"]([^>"]+)[>"]', read(path)) if header in known]


@functools.cache
def calls(build):
    """(file, file): names that the object of the first takes from the object of the second."""
    objects = pathlib.Path(build) / "CMakeFiles"
    defined, wanted, built = {}, collections.defaultdict(set), set()
    for path in objects.glob("noria_*objects.dir/**/*.o"):
        target, _, source = str(path.relative_to(objects))[:-2].partition("/")
        # Without what an older build left, and each source once.
        if (source not in sources_of_library() or "lto" in target or target == "noria_names_simulated_objects.dir" or
                is_simulated(source) != (target == "noria_simulated_objects.dir")):
            continue
        if path.stat().st_mtime > (ROOT / source).stat().st_mtime:
            built.add(source)
        listing = subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout
        for line in listing.splitlines():
            *_, kind, name = line.split()
            if kind in "TDBRVW" and name.startswith("loop_"):
                defined[name] = source
            elif kind in "Uw":
                wanted[source].add(name)
    if missing := {path for path in sources_of_library() if path.endswith(".c")} - built - ELSEWHERE:
        sys.exit(f"house: {build} has no object, or an old one, of {', '.join(sorted(missing))}: build it first")
    found = collections.defaultdict(set)
    for source, names in wanted.items():
        for name in names & defined.keys():
            if defined[name] != source:
                found[source, defined[name]].add(name)
    return found


def may_use(user, used, is_call):
    room, other = room_of(user), room_of(used)
    if other is None or room == other or (user, used) in ALLOWED:
        return True
    if room is None:
        return False
    return other in USES[room] or (is_call and room in OUTSIDE and other.startswith(PUBLIC_CALLS.get(room, "loop/")))


# ---- the rules: each yields its breaches ----


def climbing_includes(_build):
    for user, used in includes():
        if not may_use(user, used, False):
            yield f"{user} includes {used}"


def climbing_calls(build):
    for (user, used), names in calls(build).items():
        if not may_use(user, used, True):
            yield f"{user} calls {used}: {' '.join(sorted(names))}"


def circles_of(edges):
    """The strongly connected components of more than one node."""
    after = collections.defaultdict(set)
    for user, used in edges:
        if user != used:
            after[user].add(used)
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(after[node]):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            members = [stack.pop()]
            while members[-1] != node:
                members.append(stack.pop())
            if len(members) > 1:
                found.append(sorted(members))

    sys.setrecursionlimit(10000)
    for node in sorted(after):
        if node not in index:
            visit(node)
    return found


def circles(build):
    """A source and the header of its name are one: what either needs, both do."""
    edges = {*includes(), *calls(build)} - ALLOWED
    for members in circles_of((user[:-2], used[:-2]) for user, used in edges):
        yield "a circle: " + " ".join(members)


def demo_circles(_build):
    known = tracked("demos/**/*.[ch]")
    edges = []
    for path in known:
        for header in re.findall(r'#include [<"]([^>"]+)[>"]', read(path)):
            used = [other for other in known if other.endswith("/" + header)]
            edges += [(path[:-2], other[:-2]) for other in used]
    for members in circles_of(edges):
        yield "a circle: " + " ".join(members)


def full_folders(_build):
    count = collections.Counter(path.rsplit("/", 1)[0] for path in sources_of_library() if path.endswith(".c"))
    for folder, n in count.items():
        if n > MOST_SOURCES:
            yield f"{folder} has {n} sources"
    for path in sources_of_library():
        if path.startswith("loop/") and path.count("/") == 1 and path not in public_headers():
            yield f"{path} stands beside the public headers"


def long_sources(_build):
    for path in tracked(*LIBRARY, "demos/**/*.[ch]", "tests/bench/**/*.[ch]"):
        n = read(path).count("\n")
        if n > MOST_LINES:
            yield f"{path} has {n} lines"


def long_functions(_build):
    for path in tracked(*LIBRARY, "demos/**/*.[ch]"):
        begin = None
        for number, line in enumerate(read(path).splitlines(), 1):
            if line == "{":
                begin = number
            elif line == "}" and begin:
                if number - begin - 1 > MOST_FUNCTION_LINES:
                    yield f"{path}:{begin}: a function of {number - begin - 1} lines"
                begin = None


def is_table(line):
    return line.lstrip().startswith("|") or "](" in line or line.startswith("```")


def long_lines(_build):
    for path in tracked(*LIBRARY, "demos/**/*.[ch]", "tests/**/*.[ch]",
                        "tests/**/*.py", "docs/**/*.[ch]", "docs/*.md", "*.md"):
        for number, line in enumerate(read(path).splitlines(), 1):
            if len(line) > MOST_COLUMNS and not (path.endswith(".md") and is_table(line)):
                yield f"{path}:{number}: {len(line)} columns"


COMMENT = re.compile(r"^[ \t]*/\*.*?\*/", re.DOTALL | re.MULTILINE)


def stumps_of(comment):
    lines = [line.strip() for line in comment.split("\n")]
    if len(lines) > 1 and lines[-1] == "*/" and not lines[0] in ("/*", "/**") and "SPDX" not in lines[0]:
        yield len(lines) - 1
    for at in range(1, len(lines) - 1):
        text, after = lines[at][1:].strip(), lines[at + 1][1:].strip()
        is_prose = re.match(r"\w", text) and re.match(r"[a-z(`]", after) and not re.search(r"[.:;,]$", text)
        if is_prose and len(text) < STUMP_COLUMNS and lines[at][1:3].strip() and lines[at + 1][1:3] != "  ":
            yield at


def stumps(_build):
    for path in sources_of_library():
        text = read(path)
        for comment in COMMENT.finditer(text):
            for at in stumps_of(comment.group(0)):
                yield f"{path}:{text.count(chr(10), 0, comment.start()) + at + 1}: a stump of a comment"


def uncommented_functions(_build):
    for path in public_headers():
        lines = read(path).splitlines()
        for number, line in enumerate(lines):
            if line.startswith("LOOP_API ") and not lines[number - 1].endswith("*/"):
                yield f"{path}:{number + 1}: no comment of its own: {line}"


def blank_lines(_build):
    for path in tracked(*LIBRARY, "demos/**/*.[ch]", "tests/**/*.[ch]"):
        text = read(path)
        for pattern, what in ((r"\n\n\n", "two blank lines"), (r"\{\n\n", "a blank line that begins a block"),
                              (r"\n\n *\}", "a blank line that ends a block"), (r"[ \t]\n", "a space that ends a line"),
                              (r"\n}\n(?=[^\n#}])", "no blank line after a function")):
            for breach in re.finditer(pattern, text):
                yield f"{path}:{text.count(chr(10), 0, breach.start()) + 1}: {what}"
        if not text.endswith("\n") or text.endswith("\n\n"):
            yield f"{path}: does not end with one newline"


def old_drawing(build):
    if read(DRAWING) != drawing(build):
        yield f"{DRAWING} is not what `tests/checks/house.py draw` makes of the sources"


RULES = {
    "no include climbs": climbing_includes,
    "no call climbs": climbing_calls,
    "no circle of files": circles,
    "no circle of files in demos/": demo_circles,
    f"no folder of more than {MOST_SOURCES} sources": full_folders,
    f"no source of more than {MOST_LINES} lines": long_sources,
    f"no function of more than {MOST_FUNCTION_LINES} lines": long_functions,
    f"no line of more than {MOST_COLUMNS} columns": long_lines,
    "no stump of a comment": stumps,
    "every public function has a comment of its own": uncommented_functions,
    "one style of blank lines": blank_lines,
    "the drawing is that of the sources": old_drawing,
}

# ---- the drawing ----

WIDTH, MARGIN, GAP, LINE = 1180, 20, 34, 17

# Where each room stands: rows from the roof down.
ROWS = (
    ("loop/simulation",),
    ("net/tls", "net/names"),
    ("service",),
    ("net", "fs", "process", "sync"),
    ("domain",),
    ("loop/run",),
    ("loop/backend", "loop/flow"),
    ("loop/turn", "loop/low_level"),
    ("loop/syscall",),
    ("loop/event",),
    ("loop/core",),
    ("loop/ground", "loop/kernel"),
    (f"{KERNEL}/ring", f"{KERNEL}/network"),
    (f"{KERNEL}/disk", f"{KERNEL}/object"),
    (f"{KERNEL}/machine",),
)
WHAT = {
    "net/tls": "TLS by OpenSSL, a library of its own",
    "net/names": "names of hosts, and connecting by name, a library of its own",
    "net": "sockets, addresses, datagrams, by the public headers",
    "domain": "many loops: threads, calls, descriptors that move, by the public headers",
    "fs": "directories and files, by the public headers",
    "process": "child processes, by the public headers",
    "service": "managers and successors",
    "sync": "channels, groups of jobs, pools, by the public headers",
    "loop/run": "a loop from beginning to end, what a program is given, dumps and traces",
    "loop/backend": "how an operation reaches the kernel: uring/ and epoll/",
    "loop/flow": "sources and sinks, streams, copies, readers, writers",
    "loop/turn": "one turn, and spinning before sleep",
    "loop/low_level": "the operations of the ring by name",
    "loop/syscall": "operations done by system calls, and the threads for those that block",
    "loop/event": "timers, posts, signals, promises, waits",
    "loop/core": "jobs, scopes, descriptors, the region; what completes, cancels, closes and resumes",
    "loop/ground": "lists, slabs, the wheel, the clock",
    "loop/kernel": "the door: every call into the system",
    f"{KERNEL}/machine": "another system behind the door: worlds, virtual time, threads, choices",
    f"{KERNEL}/object": "descriptors, pipes, epoll, signals",
    f"{KERNEL}/disk": "files, and what a crash keeps",
    f"{KERNEL}/network": "sockets, and links between nodes",
    f"{KERNEL}/ring": "io_uring",
    "loop/simulation": "worlds, runs, searches and traces, for programs under test",
}


def wrapped(words, width):
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def room_lines(room, width):
    stems = []
    for path in sources_of_library():
        if room_of(path) == room and path.endswith((".c", ".h")):
            stem = path[len(room) + 1:-2]
            if stem not in stems:
                stems.append(stem)
    return wrapped(stems, int(width / 6.9) - 4)


def used_rooms(build):
    """room -> the rooms that it uses, by an include or a call."""
    found = collections.defaultdict(set)
    for user, used in [*includes(), *calls(build)]:
        room, other = room_of(user), room_of(used)
        if room and other and room != other and (user, used) not in ALLOWED:
            found[room].add(other)
    for room in OUTSIDE:
        found[room] = {other for other in found[room] if other in USES[room]} | {"loop/*.h"}
    return found


def drawn_room(room, left, top, width, uses):
    files, names = room_lines(room, width), sorted(name.removeprefix("loop/") for name in uses)
    height = LINE * (len(files) + 3) + 14
    parts = [f'<rect class="room" x="{left}" y="{top}" width="{width}" height="{height}"/>',
             f'<text class="name" x="{left + 12}" y="{top + 22}">{room}/</text>',
             f'<text class="what" x="{left + max(130, 24 + 8 * len(room))}" y="{top + 22}">{WHAT[room]}</text>']
    parts += [f'<text class="file" x="{left + 12}" y="{top + 22 + LINE * (at + 1)}">{line}</text>'
              for at, line in enumerate(files)]
    said = "uses " + (", ".join(names) or "nothing")
    parts.append(f'<text class="uses" x="{left + 12}" y="{top + height - 10}">{said}</text>')
    return parts, height


def drawing(build):
    uses, parts, top = used_rooms(build), [], MARGIN
    for row in ROWS:
        width = (WIDTH - 2 * MARGIN - GAP * (len(row) - 1)) // len(row)
        tallest = 0
        for at, room in enumerate(row):
            drawn, height = drawn_room(room, MARGIN + at * (width + GAP), top, width, uses[room])
            parts += drawn
            tallest = max(tallest, height)
        top += tallest + 14
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"',
            '     role="img" aria-label="The rooms of Noria, from the roof down, with their files and what they use">',
            "<!-- made by tests/checks/house.py draw -->",
            "<style>",
            "  .room { fill: #f4f1ea; stroke: #333; } text { fill: #111; font-family: sans-serif; font-size: 12px; }",
            "  .name { font-weight: bold; font-size: 14px; } .what { fill: #444; }",
            "  .file { font-family: monospace; font-size: 11px; } .uses { fill: #7a4b00; }",
            "</style>",
            f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>']
    return "\n".join([*head, *parts, "</svg>", ""])


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("check", "draw"):
        sys.exit(__doc__)
    build = sys.argv[2]
    if sys.argv[1] == "draw":
        (ROOT / DRAWING).write_text(drawing(build), encoding="utf-8")
        return
    failed = 0
    for rule, look in RULES.items():
        breaches = list(look(build))
        failed += bool(breaches)
        if breaches:
            print(f"FAILED: {rule}: {len(breaches)}", *breaches, sep="\n    ")
    print(f"house: checks={len(RULES)} failed={failed}")
    sys.exit(failed > 0)


main()
