"""Inside a guest: floods of frames, and an honest user beside them.

flood.py flood KIND COUNT    sends COUNT frames, or holds COUNT connections until its stdin ends; see KINDS at the end
flood.py honest              opens connections and resolves names, one after another, until its stdin ends; says of each,
                             a line: MONOTONIC-SECONDS tcp|dns|kept ok|failed MILLISECONDS
"""
import errno
import ipaddress
import os
import random
import resource
import select
import socket
import struct
import sys
import time

DEVICE = "eth0"
GATEWAY_MAC, GUEST_MAC = bytes.fromhex("026c75000001"), bytes.fromhex("026c75000002")
GUEST4, GATEWAY4 = "172.16.0.2", "172.16.0.1"
NET6, GUEST6 = ipaddress.ip_network("fd42:6d73:62::/64"), "fd42:6d73:62::2"
SERVER4, SERVER6, DENIED = "203.0.113.10", "2001:db8:1::10", "10.9.0.10"
SYN, RST, ACK = 2, 4, 16


# ---- frames ----

def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(address):
    return ipaddress.ip_address(address).packed


def ip(src, dst, protocol, payload, ident=1, fragment=0):
    """A whole frame; the checksum of the payload, where it has one, is filled in by its maker."""
    src, dst = packed(src), packed(dst)
    eth = GATEWAY_MAC + GUEST_MAC
    if len(src) == 16:
        return eth + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + src + dst + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), ident, fragment, 64, protocol, 0) + src + dst
    return eth + b"\x08\0" + head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def summed(src, dst, protocol, payload, at):
    src, dst = packed(src), packed(dst)
    pseudo = src + dst + struct.pack("!IHBB", len(payload), 0, 0, protocol)
    return payload[:at] + struct.pack("!H", checksum(pseudo + payload) or 0xFFFF) + payload[at + 2:]


def udp(src, sport, dst, dport, data):
    return ip(src, dst, 17, summed(src, dst, 17, struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data, 6))


def tcp(src, sport, dst, dport, seq, ack, flags, window=65535, data=b""):
    head = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, window, 0, 0)
    return ip(src, dst, 6, summed(src, dst, 6, head + data, 16))


def echo4(number):
    body = struct.pack("!BBHHH", 8, 0, 0, number & 0xFFFF, 1) + b"x" * 16
    return ip(GUEST4, f"203.0.113.{number % 250 + 1}", 1, body[:2] + struct.pack("!H", checksum(body)) + body[4:])


def arp(number):
    who = ipaddress.ip_address("172.16.0.0") + number % 65536
    return (b"\xff" * 6 + GUEST_MAC + b"\x08\x06" + bytes.fromhex("0001080006040001") + GUEST_MAC + packed(GUEST4)
            + bytes(6) + who.packed)


def solicitation(number):
    target = packed(NET6[number % 65536])
    group = "ff02::1:ff" + target[13:14].hex() + ":" + target[14:].hex()
    body = struct.pack("!BBHI", 135, 0, 0, 0) + target + b"\1\1" + GUEST_MAC
    frame = ip(GUEST6, group, 58, summed(GUEST6, group, 58, body, 2))
    frame = b"\x33\x33\xff" + target[13:] + frame[6:]
    return frame[:21] + b"\xff" + frame[22:]  # hop limit


def stranger(number):
    """An address of the guest's own subnet that its kernel does not have: nobody answers what comes there."""
    return str(NET6[0x10000 + number])


def question(number, name):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)


def wire():
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.bind((DEVICE, 3))
    return sock


def pour(count, make, kinds=4096):
    """Sends `count` frames, of which `kinds` are different, as fast as the link takes them."""
    sock = wire()
    frames = [make(i) for i in range(min(count, kinds))]
    for i in range(count):
        while True:
            try:
                sock.send(frames[i % len(frames)])
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                time.sleep(0.0005)


def wait_for_end():
    print("holding", flush=True)
    while os.read(0, 4096):
        pass


# ---- connections of strangers: enough of TCP to open them, and to be a nuisance ----

class Strangers:
    """Raw connections to SERVER6, from one address each."""

    def __init__(self, count, port, window):
        self.sock, self.port, self.window = wire(), port, window
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
        self.open = {}  # number -> (seq, ack)
        self.request = {}
        for start in range(0, count, 64):
            for number in range(start, min(start + 64, count)):
                self.send(number, 1000, 0, SYN)
            self.hear(0.02)

    def send(self, number, seq, ack, flags, data=b""):
        self.sock.send(tcp(stranger(number), 40000, SERVER6, self.port, seq, ack, flags, self.window, data))

    def hear(self, seconds, answer=None):
        """Completes handshakes; gives what else comes to `answer(number, seq, length)`."""
        end = time.monotonic() + seconds
        while select.select([self.sock], [], [], max(0, end - time.monotonic()))[0]:
            frame = self.sock.recv(70000)
            if len(frame) < 74 or frame[12:14] != b"\x86\xdd" or frame[20] != 6 or frame[0:6] != GUEST_MAC:
                continue
            number = int.from_bytes(frame[38:54], "big") - int(NET6[0x10000])
            seq, ack = struct.unpack_from("!II", frame, 58)
            flags = frame[67]
            if flags & SYN and number >= 0:
                self.open[number] = seq + 1
                self.send(number, 1001, seq + 1, ACK)
            elif answer and number in self.open:
                length = len(frame) - 54 - (frame[66] >> 4) * 4
                answer(number, seq, length)
        return len(self.open)


def deserted(count):
    """Connections that are opened, and of which nothing is heard again."""
    strangers = Strangers(count, 7, 65535)
    strangers.hear(0.5)
    wait_for_end()


def shut(count, window=0):
    """A window of no bytes (or one), and megabytes asked for."""
    strangers = Strangers(count, 80, window)
    strangers.hear(0.5)
    request = b"GET /bytes/10000000 HTTP/1.1\r\nHost: x\r\n\r\n"
    for number, ack in strangers.open.items():
        strangers.send(number, 1001, ack, ACK, request)

    def answer(number, seq, length):
        if length > 0 and seq == strangers.open[number]:
            strangers.open[number] = seq + (length if window else 0)
        strangers.send(number, 1001 + len(request), strangers.open[number], ACK)
    strangers.hear(1, answer)
    wait_for_end()


def acks(count):
    """Of connections that are there, the same again and again; and of none."""
    strangers = Strangers(16, 7, 65535)
    strangers.hear(0.5)
    frames = [tcp(stranger(number), 40000, SERVER6, 7, 1001, ack, ACK, 60000 + i)
              for number, ack in strangers.open.items() for i in range(64)]
    pour(count // 2, lambda i: frames[i % len(frames)])
    pour(count // 2, lambda i: tcp(GUEST4, 1024 + i, SERVER4, 80, i, i, ACK))


# ---- connections of the guest's own kernel ----

def sockets(count, address, port, first):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held, failed = [], {}
    for i in range(count):
        sock = socket.socket()
        sock.settimeout(0.3)
        held.append(sock)
        try:
            sock.connect((address, port))
            sock.send(first)
        except OSError as error:
            failed[type(error).__name__] = failed.get(type(error).__name__, 0) + 1
    if failed:
        print(f"flood: {port}: {failed}", file=sys.stderr)
    wait_for_end()


def random_target(i):
    rng = random.Random(i)
    if i % 2:
        return udp(GUEST6, rng.randrange(1024, 65536), str(ipaddress.ip_address("2001:db8:1::") + rng.randrange(65536)),
                   rng.randrange(1, 65536), b"x" * 100)
    return udp(GUEST4, rng.randrange(1024, 65536), f"203.0.113.{rng.randrange(1, 255)}", rng.randrange(1, 65536), b"x" * 100)


KINDS = {
    "syn": lambda n: pour(n, lambda i: tcp(stranger(i), 1024 + i % 60000, SERVER6, 80, i, 0, SYN), 100000),
    "syn-closed": lambda n: pour(n, lambda i: tcp(stranger(i), 1024 + i % 60000, SERVER6, 4, i, 0, SYN), 100000),
    "syn-denied": lambda n: pour(n, lambda i: tcp(GUEST4, 1024 + i % 60000, DENIED, 1 + i // 60000, i, 0, SYN), 100000),
    "syn-dns": lambda n: pour(n, lambda i: tcp(stranger(i), 1024 + i % 60000, SERVER6, 53, i, 0, SYN), 100000),
    "udp": lambda n: pour(n, random_target, 20000),
    "fragments": lambda n: pour(n, lambda i: ip(GUEST4, SERVER4, 17, b"x" * 1400, i & 0xFFFF, 0x2000 | (i % 40) * 180), 65536),
    "icmp": lambda n: pour(n, echo4, 65536),
    "arp": lambda n: pour(n, arp),
    "ndp": lambda n: pour(n, solicitation),
    "garbage": lambda n: pour(n, lambda i: GATEWAY_MAC + GUEST_MAC + random.Random(i).choice(
        (b"\x08\0\x45", b"\x86\xdd\x60", b"\x08\x06", b"\x81\0")) + random.Random(i).randbytes(60 + i % 1200)),
    "dns": lambda n: pour(n, lambda i: udp(GUEST4, 1024 + i % 60000, GATEWAY4, 53, question(i, f"n{i}.many.example")), 20000),
    "dns-denied": lambda n: pour(n, lambda i: udp(GUEST4, 1024 + i % 60000, GATEWAY4, 53,
                                                  question(i, f"n{i}.tracker.example")), 20000),
    "acks": acks,
    "deserted": deserted,
    "zero-window": shut,
    "tiny-window": lambda n: shut(n, 1),
    "dns-streams": lambda n: sockets(n, GATEWAY4, 53, b"\0"),
    "first-flight": lambda n: sockets(n, SERVER4, 443, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
}


# ---- the honest user ----

def connect_once():
    with socket.create_connection((SERVER4, 7), 0.25) as sock:
        sock.sendall(b"\0")  # no name comes after that
        return sock.recv(1) == b"\0"


def resolve_once(number=[0]):
    number[0] += 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.25)
        sock.connect((GATEWAY4, 53))
        sock.send(question(number[0], "web.example"))
        return len(sock.recv(512)) > 40


def honest():
    kept = socket.create_connection((SERVER4, 7), 5)
    kept.settimeout(0.25)
    owed = 0

    def exchange():
        nonlocal owed
        kept.sendall(b"\0")
        owed += 1
        while owed:
            got = kept.recv(64)
            if not got:
                raise OSError("ended")
            owed -= len(got)
        return True
    while not select.select([0], [], [], 0.01)[0]:
        for name, attempt in (("tcp", connect_once), ("dns", resolve_once), ("kept", exchange)):
            at = time.monotonic()
            try:
                good = attempt()
            except OSError:
                good = False
            now = time.monotonic()
            print(f"{at:.4f} {name} {'ok' if good else 'failed'} {(now - at) * 1000:.1f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "honest":
        honest()
    else:
        KINDS[sys.argv[2]](int(sys.argv[3]))
