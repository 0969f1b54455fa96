#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""peers.py CASE COMMAND...: plays network peers that a shell script cannot, against one demo that COMMAND starts.

Each case prints one line per error. Exits with status 1 on any error.
"""
import fcntl
import os
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import termios
import time

PATIENCE = 20
MUCH = 400000
faults = []


def expect(what, actual, wanted):
    if actual != wanted:
        faults.append(f"{what}: {actual!r}, not {wanted!r}")


def wait_until(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


class Server:
    """A demo that listens on a port of the loopback."""

    def __init__(self, command, *operands, **more):
        self.process = subprocess.Popen([*command, *operands], stdout=subprocess.PIPE, **more)
        port = self.process.stdout.readline().split()[2].rsplit(b":", 1)[1]
        self.port = int(port) if port.isdigit() else 0
        self.descriptors = self.count()

    def connect(self):
        peer = socket.create_connection(("127.0.0.1", self.port))
        peer.settimeout(PATIENCE)
        return peer

    def count(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        expect("status after SIGTERM", self.process.wait(PATIENCE), 0)


def read_all(peer):
    """The bytes up to the end, and how they ended."""
    peer.settimeout(PATIENCE)
    pieces = []
    try:
        while piece := peer.recv(65536):
            pieces.append(piece)
        end = "end"
    except ConnectionResetError:
        end = "reset"
    except TimeoutError:
        end = "nothing"
    return b"".join(pieces), end


def reset(peer):
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def n_unsent(peer):
    """How many bytes the other end has not received."""
    return struct.unpack("i", fcntl.ioctl(peer, termios.TIOCOUTQ, bytes(4)))[0]


def breaks(server, listener):
    client, upstream = server.connect(), listener.accept()[0]
    client.sendall(b"q" * 100000)
    wait_until(lambda: len(upstream.recv(100000, socket.MSG_PEEK)) == 100000)
    upstream.sendall(b"a" * 100000)
    upstream.close()
    expect("an answer from a server that leaves bytes unread", len(read_all(client)[0]), 100000)

    client, upstream = server.connect(), listener.accept()[0]
    upstream.sendall(b"half")
    wait_until(lambda: client.recv(4, socket.MSG_PEEK) == b"half")
    reset(upstream)
    expect("a server that resets", read_all(client), (b"half", "reset"))

    client, upstream = server.connect(), listener.accept()[0]
    client.sendall(b"half")
    wait_until(lambda: upstream.recv(4, socket.MSG_PEEK) == b"half")
    reset(client)
    expect("a client that resets", read_all(upstream), (b"half", "reset"))

    # More than upstream's receive buffer: most of it is still on its way when the client resets.
    client, upstream = server.connect(), listener.accept()[0]
    client.sendall(bytes(MUCH))
    wait_until(lambda: n_unsent(client) == 0)
    reset(client)
    wait_until(lambda: server.count() == server.descriptors, 0.3)  # it must not be: upstream has not read
    data, end = read_all(upstream)
    expect("a client that sends much and resets", (len(data), end), (MUCH, "reset"))

    client, upstream = server.connect(), listener.accept()[0]
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    expect("a client that has said all", read_all(upstream), (b"question", "end"))
    upstream.sendall(b"answer")
    upstream.close()
    expect("its answer", read_all(client), (b"answer", "end"))
    client.close()
    if not wait_until(lambda: server.count() == server.descriptors):
        faults.append(f"{server.count() - server.descriptors} descriptors are left")


def proxy(command):
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(command, "tcp:127.0.0.1:0", f"tcp:127.0.0.1:{listener.getsockname()[1]}")
    breaks(server, listener)
    server.stop()


def certificate_for(directory):
    """Makes a certificate for localhost, with its key: one file."""
    path = directory + "/pair.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", path, "-out", directory + "/chain.pem"], check=True, stderr=subprocess.DEVNULL)
    with open(directory + "/chain.pem", "rb") as chain, open(path, "ab") as pair:
        pair.write(chain.read())
    return path


def client_end_of_tls(command, pair, listener):
    """Clients that end a stream of TLS, with and without saying so."""
    server = Server(command, "--tls-certificate", pair, "tcp:127.0.0.1:0",
                    f"tcp:127.0.0.1:{listener.getsockname()[1]}")
    context = ssl.create_default_context(cafile=pair)
    for is_whole, wanted in ((False, (b"half", "reset")), (True, (b"half", "end"))):
        client = context.wrap_socket(server.connect(), server_hostname="localhost")
        upstream = listener.accept()[0]
        client.sendall(b"half")
        if is_whole:
            client.setblocking(False)
            try:
                client.unwrap()
            except ssl.SSLWantReadError:
                pass  # it has been said, and upstream's end has not come
        client.shutdown(socket.SHUT_WR)
        expect(f"a client's end of TLS, with a close_notify: {is_whole}", read_all(upstream), wanted)
        upstream.close()
    server.stop()


def proxy_tls(command):
    """Two proxies that speak TLS with each other; and an upstream that ends a stream of TLS without saying so."""
    with tempfile.TemporaryDirectory() as directory:
        pair = certificate_for(directory)
        by_tls = ["--tls-upstream", "--ca", pair, "--sni", "localhost", "tcp:127.0.0.1:0"]
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        far = Server(command, "--tls-certificate", pair, "tcp:127.0.0.1:0", f"tcp:127.0.0.1:{port}")
        near = Server(command, *by_tls, f"localhost:{far.port}")
        breaks(near, listener)
        near.stop()
        far.stop()
        server = Server(command, *by_tls, f"tcp:127.0.0.1:{port}")
        client_end_of_tls(command, pair, listener)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair)
        for is_whole, wanted in ((False, (b"half", "reset")), (True, (b"half", "end"))):
            client = server.connect()
            upstream = context.wrap_socket(listener.accept()[0], server_side=True)
            upstream.sendall(b"half")
            client.shutdown(socket.SHUT_WR)
            if is_whole:
                upstream.unwrap().close()
            else:
                upstream.close()
            expect(f"an end of TLS, with a close_notify: {is_whole}", read_all(client), wanted)
        client, upstream = server.connect(), listener.accept()[0]
        upstream.sendall(b"this is no TLS")
        expect("an upstream without TLS", read_all(client)[0], b"")
        client, upstream = server.connect(), listener.accept()[0]
        client.close()
        if not wait_until(lambda: server.count() == server.descriptors):
            faults.append("a client has left, and the handshake with upstream goes on")
        server.stop()


def proxy_stuck(command):
    """A client that is gone, and an upstream that reads nothing of what it has sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(command, "tcp:127.0.0.1:0", f"tcp:127.0.0.1:{listener.getsockname()[1]}")
    client, upstream = server.connect(), listener.accept()[0]
    for end in (client, upstream):
        end.setblocking(False)
        try:
            while True:
                end.send(bytes(1 << 16))
        except BlockingIOError:
            pass
    reset(client)
    if not wait_until(lambda: server.count() == server.descriptors):
        faults.append("the connection of a client that is gone is left")
    upstream.close()
    server.stop()


def proxy_waiting(command):
    """Upstream is a Unix socket whose backlog is full."""
    with tempfile.TemporaryDirectory() as directory:
        path = directory + "/upstream"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(0)
        filler = socket.socket(socket.AF_UNIX)
        filler.connect(path)
        server = Server(command, "--connect-timeout", "5", "tcp:127.0.0.1:0", f"unix:{path}",
                        stderr=subprocess.DEVNULL)
        stays, *leave = [server.connect() for _ in range(5)]
        for client in leave:
            client.close()
        if not wait_until(lambda: server.count() == server.descriptors + 2):
            faults.append(f"clients have left, and {server.count() - server.descriptors} descriptors are in use")
        expect("a client whose upstream doesn't answer in time", read_all(stays)[0], b"")
        if not wait_until(lambda: server.count() == server.descriptors):
            faults.append("the descriptors of a connect that took too long are left")
        server.stop()


def full_pipe():
    """The write end of a pipe without a reader."""
    _, end = os.pipe()
    os.set_blocking(end, False)
    try:
        while True:
            os.write(end, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(end, True)
    return end


def full_stderr(command):
    """The server runs out of descriptors and cannot log it: its standard error is a full pipe."""
    few = (12, 12)
    server = Server(command, "tcp:127.0.0.1:0", stderr=full_pipe(),
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few))
    clients = [server.connect() for _ in range(20)]
    wait_until(lambda: server.count() >= few[0] - 1)
    clients[0].sendall(b"still there")
    expect("an echo", clients[0].recv(100), b"still there")
    for client in clients:
        client.close()
    server.stop()


def deaf(command):
    """Clients that ask a file server with TLS for a part of a file and read nothing of it: one of the lengths leaves
    just the last piece to be written."""
    with tempfile.TemporaryDirectory() as directory:
        certificate, path = certificate_for(directory), directory + "/socket"
        with open(directory + "/file", "wb") as file:
            file.truncate(1 << 20)
        limits = "--timeout", "1", "--idle", "1"
        server = Server(command, *limits, "--tls-certificate", certificate, directory, f"unix:{path}")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        clients = []
        for last in range(96 << 10, 512 << 10, 8 << 10):
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            try:
                clients.append(context.wrap_socket(client, server_hostname="a"))
                clients[-1].sendall(f"GET /file HTTP/1.1\r\nHost: a\r\nRange: bytes=0-{last}\r\n\r\n".encode())
            except OSError:
                pass  # too slow for the server on a busy machine
        if not wait_until(lambda: server.count() == server.descriptors):
            faults.append(f"clients do not read, and {server.count() - server.descriptors} descriptors are in use")
        for client in clients:
            client.close()
        server.stop()


CASES = {"deaf": deaf, "proxy": proxy, "proxy-stuck": proxy_stuck, "proxy-tls": proxy_tls,
         "proxy-waiting": proxy_waiting, "full-stderr": full_stderr}

if __name__ == "__main__":
    CASES[sys.argv[1]](sys.argv[2:])
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)
