#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""fetch_peers.py [CERTIFICATE]: an HTTP server that misbehaves on request, on a port of the loopback or of $HOST.

The path of a request says how. With a certificate it speaks TLS. Prints "listening on tcp:ADDRESS (python)".
fetch_peers.py content: prints the content that it serves.
"""
import os
import random
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

CONTENT = random.Random(7).randbytes(300000)
TAG = '"seven"'
CUT = 100000  # where a broken download breaks off

lock = threading.Lock()
n_connections = 0
seen = {}  # path: how many requests


class Closed(Exception):
    """The connection is over."""


class Peer:
    def __init__(self, connection):
        self.connection = connection
        self.target = self.head = ""
        self.goes_on = True

    def read_request(self):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.connection.recv(65536)
            if not piece:
                raise Closed
            data += piece
        self.head = data.decode("latin-1")
        self.target = self.head.split()[1]

    def header(self, name):
        for line in self.head.split("\r\n")[1:]:
            if line.lower().startswith(name.lower() + ":"):
                return line.split(":", 1)[1].strip()
        return ""

    def send(self, data):
        self.connection.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def answer(self, status, body=b"", *lines):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_head(status, f"Content-Length: {len(body)}", *lines)
        self.send(body)

    def send_head(self, status, *lines):
        self.send("\r\n".join([f"HTTP/1.1 {status} x", *lines, "", ""]))

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Closed


def whole(peer):
    peer.answer(200, CONTENT)


def short(peer):
    peer.send_head(200, f"Content-Length: {len(CONTENT)}")
    peer.send(CONTENT[:CUT])
    raise Closed


def extra(peer):
    """Bytes behind the body, which must not be taken for the next answer."""
    peer.send_head(200, "Content-Length: 4")
    peer.send("bodyHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")


def chunked(peer):
    peer.send_head(200, "Transfer-Encoding: chunked")
    at, size = 0, 1
    while at < len(CONTENT):
        piece = CONTENT[at:at + size]
        peer.send(b"%x; name=value\r\n%s\r\n" % (len(piece), piece))
        at, size = at + size, size * 3 + 1
    peer.send("0\r\nTrailer: value\r\n\r\n")


def chunked_short(peer):
    peer.send_head(200, "Transfer-Encoding: chunked")
    peer.send(b"%x\r\n%s" % (len(CONTENT), CONTENT[:CUT]))
    raise Closed


def chunked_unended(peer):
    """All chunks but the last, which says that there are no more."""
    peer.send_head(200, "Transfer-Encoding: chunked")
    peer.send(b"%x\r\n%s\r\n" % (len(CONTENT), CONTENT))
    raise Closed


def chunked_bad(peer):
    peer.send_head(200, "Transfer-Encoding: chunked")
    peer.send("4\r\nbody\r\nzz\r\nbody\r\n0\r\n\r\n")


def chunked_huge(peer):
    peer.send_head(200, "Transfer-Encoding: chunked")
    peer.send("fffffffffffffffff\r\nbody\r\n0\r\n\r\n")


def chunked_longer(peer):
    """A chunk with more bytes than its size says."""
    peer.send_head(200, "Transfer-Encoding: chunked")
    peer.send("4\r\nbodyXX0\r\n\r\n")


def chunked_odd_size(peer):
    peer.send_head(200, "Transfer-Encoding: chunked")
    peer.send("4 4\r\nbody\r\n0\r\n\r\n")


def chunked_odd_end(peer):
    """A CR without its LF, at the end of the body."""
    peer.send_head(200, "Transfer-Encoding: chunked")
    peer.send("4\r\nbody\r\n0\r\n\rX")


def chunked_padded(peer):
    peer.send_head(200, "Transfer-Encoding: chunked")
    peer.send("4  \r\nbody\r\n0 \r\n\r\n")


def chunked_by_bytes(peer):
    """No piece has a whole line end."""
    peer.send_head(200, "Transfer-Encoding: chunked")
    for byte in b"4;a\r\nbody\r\n0\r\nA: b\r\n\r\n":
        peer.send(bytes([byte]))


def chunked_endless(peer):
    peer.send_head(200, "Transfer-Encoding: chunked")
    while True:
        peer.send(b"10000\r\n" + bytes(65536) + b"\r\n")


def to_end(peer):
    peer.send("HTTP/1.0 200 OK\r\n\r\n")
    peer.send(CONTENT)
    if isinstance(peer.connection, ssl.SSLSocket):
        peer.connection.unwrap()
    raise Closed


def to_end_cut(peer):
    """Without TLS a reset; with TLS an end without a close_notify."""
    peer.send("HTTP/1.0 200 OK\r\n\r\n")
    peer.send(CONTENT[:1000])
    if isinstance(peer.connection, ssl.SSLSocket):
        raise Closed
    peer.reset()


def garbage(peer):
    peer.send(bytes(range(256)) * 4 + b"\r\n\r\n")
    raise Closed


def empty(_peer):
    raise Closed


def half_head(peer):
    peer.send("HTTP/1.1 200 OK\r\nContent-Le")
    raise Closed


def endless_head(peer):
    peer.send("HTTP/1.1 200 OK\r\n")
    while True:
        peer.send("A: " + "b" * 1000 + "\r\n")


def endless_line(peer):
    peer.send("HTTP/1.1 200 OK\r\nA: ")
    while True:
        peer.send("b" * 1000)


def endless_interim(peer):
    while True:
        peer.send("HTTP/1.1 100 Continue\r\n\r\n" * 20)


def interim(peer):
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
    peer.answer(200, CONTENT)


def two_framings(peer):
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")


def two_lengths(peer):
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 8\r\n\r\nbodybody")


def other_coding(peer):
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")


def bare_cr(peer):
    peer.send("HTTP/1.1 200 OK\r\nA: b\rContent-Length: 4\r\n\r\nbody")
    raise Closed


def never(peer):
    peer.connection.recv(1)


def stall(peer):
    peer.send_head(200, f"Content-Length: {len(CONTENT)}", f"ETag: {TAG}")
    peer.send(CONTENT[:CUT])
    peer.connection.recv(1)


def drip(peer):
    peer.send_head(200, f"Content-Length: {len(CONTENT)}")
    while True:
        peer.send("x")
        time.sleep(0.05)


def slowly(peer):
    peer.send_head(200, f"Content-Length: {len(CONTENT)}")
    for at in range(0, len(CONTENT), 10000):
        peer.send(CONTENT[at:at + 10000])
        time.sleep(0.05)


def closes(peer):
    """Says that the connection stays, and closes it when the next request comes."""
    peer.answer(200, CONTENT)
    peer.connection.recv(1)
    raise Closed


def closes_in_head(peer):
    peer.answer(200, CONTENT)
    peer.read_request()
    peer.send("HTTP/1.1 2")
    raise Closed


def send_rest(peer, tag, *lines):
    """Bytes from the one on that is asked for, if the content is still that of the tag."""
    wanted = peer.header("Range")
    if wanted and peer.header("If-Range") in ("", tag):
        first = int(wanted.split("=")[1].rstrip("-"))
        peer.answer(206, CONTENT[first:], f"Content-Range: bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}", *lines)
    else:
        peer.answer(200, CONTENT, *lines)


def breaks_once(peer, tag=TAG, *lines):
    lines = lines or (f"ETag: {tag}",)
    with lock:
        seen[peer.target] = seen.get(peer.target, 0) + 1
        is_first = seen[peer.target] == 1
    if not is_first:
        send_rest(peer, tag, *lines)
        return
    peer.send_head(200, f"Content-Length: {len(CONTENT)}", *lines)
    peer.send(CONTENT[:CUT])
    raise Closed


def breaks_dated(peer):
    date = "Thu, 02 Jan 2020 03:04:05 GMT"
    breaks_once(peer, date, f"Last-Modified: {date}", "Date: Thu, 02 Jan 2020 03:04:06 GMT")


def breaks_just_dated(peer):
    """The content may change once more in the same second: its date is no validator."""
    date = "Thu, 02 Jan 2020 03:04:05 GMT"
    breaks_once(peer, date, f"Last-Modified: {date}", f"Date: {date}")


def breaks_weakly(peer):
    breaks_once(peer, 'W/"seven"')


def breaks_and_changes(peer):
    breaks_once(peer, TAG if not seen.get(peer.target) else '"eight"')


def breaks_and_ignores(peer):
    """Does not know ranges."""
    peer.head = peer.head.replace("Range", "Not-Range")
    breaks_once(peer)


def rest_is_wrong(peer):
    """Another part than the one that was asked for."""
    if peer.header("Range"):
        peer.answer(206, CONTENT[CUT - 1:], f"Content-Range: bytes {CUT - 1}-{len(CONTENT) - 1}/{len(CONTENT)}")
    else:
        breaks_once(peer)


def rest_is_newer(peer):
    """Does not know If-Range, and has other content by now."""
    peer.head = peer.head.replace("If-Range", "Not-If-Range")
    send_rest(peer, TAG, "Last-Modified: Thu, 02 Jan 2020 03:04:06 GMT")


def rest_is_outside(peer):
    if peer.header("Range"):
        peer.answer(416, b"", f"Content-Range: bytes */{CUT}")
    else:
        breaks_once(peer)


def part_unasked(peer):
    peer.answer(206, CONTENT[:10], f"Content-Range: bytes 0-9/{len(CONTENT)}")


def part_short(peer):
    """Less than Content-Range says, by chunks."""
    peer.send_head(206, "Transfer-Encoding: chunked", f"Content-Range: bytes 0-9/{len(CONTENT)}")
    peer.send("4\r\nbody\r\n0\r\n\r\n")


def refuses(peer):
    """With as long a body as is read to keep the connection."""
    peer.answer(404, bytes(65536))


def refuses_at_length(peer):
    peer.answer(404, bytes(65537))


def refuses_chunked(peer):
    peer.send_head(500, "Transfer-Encoding: chunked")
    peer.send("4\r\nbody\r\n0\r\n\r\n")


def refuses_endlessly(peer):
    peer.send_head(500, "Transfer-Encoding: chunked")
    while True:
        peer.send(b"10000\r\n" + bytes(65536) + b"\r\n")


def refuses_and_stalls(peer):
    peer.send_head(404, "Content-Length: 4")
    peer.send("bo")
    peer.connection.recv(1)


def headers(peer):
    peer.answer(200, peer.head)


def connections(peer):
    peer.answer(200, f"\n{n_connections}\n")


CASES = {"/" + case.__name__.replace("_", "-"): case for case in (
    whole, short, extra, chunked, chunked_short, chunked_unended, chunked_bad, chunked_huge, chunked_longer,
    chunked_odd_size, chunked_odd_end, chunked_padded, chunked_by_bytes, chunked_endless, to_end, to_end_cut, garbage,
    empty, half_head, endless_head, endless_line, endless_interim, interim, two_framings, two_lengths, other_coding,
    bare_cr, never, stall, drip, slowly, closes, closes_in_head, breaks_once, breaks_dated, breaks_just_dated,
    breaks_weakly, breaks_and_changes, breaks_and_ignores, rest_is_wrong, rest_is_newer, rest_is_outside, part_unasked,
    part_short, refuses, refuses_at_length, refuses_chunked, refuses_endlessly, refuses_and_stalls, headers,
    connections)}


def serve_one(peer):
    path, _, query = peer.target.partition("?")
    _, first, *rest = path.split("/")
    if first == "to":  # redirects to the query
        peer.answer(302, b"elsewhere", f"Location: {urllib.parse.unquote(query)}")
    elif first == "loop":
        peer.answer(307, b"", "Location: /loop")
    elif first == "to-nowhere":
        peer.answer(302, b"elsewhere")
    elif first == "hops":
        peer.answer(301, b"", f"Location: /hops/{int(rest[0]) - 1}" if rest[0] != "1" else "Location: ../whole")
    elif first == "status":
        peer.answer(int(rest[0]), b"no")
    else:
        CASES.get("/" + first, lambda peer: peer.answer(404))(peer)


def serve(connection, context):
    global n_connections
    with lock:
        n_connections += 1
    try:
        peer = Peer(context.wrap_socket(connection, server_side=True) if context else connection)
        try:
            while True:
                peer.read_request()
                serve_one(peer)
        finally:
            peer.connection.close()
    except (Closed, OSError):
        connection.close()


def main():
    context = None
    if len(sys.argv) > 1:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[1])
    host = os.environ.get("HOST", "127.0.0.1")
    listener = socket.create_server((host, 0), backlog=100)
    print(f"listening on tcp:{host}:{listener.getsockname()[1]} (python)", flush=True)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0], context), daemon=True).start()


if __name__ == "__main__":
    if sys.argv[1:] == ["content"]:
        sys.stdout.buffer.write(CONTENT)
    else:
        main()
