# SPDX-License-Identifier: ISC
"""Sites of the demo httpd for the programs that play its clients, and what these send and read."""
import os
import re
import socket
import subprocess
import tempfile
from contextlib import contextmanager

from peers import Server, read_all

BIG = 32 << 20
HEAD = b"GET /a HTTP/1.1\r\nHost: a\r\n"
NEXT = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@contextmanager
def serving(command, *options, **more):
    """A server of a new site: the server, and the directory."""
    with tempfile.TemporaryDirectory() as directory:
        with open(directory + "/a", "wb") as file:
            file.write(b"hello")
        with open(directory + "/big", "wb") as file:
            file.write(os.urandom(1 << 20) * (BIG >> 20))
        server = Server([*command, *options], directory, "tcp:127.0.0.1:0", **more)
        try:
            yield server, directory
            server.stop()
        finally:
            server.process.kill()


def ask(server, request, is_open=False):
    """Sends bytes, ends the output, and returns all that comes back."""
    with server.connect() as peer:
        try:
            peer.sendall(request)
            if not is_open:
                peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before all was sent
        return read_all(peer)[0]


def statuses(data):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def fields(head):
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


def answer(server, request):
    """The status, the fields and the body of one answer, after which the connection is closed."""
    head, _, body = ask(server, request).partition(b"\r\n\r\n")
    return statuses(head)[0] if statuses(head) else 0, fields(head), body


def get(server, path, *lines):
    more = "".join(line + "\r\n" for line in lines)
    return answer(server, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n".encode())


def unchunk(body):
    data = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        n = int(size, 16)
        if n == 0:
            return data
        data, body = data + body[:n], body[n + 2:]


def certify(directory, name):
    """A certificate for the name, and its key: the files."""
    chain, key = f"{directory}/{name}.pem", f"{directory}/{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "1", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key,
                    "-out", chain], check=True, stderr=subprocess.DEVNULL)
    return chain, key
