#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""http_peers.py CASE COMMAND...: plays clients that curl cannot, against the demo httpd that COMMAND starts.

Each case has a site and a server of its own, and prints one line per error. Exits with status 1 on any error.
"""
import errno
import gzip
import html.parser
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse

from http_logs import full_log, log, lost_log  # CASES names them
from http_site import BIG, HEAD, NEXT, answer, ask, certify, fields, get, serving, statuses, unchunk
from peers import PATIENCE, Server, expect, faults, read_all, reset, wait_until

# ---- requests that programs read differently ----

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    "a length and a coding": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT,
    "a coding and a length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + NEXT,
    "two lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 4\r\n\r\nabcd" + NEXT,
    "two lengths that are the same": HEAD + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd" + NEXT,
    "a list of lengths": HEAD + b"Content-Length: 4, 4\r\n\r\nabcd" + NEXT,
    "a length with a sign": HEAD + b"Content-Length: +4\r\n\r\nabcd" + NEXT,
    "a negative length": HEAD + b"Content-Length: -4\r\n\r\n" + NEXT,
    "a length in hexadecimals": HEAD + b"Content-Length: 0x4\r\n\r\nabcd" + NEXT,
    "a length that overflows": HEAD + b"Content-Length: 18446744073709551620\r\n\r\nabcd" + NEXT,
    "an empty length": HEAD + b"Content-Length:\r\n\r\n" + NEXT,
    "a space before a colon": HEAD + b"Content-Length : 4\r\n\r\nabcd" + NEXT,
    "a tab before a colon": HEAD + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + NEXT,
    "a space before a field": HEAD + b" Content-Length: 4\r\n\r\nabcd" + NEXT,
    "a continued line": HEAD + b"A: b\r\n c\r\n\r\n" + NEXT,
    "a continued coding": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + NEXT,
    "a space before the first field": b"GET /a HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n" + NEXT,
    "another coding": HEAD + b"Transfer-Encoding: identity\r\n\r\n" + NEXT,
    "a coding that is unknown": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + NEXT,
    "a coding behind chunks": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + NEXT,
    "a coding before chunks": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + NEXT,
    "chunks twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT,
    "a coding in quotes": HEAD + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + NEXT,
    "a coding with a control character": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + NEXT,
    "a coding in HTTP/1.0": b"GET /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT,
    "a lone LF before a field": HEAD + b"A: b\nContent-Length: 4\r\n\r\nabcd" + NEXT,
    "a lone LF at the end": HEAD + b"A: b\r\n\n" + NEXT,
    "a lone CR": HEAD + b"A: b\rContent-Length: 4\r\n\r\nabcd" + NEXT,
    "NUL in a name": HEAD + b"A\0: b\r\n\r\n" + NEXT,
    "NUL in a value": HEAD + b"A: b\0c\r\n\r\n" + NEXT,
    "NUL in a target": b"GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT,
    "a tab in a target": b"GET /a?\t HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT,
    "a form feed in a target": b"GET /a?\f HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT,
    "a line without a colon": HEAD + b"abc\r\n\r\n" + NEXT,
    "an empty name": HEAD + b": b\r\n\r\n" + NEXT,
    "no host": b"GET /a HTTP/1.1\r\n\r\n" + NEXT,
    "two hosts": HEAD + b"Host: b\r\n\r\n" + NEXT,
    "two hosts that are the same": HEAD + b"Host: a\r\n\r\n" + NEXT,
    "a host with a slash": b"GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n" + NEXT,
    "a list of hosts": b"GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n" + NEXT,
    "an asterisk for GET": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT,
    "a target without a slash": b"GET a HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT,
    "another scheme": b"GET ftp://a/a HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT,
    "a user in the target": b"GET http://b@a/a HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT,
    "two spaces in the request line": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT,
    "a chunk without a size": CHUNKED + b"\r\n" + NEXT,
    "a chunk of a negative size": CHUNKED + b"-1\r\na\r\n0\r\n\r\n" + NEXT,
    "a chunk of a size with a prefix": CHUNKED + b"0x1\r\na\r\n0\r\n\r\n" + NEXT,
    "a chunk with a space before its size": CHUNKED + b" 1\r\na\r\n0\r\n\r\n" + NEXT,
    "a chunk with more behind its size": CHUNKED + b"1 1\r\na\r\n0\r\n\r\n" + NEXT,
    "a chunk with a space before an extension": CHUNKED + b"1 ;a\r\na\r\n0\r\n\r\n" + NEXT,
    "a chunk whose size overflows": CHUNKED + b"ffffffffffffffff1\r\na\r\n0\r\n\r\n" + NEXT,
    "a chunk whose size has leading zeros and overflows": CHUNKED + b"0" * 40 + b"fffffffffffffffff\r\n" + NEXT,
    "a chunk that is longer than its size": CHUNKED + b"1\r\nab\r\n0\r\n\r\n" + NEXT,
    "a chunk that is followed by no line end": CHUNKED + b"1\r\na0\r\n\r\n" + NEXT,
    "a chunk with a lone LF behind its size": CHUNKED + b"1\na\r\n0\r\n\r\n" + NEXT,
    "a chunk with a lone LF behind it": CHUNKED + b"1\r\na\n0\r\n\r\n" + NEXT,
    "a chunk with a lone CR behind its size": CHUNKED + b"1\ra\r\n0\r\n\r\n" + NEXT,
    "a last chunk with a lone LF": CHUNKED + b"0\n\n" + NEXT,
    "a chunk with a giant extension": CHUNKED + b"1;" + b"x" * 30000 + b"\r\na\r\n0\r\n\r\n" + NEXT,
    "an invalid line in a trailer": CHUNKED + b"0\r\nA : b\r\n\r\n" + NEXT,
}

# Requests that are followed by another one.
ACCEPTED = {
    "a length": HEAD + b"Content-Length: 4\r\n\r\nabcd",
    "a length of 0": HEAD + b"Content-Length: 0\r\n\r\n",
    "chunks": CHUNKED + b"1\r\na\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "chunks with extensions": CHUNKED + b'1;a=b\r\na\r\n2;c="d"\r\nab\r\n0;e\r\n\r\n',
    "a trailer": CHUNKED + b"1\r\na\r\n0\r\nHost: b\r\nRange: bytes=0-0\r\nContent-Length: 7\r\n\r\n",
    "a size with zeros": CHUNKED + b"0000000000000001\r\na\r\n000\r\n\r\n",
    "another letter case": HEAD + b"transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n",
    "lines of lone LF": HEAD.replace(b"\r\n", b"\n") + b"\n",
    "an empty line before": b"\r\n" + HEAD + b"\r\n",
    "a scheme and a host": b"GET http://b/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "an empty host": b"GET /a HTTP/1.1\r\nHost:\r\n\r\n",
    "a host with a port": b"GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "an upgrade": HEAD + b"Upgrade: h2c\r\nConnection: upgrade\r\n\r\n",
}


def smuggling(command):
    with serving(command) as (server, _):
        for name, request in REFUSED.items():
            got = statuses(ask(server, request))
            if len(got) != 1 or got[0] not in (400, 431, 501):
                faults.append(f"{name}: {got}")
        for name, request in ACCEPTED.items():
            data = ask(server, request + NEXT)
            expect(name, statuses(data), [200, 200])
            expect(name + ": the answers", data.count(b"\r\n\r\nhello"), 2)


# ---- bodies, methods and limits ----

def bodies(command):
    with serving(command, "--max-body", "1000") as (server, _):
        for method, status in ((b"GET", 200), (b"HEAD", 200), (b"OPTIONS", 204), (b"POST", 405), (b"DELETE", 405)):
            request = method + HEAD[3:] + b"Content-Length: 1000\r\n\r\n" + bytes(1000)
            expect(f"{method}, a body", statuses(ask(server, request + NEXT)), [status, 200])
        request = HEAD + b"Content-Length: 1001\r\n\r\n" + bytes(1001)
        expect("too long a body", statuses(ask(server, request + NEXT)), [413])
        chunks = b"1f4\r\n" + bytes(500) + b"\r\n"
        expect("chunks", statuses(ask(server, CHUNKED + chunks * 2 + b"0\r\n\r\n" + NEXT)), [200, 200])
        expect("too many chunks", statuses(ask(server, CHUNKED + chunks * 2 + b"1\r\na\r\n0\r\n\r\n" + NEXT)), [413])
        expect("a giant chunk", statuses(ask(server, CHUNKED + b"7fffffffffffffff\r\n")), [413])
        trailer = b"".join(b"A%d: b\r\n" % i for i in range(10000))
        expect("a giant trailer", statuses(ask(server, CHUNKED + b"0\r\n" + trailer + b"\r\n" + NEXT)), [413])
        expect("half a body", ask(server, HEAD + b"Content-Length: 5\r\n\r\nab"), b"")
        expect("half a chunk", ask(server, CHUNKED + b"5\r\nab"), b"")
        expect("OPTIONS *", statuses(ask(server, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT)), [204, 200])
        for method in b"TRACE", b"PUT", b"PATCH":
            expect(f"{method}", statuses(ask(server, method + HEAD[3:] + b"\r\n" + NEXT)), [405, 200])
        expect("CONNECT", statuses(ask(server, b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" + NEXT)), [405])
        expect("an unknown method", statuses(ask(server, b"FROB /a HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT)), [501])
        expect("no method", statuses(ask(server, b" /a HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT)), [400])


def continues(command):
    with serving(command, "--max-body", "1000") as (server, _):
        with server.connect() as peer:
            peer.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
            expect("a body that is asked for", peer.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            peer.sendall(b"abcde")
            expect("the answer", statuses(read_all(peer)[0]), [200])
        wait = b"Expect: 100-continue\r\nContent-Length: "
        expect("a body that is too long", statuses(ask(server, HEAD + wait + b"1001\r\n\r\n", True)), [413])
        expect("a body for nothing", statuses(ask(server, b"POST" + HEAD[3:] + wait + b"5\r\n\r\n", True)), [405])
        expect("no body", statuses(ask(server, HEAD + b"Expect: 100-continue\r\n\r\n" + NEXT)), [200, 200])
        expect("something else", statuses(ask(server, HEAD + b"Expect: more\r\n\r\n")), [417])
        old = b"GET /a HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nabcde"
        expect("HTTP/1.0", statuses(ask(server, old)), [200])


def limits(command):
    with serving(command, "--max-requests", "3", "--max-per-address", "4", "--max-header", "8192") as (server, _):
        data = ask(server, (HEAD + b"\r\n") * 5)
        expect("requests of a connection", statuses(data), [200] * 3)
        expect("the last one says so", data.count(b"Connection: close"), 1)
        field = b"A: " + b"x" * 1000 + b"\r\n"
        expect("a head", statuses(ask(server, HEAD + field * 7 + b"\r\n" + NEXT)), [200, 200])
        expect("too long a head", statuses(ask(server, HEAD + field * 9 + b"\r\n" + NEXT)), [431])
        expect("too long a line", statuses(ask(server, HEAD + b"A: " + b"x" * 5000 + b"\r\n\r\n" + NEXT)), [431])
        expect("too long a target", statuses(ask(server, b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n")), [414])
        wait_until(lambda: server.count() == server.descriptors)
        peers = [server.connect() for _ in range(4)]
        for peer in peers:
            peer.sendall(HEAD + b"\r\n")
            expect("a connection within the limit", statuses(peer.recv(1000)), [200])
        expect("one beyond", ask(server, NEXT), b"")
        other = socket.create_connection(("127.0.0.1", server.port), source_address=("127.0.0.2", 0))
        other.sendall(NEXT)
        expect("one of another address", statuses(read_all(other)[0]), [200])
        for peer in peers:
            peer.close()
        if not wait_until(lambda: statuses(ask(server, NEXT)) == [200]):
            faults.append("connections that have ended count")


def networks(command):
    """In a network namespace, where addresses can be chosen."""

    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for host in "fd00:1::1", "fd00:1::2", "fd00:2::1":
        subprocess.run(["ip", "address", "add", f"{host}/64", "dev", "lo", "nodad"], check=True)
    with tempfile.TemporaryDirectory() as directory:
        server = Server([*command, "--max-per-address", "2"], directory, "tcp:[::]:0")
        expect("the port is known", server.port > 0, True)

        def try_to_connect(host):
            try:
                return socket.create_connection(("fd00:1::1", server.port), PATIENCE, source_address=(host, 0))
            except OSError as error:
                if error.errno not in (errno.ENETUNREACH, errno.EADDRNOTAVAIL):
                    raise
                return None  # the kernel puts an address and its routes to use a little after it was added

        def connect(host):
            end = time.monotonic() + PATIENCE
            while not (peer := try_to_connect(host)) and time.monotonic() < end:
                time.sleep(0.01)
            peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return peer

        peers = [connect("fd00:1::1"), connect("fd00:1::2")]
        for peer in peers:
            expect("two of a network", statuses(peer.recv(1000)), [404])
        expect("a third one", read_all(connect("fd00:1::2"))[0], b"")
        expect("one of another network", statuses(connect("fd00:2::1").recv(1000)), [404])
        server.stop()


# ---- slow clients, and those that go away ----

def slow(command):
    """2000 connections are slow with heads or with bodies, and others are served meanwhile."""
    count = 2000
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = min(count, (most - 500) // 3)
    options = "--timeout", "3", "--idle", "60", "--max-per-address", "0"
    with serving(command, *options) as (server, _):
        peers = [server.connect() for _ in range(count)]
        for i, peer in enumerate(peers):
            peer.sendall((HEAD, HEAD + b"Content-Length: 5\r\n\r\na", CHUNKED + b"5\r\na")[i % 3])
            if i % 100 == 0:
                expect("a fast one meanwhile", statuses(ask(server, NEXT)), [200])
        for i, peer in enumerate(peers):
            data, end = read_all(peer)
            if statuses(data) != [408] or end == "nothing":
                faults.append(f"slow connection {i}: {data[:40]} {end}")
                break
        for peer in peers:
            peer.close()
        if not wait_until(lambda: server.count() == server.descriptors):
            faults.append(f"{server.count() - server.descriptors} descriptors are left")


def idle(command):
    with serving(command, "--timeout", "60", "--idle", "0.3") as (server, _):
        silent, kept = server.connect(), server.connect()
        kept.sendall(HEAD + b"\r\n")
        expect("an idle connection", read_all(silent), (b"", "end"))
        data, end = read_all(kept)
        expect("an idle connection after an answer", (statuses(data), end), ([200], "end"))


def total(command):
    """Whatever it does, a connection ends in time, and others are served."""
    with serving(command, "--total", "0.5", "--timeout", "60", "--idle", "60") as (server, _):
        kept, slow, deaf = (server.connect() for _ in range(3))
        kept.sendall((HEAD + b"\r\n") * 3)
        slow.sendall(HEAD)
        deaf.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n" * 9)
        expect("one that has its answers", statuses(read_all(kept)[0]), [200] * 3)
        expect("one whose head does not end", read_all(slow)[0], b"")
        data, end = read_all(deaf)
        expect("one that has not read", (len(data) < 9 * BIG, end != "nothing"), (True, True))
        expect("another one", statuses(ask(server, NEXT)), [200])


def killed(command):
    """Processes with downloads in flight are killed."""
    with serving(command) as (server, _):
        for request in b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n", HEAD, CHUNKED + b"5\r\na":
            ready, done = os.pipe()
            child = os.fork()
            if child == 0:
                peers = [server.connect() for _ in range(50)]
                for peer in peers:
                    peer.sendall(request)
                os.write(done, b"x")
                signal.pause()
            os.read(ready, 1)
            wait_until(lambda: server.count() >= server.descriptors + 50)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(ready)
            os.close(done)
            if not wait_until(lambda: server.count() <= server.descriptors + 1):  # one file is kept open
                faults.append(f"{server.count() - server.descriptors} descriptors are left")
            expect("another one", statuses(ask(server, NEXT)), [200])
        with server.connect() as peer:
            peer.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
            peer.recv(1000)
            reset(peer)
        expect("one after a reset", statuses(ask(server, NEXT)), [200])


def shrinking(command):
    """A file is cut while it is sent: the answer must not be filled up."""
    with serving(command) as (server, directory):
        with server.connect() as peer:
            peer.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT)
            data = peer.recv(1000)
            os.truncate(directory + "/big", 1 << 20)
            rest, _ = read_all(peer)
            if len(data + rest) >= BIG:
                faults.append("a file that was cut was filled up")
            expect("answers", statuses(data + rest[-1000:]), [200])


def descriptors(command):
    """More connections than the server has descriptors for: they wait."""
    few = (100, 100)
    with serving(command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few)) as (server, _):
        peers = [server.connect() for _ in range(200)]
        for peer in peers:
            peer.sendall(NEXT)
        for peer in peers:
            expect("one of many", statuses(read_all(peer)[0]), [200])
            peer.close()  # otherwise the server waits for that


# ---- answers ----

def ranges(command):
    with serving(command) as (server, directory):
        with open(directory + "/big", "rb") as file:
            data = file.read()
        for text, wanted in (("0-9,1000000-1000009", [(0, 9), (1000000, 1000009)]),
                             ("-5,100-104", [(BIG - 5, BIG - 1), (100, 104)]),
                             ("0-99999,200000-299999, 99990-100100", [(0, 100100), (200000, 299999)]),
                             (f"5-9, {BIG}-, 1000-1009,, ", [(5, 9), (1000, 1009)]),
                             (",".join(f"{i * 1000}-{i * 1000 + 1}" for i in range(16)),
                              [(i * 1000, i * 1000 + 1) for i in range(16)])):
            status, head, body = get(server, "/big", f"Range: bytes={text}")
            expect(f"{text}: status", status, 206)
            expect(f"{text}: length", len(body), int(head.get("content-length", 0)))
            boundary = head.get("content-type", "").partition("multipart/byteranges; boundary=")[2]
            parts = body.split(b"\r\n--" + boundary.encode()) if boundary else []
            expect(f"{text}: the end", parts[-1:], [b"--\r\n"])
            got = []
            for part in parts[:-1]:
                part_head, _, content = part.partition(b"\r\n\r\n")
                first, last, size = map(int, re.findall(r"\d+", fields(part_head)["content-range"]))
                expect(f"{text}: content", (content == data[first:last + 1], size), (True, BIG))
                got.append((first, last))
            expect(f"{text}: parts", got, wanted)
        for text, status, length in (("0-9,0-9", 206, 10), ("0-9,5-20,10-12,3-4", 200, BIG),
                                     (",".join(f"{i * 1000}-{i * 1000}" for i in range(17)), 200, BIG),
                                     (f"{BIG}-,{BIG}-", 416, 26), ("0-1,5-2", 200, BIG), ("0-0,x", 200, BIG)):
            got, head, body = get(server, "/big", f"Range: bytes={text}")
            expect(text, (got, len(body)), (status, length))


def conditions(command):
    with serving(command) as (server, directory):
        os.utime(directory + "/a", (1577934245, 1577934245))
        tag = get(server, "/a")[1]["etag"]
        same, before, after = (f"Thu, 02 Jan 2020 03:04:0{i} GMT" for i in (5, 4, 6))
        for status, lines in ((200, [f"If-Match: {tag}"]), (200, ["If-Match: *"]), (200, [f'If-Match: "x", {tag}']),
                              (412, ['If-Match: "x"']), (412, [f"If-Match: W/{tag}"]), (412, ["If-Match: "]),
                              (412, ["If-Match: " + '"x", ' * 1000]),
                              (200, ['If-Match: "x,"', f"If-Match: {tag}"]), (412, [f'If-Match: "x, {tag[1:]}']),
                              (200, [f"If-Unmodified-Since: {same}"]), (200, [f"If-Unmodified-Since: {after}"]),
                              (412, [f"If-Unmodified-Since: {before}"]), (200, ["If-Unmodified-Since: x"]),
                              (200, [f"If-Match: {tag}", f"If-Unmodified-Since: {before}"]),
                              (412, ['If-Match: "x"', f"If-None-Match: {tag}"]),
                              (304, [f"If-Match: {tag}", f"If-None-Match: {tag}"]),
                              (304, [f"If-Unmodified-Since: {same}", f"If-Modified-Since: {same}"]),
                              (200, ['If-None-Match: "x"', f"If-Modified-Since: {same}"]),
                              (304, ['If-None-Match: "x"', f"If-None-Match: {tag}"]),
                              (304, [f"If-None-Match: {tag}", "Range: bytes=0-0"]),
                              (412, ['If-Match: "x"', "Range: bytes=0-0"]),
                              (206, [f"If-Match: {tag}", "Range: bytes=0-0", f"If-Range: {tag}"]),
                              (206, [f"If-Range: {same}", "Range: bytes=0-0"]),
                              (200, [f"If-Range: {after}", "Range: bytes=0-0"])):
            expect(", ".join(lines)[:80], get(server, "/a", *lines)[0], status)
        os.utime(directory + "/a")
        wait_until(lambda: get(server, "/a")[1]["last-modified"] != same)
        date = get(server, "/a")[1]["last-modified"]
        status = get(server, "/a", f"If-Range: {date}", "Range: bytes=0-0")[0]
        expect("If-Range by a date that is too new", status, 200)


def encodings(command):
    with serving(command, "--precompressed") as (server, directory):
        for name, content in (("a.gz", gzip.compress(b"hello")), ("a.br", b"br"), ("b.txt", b"b"),
                              ("b.txt.gz", b"bgz"), ("c", b"c"), ("c.gz", b"old")):
            with open(f"{directory}/{name}", "wb") as file:
                file.write(content)
        os.utime(directory + "/c.gz", (1, 1))
        tags = set()
        for path, accepted, encoding in (("/a", "gzip", "gzip"), ("/a", "gzip, br", "br"),
                                         ("/a", "gzip;q=1, br;q=0.9", "gzip"), ("/a", "br;q=0, *", "gzip"),
                                         ("/a", "*;q=0.1", "br"), ("/a", "identity", None),
                                         ("/a", "gzip;q=0.5, identity;q=0.6", None), ("/a", "gzip;q=0", None),
                                         ("/a", "gzip;q=x", None), ("/a", "xgzip", None),
                                         ("/a", "GZIP ; q=0.001", "gzip"),
                                         ("/b.txt", "br, gzip;q=0.2", "gzip"), ("/b.txt", "br", None),
                                         ("/c", "gzip", None), ("/a.gz", "gzip", None)):
            status, head, body = get(server, path, f"Accept-Encoding: {accepted}")
            expect(f"{path}, {accepted}", (status, head.get("content-encoding")), (200, encoding))
            expect(f"{path}: Vary", head.get("vary"), "Accept-Encoding")
            if path == "/a":
                tags.add((encoding, head["etag"]))
                expect(f"{path}, {accepted}: body", gzip.decompress(body) if encoding == "gzip" else body,
                       b"br" if encoding == "br" else b"hello")
        expect("tags of the encodings", len({tag for _, tag in tags}), 3)
        expect("tags, each of one encoding", len(tags), 3)
        head = get(server, "/b.txt", "Accept-Encoding: gzip")[1]
        expect("the type", head["content-type"], "text/plain; charset=utf-8")
        expect("another type", get(server, "/b.txt.gz")[1]["content-type"], "application/gzip")
        tag = head["etag"]
        expect("a condition", get(server, "/b.txt", "Accept-Encoding: gzip", f"If-None-Match: {tag}")[0], 304)
        expect("of another encoding", get(server, "/b.txt", f"If-None-Match: {tag}")[0], 200)
        expect("a range", get(server, "/b.txt", "Accept-Encoding: gzip", "Range: bytes=1-")[2], b"gz")
    with serving(command) as (server, directory):
        expect("without the option", get(server, "/a", "Accept-Encoding: gzip")[1].get("vary"), None)


class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href"]


def index(command):
    with serving(command, "--index") as (server, directory):
        names = ["<script>alert(1)<:script>", "a&b;'\"", "x y%41", "line\nend", "a:b", "ü", "?q#f", "*" * 255]
        os.mkdir(directory + "/<i>d")
        for name in names:
            with open(f"{directory}/<i>d/{name}", "w", encoding="utf-8") as file:
                file.write(name)
        with open(os.fsencode(directory) + b"/<i>d/\xff\xfe", "wb") as file:
            file.write(b"bytes")
        os.mkdir(directory + "/<i>d/sub")
        with open(directory + "/<i>d/.hidden", "w", encoding="utf-8"):
            pass
        status, head, body = get(server, "/%3Ci%3Ed/")
        expect("a list", (status, head.get("transfer-encoding"), head["content-type"]),
               (200, "chunked", "text/html; charset=utf-8"))
        parser = Links()
        parser.feed(unchunk(body).decode("utf-8", "replace"))
        expect("tags", set(parser.tags), {"meta", "title", "h1", "ul", "li", "a"})
        expect("links", sorted(urllib.parse.unquote_to_bytes(link) for link in parser.links),
               sorted([name.encode() for name in names] + [b"\xff\xfe", b"sub/", b"../"]))
        for link in parser.links:
            if not link.endswith("/"):
                expect(f"the file of {link[:40]}", get(server, "/%3Ci%3Ed/" + link)[0], 200)
        expect("a directory without a slash", get(server, "/%3Ci%3Ed")[0], 301)
        data = ask(server, b"GET /%3Ci%3Ed/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + NEXT)
        expect("HTTP/1.0", (statuses(data), b"chunked" in data, data.endswith(b"</ul>\n")), ([200], False, True))
        data = ask(server, b"HEAD /%3Ci%3Ed/ HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT)
        expect("HEAD", statuses(data), [200, 200])
        os.mkdir(directory + "/many")
        for i in range(5000):
            with open(f"{directory}/many/{i}", "wb"):
                pass
        data = ask(server, b"GET /many/ HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT)
        many = Links()
        many.feed(unchunk(data.partition(b"\r\n\r\n")[2]).decode())
        expect("many", sorted(many.links), sorted([str(i) for i in range(5000)] + ["../"]))
        expect("and a request behind", statuses(data), [200, 200])
        with open(directory + "/many/index.html", "wb") as file:
            file.write(b"own")
        expect("an index of its own", get(server, "/many/")[2], b"own")
    with serving(command) as (server, directory):
        expect("without the option", get(server, "/")[0], 404)


# ---- hosts ----

def site(directory, name):
    os.mkdir(f"{directory}/{name}")
    with open(f"{directory}/{name}/a", "w", encoding="utf-8") as file:
        file.write(name)
    return f"{directory}/{name}"


def hosts(command):
    with tempfile.TemporaryDirectory() as other:
        one, two = site(other, "one"), site(other, "two")
        with serving(command, "--host", f"one.test={one}", "--host", f"two.test={two}") as (server, _):
            for host, wanted in (("one.test", b"one"), ("ONE.test:80", b"one"), ("two.test.", b"two"),
                                 ("two.test.:1", b"two"), ("three.test", b"hello"), ("", b"hello"),
                                 ("one.tes", b"hello"), ("xone.test", b"hello")):
                request = f"GET /a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
                expect(f"host {host}", answer(server, request)[2], wanted)
            request = b"GET http://two.test/a HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n"
            expect("the host in the target", answer(server, request)[2], b"two")
            expect("no host", answer(server, b"GET /a HTTP/1.0\r\n\r\n")[2], b"hello")


def wildcard_hosts(command):
    """Hosts one label below a name, also where the site of one of them is given later."""
    with tempfile.TemporaryDirectory() as other:
        options = []
        for host, name in (("*.test", "any"), ("*.one.test", "below"), ("one.test", "one"), ("*.test", "again")):
            options += ["--host", f"{host}={site(other, name)}"]
        with serving(command, *options) as (server, _):
            for host, wanted in (("one.test", b"one"), ("ONE.test.:80", b"one"), ("two.test", b"any"),
                                 ("Two.TEST:80", b"any"), ("two.test.", b"any"), ("a.one.test", b"below"),
                                 ("a.two.test", b"hello"), ("a.b.one.test", b"hello"), ("test", b"hello"),
                                 ("xtest", b"hello"), ("", b"hello")):
                request = f"GET /a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
                expect(f"host {host}", answer(server, request)[2], wanted)


def ask_by_tls(server, name, host, authority):
    """The statuses and the body of an answer from a server whose certificate is that authority."""
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False
    with context.wrap_socket(server.connect(), server_hostname=name) as peer:
        peer.sendall(f"GET /a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        data = read_all(peer)[0]
        return statuses(data), data.partition(b"\r\n\r\n")[2]


def secure_wildcard_hosts(command):
    """The certificate and the directory are those of the same site."""
    with tempfile.TemporaryDirectory() as other:
        files = {name: certify(other, name) for name in ("first.example.org", "*.example.org", "one.example.org")}
        options = ["--tls-certificate", files["first.example.org"][0], "--tls-key", files["first.example.org"][1]]
        for host, name in (("*.example.org", "any"), ("one.example.org", "one")):
            options += ["--host", f"{host}=" + ",".join([site(other, name), *files[host]])]
        with serving(command, *options) as (server, _):
            def talk(name, host, shown):
                return ask_by_tls(server, name, host, files[shown][0])

            for name, shown, wanted in (("one.example.org", "one.example.org", b"one"),
                                        ("two.example.org", "*.example.org", b"any"),
                                        ("example.org", "first.example.org", b"hello"),
                                        ("a.two.example.org", "first.example.org", b"hello")):
                expect(name, talk(name, name, shown), ([200], wanted))
            expect("another host of the site", talk("two.example.org", "three.example.org", "*.example.org")[0],
                   [421])


def secure_hosts(command):
    with tempfile.TemporaryDirectory() as other:
        files = {name: certify(other, name) for name in ("first.test", "one.test")}
        options = ["--tls-certificate", files["first.test"][0], "--tls-key", files["first.test"][1]]
        options += ["--host", "one.test=" + ",".join([site(other, "one"), *files["one.test"]])]
        options += ["--host", "two.test=" + site(other, "two")]
        with serving(command, *options) as (server, _):
            def talk(name, host, shown):
                return ask_by_tls(server, name, host, files[shown][0])

            expect("first", talk("first.test", "first.test", "first.test"), ([200], b"hello"))
            expect("one", talk("one.test", "one.test:443", "one.test"), ([200], b"one"))
            expect("two, of another certificate", talk("two.test", "two.test", "first.test"), ([200], b"two"))
            expect("without a name", talk(None, "one.test", "first.test"), ([200], b"one"))
            expect("another host", talk("one.test", "two.test", "one.test")[0], [421])
            expect("another host that is unknown", talk("one.test", "x", "one.test")[0], [421])


CASES = {name: globals()[name] for name in (
    "smuggling", "bodies", "continues", "limits", "networks", "slow", "idle", "total", "killed", "shrinking",
    "descriptors", "ranges", "conditions", "encodings", "index", "hosts", "wildcard_hosts", "secure_hosts",
    "secure_wildcard_hosts", "log", "full_log", "lost_log")}

if __name__ == "__main__":
    CASES[sys.argv[1]](sys.argv[2:])
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)
