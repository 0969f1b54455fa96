#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""http_ends.py CASE COMMAND...: plays clients that end their connections in their own ways, by TCP and by TLS, against
the demo httpd that COMMAND starts. No answer may be lost or cut off.

Prints one line per error. Exits with status 1 on any error.
"""
import socket
import ssl
import sys
import tempfile

from http_site import certify, serving, statuses
from peers import PATIENCE, expect, faults, read_all, wait_until

LAST = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
OLD = b"GET /a HTTP/1.0\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"
BIG = LAST.replace(b"/a", b"/big")
MIDDLE = LAST.replace(b"/a", b"/middle")

PROBES = 4  # the timer of /proc/net/tcp that asks a full receiver for room
CLOSE_WAIT = 8  # the state of TCP_INFO in which the other side has ended


class Plain:
    """A connection by TCP."""

    def __init__(self, server, room=0):
        self.socket = socket.socket()
        if room:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", server.port))

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # the server reads no more of it

    def end(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has closed the connection: what it has sent is here all the same

    def read(self):
        """What comes back, and how it ends."""
        return read_all(self.socket)

    def close(self):
        self.socket.close()


class Tls(Plain):
    """A connection by TLS, whose records this program sends when it wants to."""

    context = None

    def __init__(self, server, room=0):
        super().__init__(server, room)
        self.came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = self.context.wrap_bio(self.came, self.goes)
        self.step(self.tls.do_handshake)

    def step(self, what):
        """Does it, and reads for it what it needs. Returns its result."""
        while True:
            try:
                result = what()
                break
            except ssl.SSLWantReadError:
                super().send(self.goes.read())
                piece = self.socket.recv(65536)
                self.came.write(piece) if piece else self.came.write_eof()
        super().send(self.goes.read())
        return result

    def send(self, data):
        self.step(lambda: self.tls.write(data))

    def notify(self):
        """Sends the close_notify, and waits for none."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
        super().send(self.goes.read())

    def end(self):
        self.notify()
        super().end()

    def read(self):
        pieces = []
        try:
            while piece := self.step(lambda: self.tls.read(65536)):
                pieces.append(piece)
            end = "end"
        except ssl.SSLZeroReturnError:
            end = "end"
        except (ssl.SSLEOFError, ConnectionResetError):
            end = "reset"
        except TimeoutError:
            end = "nothing"
        return b"".join(pieces), end


def exchange(kind, server, what, request, *, wanted=b"hello", status=200, room=0, before=lambda peer: None):
    """One request, and its answer, which has to be whole."""
    peer = kind(server, room)
    peer.send(request)
    before(peer)
    data, how = peer.read()
    name = f"{kind.__name__}: {what}"
    expect(name, (statuses(data), how), ([status], "end"))
    if wanted is not None:
        expect(name + ", the body", data.partition(b"\r\n\r\n")[2] == wanted, True)
    return peer


def queued(peer, server):
    """How many bytes of the answer are with the kernels, and the timer of the server's side of the connection."""
    port = peer.socket.getsockname()[1]
    n_bytes, timer = 0, 0
    with open("/proc/net/tcp", encoding="ascii") as table:
        for _, local, remote, _, queues, timers, *_ in map(str.split, list(table)[1:]):
            ports = int(local[-4:], 16), int(remote[-4:], 16)
            if ports == (server.port, port):
                n_bytes, timer = n_bytes + int(queues.split(":")[0], 16), int(timers.split(":")[0], 16)
            elif ports == (port, server.port):
                n_bytes += int(queues.split(":")[1], 16)
    return n_bytes, timer


def wait_for_kernels(peer, server, n_bytes):
    """Waits until so much of the answer is with the kernels."""
    expect("the answer is with the kernels", wait_until(lambda: queued(peer, server)[0] >= n_bytes), True)


def wait_for_no_room(peer, server):
    """Waits until the client has no room, and its kernel is asked for some from time to time."""
    expect("the client has no room", wait_until(lambda: queued(peer, server)[1] == PROBES), True)


def wait_for_end(peer):
    """Waits until the server has ended its side."""
    def is_over():
        return peer.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == CLOSE_WAIT

    expect("the server ends its side", wait_until(is_over), True)


def at_rest(kind, server):
    """Clients that stay: a server that waited for them would have many connections open."""
    for what, request, status, body in (("asks to close", LAST, 200, b"hello"), ("HTTP/1.0", OLD, 200, b"hello"),
                                        ("a body", POST, 405, None)):
        peers = [exchange(kind, server, what, request, status=status, wanted=body) for _ in range(20)]
        expect(f"{kind.__name__}: {what}: connections that are left are few",
               server.count() - server.descriptors < 10, True)
        for peer in peers:
            peer.close()
        wait_until(lambda: server.count() <= server.descriptors + 2)


def stay(kind, server):
    """Clients that have their answers and close nothing, more than the server puts aside: they are closed in time."""
    peers = [exchange(kind, server, "the client stays", LAST) for _ in range(300)]
    expect(f"{kind.__name__}: clients that stay are closed",
           wait_until(lambda: server.count() <= server.descriptors + 2), True)
    for peer in peers:
        peer.close()


def late(kind, server, middle):
    """The client ends its side when the whole answer is with the kernels: a part of it still waits for room."""
    def end_late(peer):
        wait_for_kernels(peer, server, len(middle))
        peer.end()

    for _ in range(5):
        exchange(kind, server, "the client ends its side when the answer is on its way", MIDDLE, wanted=middle,
                 room=4096, before=end_late).close()


def talkative(kind, server, middle):
    """The client goes on sending when the whole answer is with the kernels, and reads it afterwards."""
    def send_late(peer):
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        wait_for_kernels(peer, server, len(middle))
        peer.send(b"x" * 1500000)

    exchange(kind, server, "bytes behind the last request, sent late", MIDDLE, wanted=middle, room=4096,
             before=send_late).close()


def odd(kind, server, big):
    exchange(kind, server, "bytes behind the last request", LAST + b"x" * 100000).close()
    exchange(kind, server, "a request behind the last one", LAST + LAST).close()
    exchange(kind, server, "bytes behind the last request, a long answer", BIG + b"x" * 100000, wanted=big).close()
    exchange(kind, server, "the client has ended its side", LAST, before=lambda peer: peer.end()).close()
    exchange(kind, server, "the client has ended its side, a long answer", BIG, wanted=big,
             before=lambda peer: peer.end()).close()
    exchange(kind, server, "a slow reader of a long answer", BIG, wanted=big, room=4096,
             before=lambda peer: wait_for_no_room(peer, server)).close()
    peer = exchange(kind, server, "the client ends its side late", LAST)
    wait_for_end(peer)
    peer.end()
    peer.close()
    # The ends of both sides pass each other.
    for _ in range(50):
        exchange(kind, server, "the client ends its side", LAST, before=lambda peer: peer.end()).close()


def play(kind, command, *options):
    with serving(command, *options) as (server, directory):
        with open(directory + "/middle", "wb") as file:
            file.write(bytes(100000))
        if kind is Plain:
            at_rest(kind, server)
        else:  # a close_notify follows
            stay(kind, server)
            talkative(kind, server, bytes(100000))
        late(kind, server, bytes(100000))
        with open(directory + "/big", "rb") as file:
            odd(kind, server, file.read())
        if not wait_until(lambda: server.count() <= server.descriptors + 2):
            faults.append(f"{server.count() - server.descriptors} descriptors are left")


def cut_off(command):
    """A list that ends with its connection takes too long: no end may be taken for its own."""
    with serving(command, "--index", "--total", "1", "--timeout", "60") as (server, directory):
        for i in range(6000):
            with open(f"{directory}/{i:04}" + '"' * 250, "wb"):
                pass
        peer = Plain(server, 4096)
        peer.send(b"GET / HTTP/1.0\r\n\r\n")
        wait_until(lambda: server.count() > server.descriptors)
        wait_until(lambda: server.count() == server.descriptors)
        data, end = peer.read()
        expect("a list that is cut off", (data.endswith(b"</ul>\n"), end), (False, "reset"))
        peer.close()


def ends(command):
    play(Plain, command)
    cut_off(command)


def secure_ends(command):
    with tempfile.TemporaryDirectory() as other:
        chain, key = certify(other, "a.test")
        Tls.context = ssl.create_default_context(cafile=chain)
        Tls.context.check_hostname = False
        Tls.context.verify_mode = ssl.CERT_NONE
        play(Tls, command, "--tls-certificate", chain, "--tls-key", key)


CASES = {"ends": ends, "secure_ends": secure_ends}

if __name__ == "__main__":
    CASES[sys.argv[1]](sys.argv[2:])
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)
