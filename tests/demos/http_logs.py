# SPDX-License-Identifier: ISC
"""Cases of http_peers.py about the access log of the demo httpd."""
import fcntl
import os
import re
import signal
import struct
import subprocess
import tempfile
import termios

from http_site import NEXT, ask, serving, statuses
from peers import expect, wait_until


def lines_of(path):
    with open(path, encoding="ascii") as file:
        return file.read().splitlines()


def log(command):
    with tempfile.TemporaryDirectory() as other:
        path = other + "/log"
        with serving(command, "--access-log", path) as (server, _):
            ask(server, b'GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /x"\\ HTTP/1.0\r\n\r\n')
            ask(server, b"garbage\r\n\r\n")
            ask(server, b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_until(lambda: len(lines_of(path)) == 4)
            start = r'^127\.0\.0\.1 - - \[\d\d/[A-Z][a-z][a-z]/20\d\d:\d\d:\d\d:\d\d [+-]\d{4}\] '
            ends = (r'"GET /a HTTP/1\.1" 200 5$', r'"GET /x\\x22\\x5C HTTP/1\.0" 404 14$', r'"-" 400 16$',
                    r'"HEAD /a HTTP/1\.1" 200 0$')
            for line, wanted in zip(lines_of(path), ends):
                expect(f"the line {line}", bool(re.match(start + wanted, line)), True)
            os.rename(path, path + ".1")
            server.process.send_signal(signal.SIGHUP)
            expect("another file after SIGHUP", wait_until(lambda: os.path.exists(path)), True)
            wait_until(lambda: not any(os.path.realpath(f"/proc/{server.process.pid}/fd/{n}") == path + ".1"
                                       for n in os.listdir(f"/proc/{server.process.pid}/fd")))
            ask(server, NEXT)
            expect("a line in it", wait_until(lambda: len(lines_of(path)) == 1), True)
            expect("the lines before", len(lines_of(path + ".1")), 4)
        expect("the lines at the end", len(lines_of(path)), 1)


def full_log(command):
    """The log is a pipe that is not read. Requests are answered, lines are dropped, and the count is logged."""
    with tempfile.TemporaryDirectory() as other:
        path = other + "/log"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with serving(command, "--access-log", path, "--max-requests", "0") as (server, _):
            count = 10000
            for _ in range(10):
                data = ask(server, (b"GET /" + b"x" * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n") * (count // 10))
                expect("answers", len(statuses(data)), count // 10)
            os.set_blocking(reader, True)
            data = b""
            while b"lines were dropped" not in data:
                data += os.read(reader, 65536)
            dropped = int(re.search(rb"(\d+) lines were dropped", data)[1])
            expect("lines and dropped lines", data.count(b"xxx HTTP/1.1") + dropped, count)
            ask(server, (b"GET /" + b"x" * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n") * 3000)
            # The server ends although the pipe is full again.
        os.close(reader)
    with serving(command, "--access-log", "/dev/full") as (server, _):
        for _ in range(3):
            expect("an answer without a log", statuses(ask(server, NEXT)), [200])
    full = other + "/gone/log"
    process = subprocess.run([*command, "--access-log", full, "/", "tcp:127.0.0.1:0"], capture_output=True, check=False)
    expect("a log that cannot be opened", (process.returncode, full.encode() in process.stderr), (1, True))


def lost_log(command):
    """The reader of a log that is a pipe goes away, and comes back when the log has been opened again in vain."""
    with tempfile.TemporaryDirectory() as other:
        path, link = other + "/log", other + "/link"
        os.mkfifo(path)
        os.symlink(path, link)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with serving(command, "--access-log", link, stderr=subprocess.PIPE) as (server, _):
            os.close(reader)
            ask(server, NEXT)
            while b"Broken pipe" not in server.process.stderr.readline():
                pass
            # To follow a link is to access it, which shows in its times.
            os.utime(link, (0, 0), follow_symlinks=False)
            wait_until(lambda: os.lstat(link).st_atime > 0)
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            ask(server, NEXT)
            wait_until(lambda: struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, bytes(4)))[0] > 0)
            expect("lines when a reader has come back", b"lines were dropped" in os.read(reader, 65536), True)
        os.close(reader)
