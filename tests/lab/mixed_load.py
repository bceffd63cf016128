"""Inside a guest: mixed load, of which each outcome is a line until it is killed:

    BEGUN ENDED KIND ok|failed|WRONG [WHAT]

with the monotonic clock, in seconds. The network is expected to fail now and then ("failed"); what is WRONG never is:
other bytes than were asked for, or an answer from where nothing may come.

mixed_load.py CA-BUNDLE
"""
import hashlib
import os
import socket
import ssl
import struct
import sys
import threading
import time

from flood import GATEWAY4, question

WEB, TOGGLED, DENIED = ("203.0.113.10", "2001:db8:1::10"), "203.0.113.77", ("203.0.113.66", "2001:db8:1::66", "10.9.0.10")
PATTERN = hashlib.sha256(b"lunette").digest() * 32768
PATIENCE = 4
TRUST = ssl.create_default_context(cafile=sys.argv[1])


class Wrong(Exception):
    pass


def dial(address, port):
    return socket.create_connection((address, port), PATIENCE)


def head_of(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            raise OSError("ended")
        data += part
    return data.split(b"\r\n\r\n", 1)


def fetch(sock, length):
    sock.sendall(f"GET /bytes/{length} HTTP/1.1\r\nHost: web.example\r\n\r\n".encode())
    head, body = head_of(sock)
    if not head.startswith(b"HTTP/1.1 200"):
        if head.startswith(b"HTTP/1.1 502"):  # the interception could not reach the server
            raise OSError("502")
        raise Wrong(head[:60])
    at = 0
    while True:
        start = at % len(PATTERN)
        want = (PATTERN[start:] + PATTERN)[:len(body)]
        if body != want:
            raise Wrong(f"bytes from {at} on")
        at += len(body)
        if at >= length:
            break
        body = sock.recv(min(length - at, 1 << 18))
        if not body:
            raise OSError("ended")


def down(n):
    with dial(WEB[n % 2], 80) as sock:
        fetch(sock, 8_000_000)


def up(n):
    body = os.urandom(1 << 16) * 64
    with dial(WEB[n % 2], 80) as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        if hashlib.sha256(body).hexdigest().encode() not in head_of(sock)[1]:
            raise Wrong("another digest")


def short(n):
    data = b"\0" + struct.pack("!I", n)
    with dial(WEB[n % 2], 7) as sock:
        sock.sendall(data)
        got = sock.recv(64)
        if got != data and got:
            raise Wrong("another echo")
        if not got:
            raise OSError("ended")


def datagram(n):
    with socket.socket(socket.AF_INET6 if n % 2 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.connect((WEB[n % 2], 5000))
        data = os.urandom(1 + n * 37 % 3000)
        sock.send(data)
        if sock.recv(4096) != data:
            raise Wrong("another datagram")


def ask(n, name, rcode):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(6)
        sock.connect((GATEWAY4, 53))
        sock.send(question(n, name))
        got = sock.recv(2048)[3] & 15
        if got == 2 and rcode == 0:  # SERVFAIL: the resolver is away
            raise OSError("servfail")
        if got != rcode:
            raise Wrong(f"{name}: {got}")


def tls(n):
    with TRUST.wrap_socket(dial(WEB[0], 443), server_hostname="web.example") as sock:
        fetch(sock, 1000 if n % 10 else 1_000_000)


def refused(n):
    """What no policy of the soak allows: nothing may ever answer."""
    try:
        with dial_soon(DENIED[n % len(DENIED)], (7, 80, 443)[n % 3]) as sock:
            sock.sendall(b"\0")
            raise Wrong("it opened")
    except TimeoutError:
        pass


def dial_soon(address, port):
    return socket.create_connection((address, port), 0.3)


def toggled(n):
    """Allowed by one of the two policies that follow each other; who reads the times knows which it was."""
    with dial_soon(TOGGLED, 7) as sock:
        sock.sendall(b"\0")
        if sock.recv(1) != b"\0":
            raise OSError("ended")


KINDS = {
    "down": (down, 0.2), "up": (up, 0.2), "short": (short, 0.002), "short2": (short, 0.002), "udp": (datagram, 0.005),
    "dns-hot": (lambda n: ask(n, "web.example", 0), 0.005),
    "dns-cold": (lambda n: ask(n, f"n{n % 3000}.many.example", 0), 0.005),
    "dns-denied": (lambda n: ask(n, f"n{n}.tracker.example", 3), 0.01),
    "tls": (tls, 0.02), "refused": (refused, 0.05), "toggled": (toggled, 0.02),
}


def work(kind, act, pause):
    n = 0
    while True:
        n += 1
        begun, what = time.monotonic(), ""
        try:
            act(n)
            outcome = "ok"
        except Wrong as wrong:
            outcome, what = "WRONG", str(wrong)
        except OSError as error:
            outcome, what = "failed", str(error).replace("\n", " ")
        os.write(1, f"{begun:.4f} {time.monotonic():.4f} {kind} {outcome} {what}\n".encode())
        time.sleep(pause)


for name, (action, rest) in KINDS.items():
    threading.Thread(target=work, args=(name, action, rest), daemon=True).start()
threading.Event().wait()
