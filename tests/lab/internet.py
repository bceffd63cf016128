"""The far side of the lab: resolver, servers on every address, and a log of every packet that arrives.

internet.py internet DIR    inside the namespace `internet`
internet.py host DIR        on the host: servers on loopback that nobody may reach

Logs, one line an entry, written at once:
  packets.log   PROTOCOL DESTINATION PORT   the first packet of a TCP connection, every other packet of any protocol
  queries.log   TRANSPORT RESOLVER NAME TYPE
  streams.log   DESTINATION PORT EVENT      accept, request HOST, eof, reset
  requests.log  HOST METHOD PATH AUTHORIZATION
  host.log      PROTOCOL ADDRESS PORT
"""
import asyncio
import contextlib
import hashlib
import ipaddress
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading

MODE, DIR = sys.argv[1], sys.argv[2]


class Log:
    def __init__(self, name):
        self.fd = os.open(os.path.join(DIR, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, *words):
        os.write(self.fd, (" ".join(str(w) for w in words) + "\n").encode())


# ---- packets ----

SYNC_PORT = 9  # a datagram to 192.0.2.2:9 puts its payload in the log: all earlier packets are in by then


def attach_filter(sock, expression):
    """A classic BPF program, so that bulk traffic costs nothing here."""
    text = subprocess.run(["tcpdump", "-ddd", "-y", "EN10MB", expression], check=True, capture_output=True,
                          text=True).stdout.split("\n")
    program = [struct.pack("HBBI", *map(int, line.split())) for line in text[1:] if line]
    blob = b"".join(program)
    import ctypes
    buffer = ctypes.create_string_buffer(blob)
    fprog = struct.pack("HL", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, 26, fprog)  # SO_ATTACH_FILTER
    return buffer


def packet_words(frame):
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == 0x0800:
        head = (frame[14] & 15) * 4
        protocol, destination = frame[23], ipaddress.ip_address(frame[30:34])
        fragment = struct.unpack_from("!H", frame, 20)[0] & 0x1FFF
        body = frame[14 + head:] if not fragment else b""
    elif kind == 0x86DD:
        protocol, destination, body = frame[20], ipaddress.ip_address(frame[38:54]), frame[54:]
        if protocol == 44:  # fragment header
            protocol, body = body[0], body[8:] if not struct.unpack_from("!H", body, 2)[0] & 0xFFF8 else b""
    else:
        return None
    name = {1: "icmpv4", 6: "tcp", 17: "udp", 58: "icmpv6"}.get(protocol, str(protocol))
    if name == "icmpv6" and body and body[0] in range(133, 138):
        return None  # neighbour discovery of the lab's own link
    if name == "icmpv6" and body and body[0] in (143, 130, 131, 132):
        return None
    if name == "0" and str(destination) == "ff02::16":
        return None  # multicast listeners of that link, behind a hop-by-hop header
    port = struct.unpack_from("!H", body, 2)[0] if name in ("tcp", "udp") and len(body) >= 4 else 0
    if name == "udp" and port == SYNC_PORT:
        return ("sync", bytes(body[8:]).decode("ascii", "replace"))
    return name, destination, port


def watch_packets():
    log = Log("packets.log")
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    keep = attach_filter(sock, "(ip or ip6) and (not tcp or tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn "
                               "or (ip6 and ip6[6] = 6 and ip6[53] & 0x12 = 0x02)) and not (ip6 and ip6[6] = 6 and ip6[53] & 0x12 != 0x02)")
    sock.bind(("eth0", 3))
    while True:
        try:
            frame, address = sock.recvfrom(2048)
        except OSError:  # told once, when the link goes down
            continue
        if address[2] == socket.PACKET_OUTGOING:
            continue
        words = packet_words(frame)
        if words:
            log.write(*words)
        del frame
    return keep


# ---- names ----

ZONE = {
    # public web servers; other.example shares the address of web.example
    "web.example": {"A": ["203.0.113.10"], "AAAA": ["2001:db8:1::10"]},
    "other.example": {"A": ["203.0.113.10"], "AAAA": ["2001:db8:1::10"]},
    "alt.example": {"A": ["203.0.113.11"], "AAAA": ["2001:db8:1::11"]},
    "git.example": {"A": ["203.0.113.12"]},
    "tracker.example": {"A": ["203.0.113.13"]},
    "alias.example": {"CNAME": "tracker.example"},
    "cdn.example": {"CNAME": "edge.cdn.example"},
    "edge.cdn.example": {"A": ["203.0.113.14"], "AAAA": ["2001:db8:1::14"]},
    "v4.example": {"A": ["203.0.113.15"]},
    "v6.example": {"AAAA": ["2001:db8:1::15"]},
    "rr.example": {"A": ["203.0.113.20", "203.0.113.21", "203.0.113.22", "203.0.113.23"], "rotate": True},
    "ssh.example": {"A": ["203.0.113.30"]},
    "dns.example": {"A": ["203.0.113.53"]},
    # answers that rebind protection is for
    "rebind.example": {"A": ["10.9.0.10"], "AAAA": ["fd99::10"]},
    "rebind-cgn.example": {"A": ["100.64.9.10"]},
    "rebind-loopback.example": {"A": ["127.0.0.1"], "AAAA": ["::1"]},
    "rebind-zero.example": {"A": ["0.0.0.0"]},
    "rebind-mapped.example": {"AAAA": ["::ffff:10.9.0.10"]},
    "rebind-nat64.example": {"AAAA": ["64:ff9b::a09:a"]},
    "rebind-metadata.example": {"A": ["169.254.169.254"]},
    "rebind-mixed.example": {"A": ["203.0.113.10", "10.9.0.10"]},
    "hints.example": {"A": ["203.0.113.10"], "HTTPS": ["1 . alpn=h2 ipv4hint=203.0.113.16 ech=AEX+DQBBpQAgACA="]},
    "hints-private.example": {"HTTPS": ["1 . ipv4hint=10.9.0.10"]},
    # trouble
    "big.example": {"TXT": [str(i).zfill(250) for i in range(12)]},
    "servfail.example": {"rcode": "SERVFAIL"},
    "silent.example": {"silent": True},
    "slow.example": {"A": ["203.0.113.10"], "delay": 1.0},
}
RESOLVERS = ["203.0.113.53", "203.0.113.55", "2001:db8:1::53"]  # 203.0.113.54 is bound by nobody: refused


def zone_entry(name):
    entry = ZONE.get(name)
    if entry is None and name.endswith(".many.example"):  # any number of names, each with an address of its own
        digest = hashlib.sha256(name.encode()).digest()
        entry = {"A": [f"198.51.100.{digest[0] % 254 + 1}"], "AAAA": [f"2001:db8:1::{digest[1]:x}:{digest[2]:x}"]}
    return entry


def answer(wire, transport, resolver, log):
    """The reply, or None, and the seconds to wait before it is sent."""
    import dns.flags
    import dns.message
    import dns.rcode
    import dns.rrset
    query = dns.message.from_wire(wire)
    question = query.question[0]
    name = question.name.to_text(omit_final_dot=True).lower()
    rtype = dns.rdatatype.to_text(question.rdtype)
    log.write(transport, resolver, name, rtype)
    reply = dns.message.make_response(query, recursion_available=True)
    owner, seen, delay, silent = question.name, 0, 0, False
    while seen < 8:
        entry = zone_entry(owner.to_text(omit_final_dot=True).lower())
        seen += 1
        if entry is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
            break
        delay, silent = entry.get("delay", 0), entry.get("silent", False)
        if "rcode" in entry:
            reply.set_rcode(dns.rcode.from_text(entry["rcode"]))
            break
        if "CNAME" in entry and rtype != "CNAME":
            reply.answer.append(dns.rrset.from_text(owner, 60, "IN", "CNAME", entry["CNAME"] + "."))
            owner = dns.name.from_text(entry["CNAME"])
            continue
        values = entry.get(rtype, [])
        if entry.get("rotate") and values:
            values.append(values.pop(0))
            values = values[:1]
        if rtype == "TXT":
            values = ['"' + value + '"' for value in values]
        if values:
            reply.answer.append(dns.rrset.from_text(owner, 60, "IN", rtype, *values))
        break
    if silent:
        return None, 0
    out = reply.to_wire(max_size=65535)
    limit = max(query.payload, 512) if query.edns >= 0 else 512
    if transport == "udp" and len(out) > limit:
        short = dns.message.make_response(query, recursion_available=True)
        short.flags |= dns.flags.TC
        out = short.to_wire()
    return out, delay


class ResolverUdp(asyncio.DatagramProtocol):
    def __init__(self, resolver, log):
        self.resolver, self.log = resolver, log

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        out, delay = answer(data, "udp", self.resolver, self.log)
        if out is not None:
            asyncio.get_running_loop().call_later(delay, self.transport.sendto, out, peer)


def resolver_tcp(resolver, log, transport="tcp"):
    async def serve(reader, writer):
        try:
            while True:
                length = struct.unpack("!H", await reader.readexactly(2))[0]
                out, delay = answer(await reader.readexactly(length), transport, resolver, log)
                await asyncio.sleep(delay)
                if out is not None:
                    writer.write(struct.pack("!H", len(out)) + out)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
    return serve


# ---- servers ----

REQUESTS = Log("requests.log" if MODE == "internet" else "host-requests.log")
FILE_BYTES = 1 << 30
PATTERN = hashlib.sha256(b"lunette").digest() * 32768  # 1 MiB


def served(streams, handler):
    async def serve(reader, writer):
        local = writer.get_extra_info("sockname")
        where = (local[0].removeprefix("::ffff:"), local[1], streams)
        streams.write(where[0], where[1], "accept")
        try:
            await handler(reader, writer, where)
            streams.write(where[0], where[1], "eof")
        except (ConnectionError, asyncio.IncompleteReadError, OSError):
            streams.write(where[0], where[1], "reset")
        finally:
            writer.close()
    return serve


async def read_head(reader):
    return await reader.readuntil(b"\r\n\r\n")


def reply(body, status="200 OK", close=False):
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n" + ("Connection: close\r\n" if close else "")
    return head.encode() + b"Content-Type: text/plain\r\n\r\n" + body


async def send_pattern(writer, length):
    while length > 0:
        part = PATTERN[:length]
        writer.write(part)
        length -= len(part)
        await writer.drain()


async def send_file(writer, path):
    """Static files, for git over the dumb protocol."""
    full = os.path.realpath(os.path.join(DIR, "files", path.lstrip("/")))
    if not full.startswith(os.path.join(os.path.realpath(DIR), "files")) or not os.path.isfile(full):
        writer.write(reply(b"no such file\n", "404 Not Found"))
        return
    with open(full, "rb") as f:
        writer.write(reply(f.read()))


async def http(reader, writer, where):
    """GET / says who answered, GET /bytes/N sends N bytes, PUT answers with the SHA-256 of the body."""
    while True:
        try:
            head = await read_head(reader)
        except asyncio.IncompleteReadError:
            return
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3:
            writer.write(reply(b"", "400 Bad Request", close=True))
            return
        method, path = words[0], words[1].partition("?")[0]
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        where[2].write(where[0], where[1], "request", headers.get("host", "-"))
        REQUESTS.write(headers.get("host", "-"), method, path, headers.get("authorization", "-"))
        if method == "PUT":
            if headers.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            left, digest = int(headers["content-length"]), hashlib.sha256()
            while left > 0:
                part = await reader.read(min(left, 1 << 20))
                if not part:
                    return
                digest.update(part)
                left -= len(part)
            writer.write(reply(digest.hexdigest().encode() + b"\n"))
        elif path.startswith("/bytes/"):
            length = int(path.rsplit("/", 1)[1])
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode())
            await send_pattern(writer, length)
        elif path == "/":
            host = headers.get("host", "")
            writer.write(reply(f"{where[0]} port {where[1]} for {host}\n".encode()))
        else:
            await send_file(writer, path)
        await writer.drain()


async def echo(reader, writer, where):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def banner_first(reader, writer, where):
    """As SSH does: the server speaks first, then both exchange lines."""
    writer.write(b"SSH-2.0-lab\r\n")
    line = await reader.readline()
    writer.write(b"hello " + line)
    await writer.drain()


async def fast_sender(reader, writer, where):
    await send_pattern(writer, 256 << 20)


async def count_until_eof(reader, writer, where):
    """Reads all, then answers: the client has to half-close, and to read after that."""
    count = 0
    while data := await reader.read(1 << 16):
        count += len(data)
    writer.write(f"{count}\n".encode())
    await writer.drain()


async def reset_at_once(reader, writer, where):
    await reader.read(1)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


SERVERS = {80: http, 8080: http, 7: echo, 22: banner_first, 9001: fast_sender, 9002: count_until_eof,
           9003: reset_at_once}


def udp_echo(port, log_words=None):
    """Answers from the address that was asked, whichever it is."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.IPPROTO_IPV6, 49, 1)  # IPV6_RECVPKTINFO
    sock.bind(("::", port))

    def run():
        while True:
            data, control, _, peer = sock.recvmsg(65536, 256)
            if log_words:
                log_words(port)
            if data.startswith(b"silent"):
                continue
            count = 1
            if data.startswith(b"repeat "):
                count = int(data.split()[1])
            control = [(level, kind, value) for level, kind, value in control if kind == 50]
            with contextlib.suppress(OSError):  # there may be no way back
                for _ in range(count):
                    sock.sendmsg([data], control, 0, peer)
    threading.Thread(target=run, daemon=True).start()


def make_certificates():
    """A CA, and one certificate for every name of the zone; once, for all who serve in DIR one after another."""
    if os.path.exists(os.path.join(DIR, "server.pem")):
        return
    names = ",".join(f"DNS:{name}" for name in list(ZONE) + ["*.many.example"]) + ",IP:203.0.113.10"
    run = lambda *argv: subprocess.run(argv, check=True, capture_output=True, cwd=DIR)
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=lab CA")
    run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key",
        "-out", "server.csr", "-subj", "/CN=lab")
    with open(os.path.join(DIR, "ext"), "w") as f:
        f.write(f"subjectAltName={names}\n")
    run("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
        "30", "-extfile", "ext", "-out", "server.pem")


async def internet():
    make_certificates()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(DIR, "server.pem"), os.path.join(DIR, "server.key"))
    queries, streams = Log("queries.log"), Log("streams.log")
    Log("packets.log")
    threading.Thread(target=watch_packets, daemon=True).start()
    loop = asyncio.get_running_loop()
    for resolver in RESOLVERS:
        await loop.create_datagram_endpoint(lambda r=resolver: ResolverUdp(r, queries), (resolver, 53))
        await asyncio.start_server(resolver_tcp(resolver, queries), resolver, 53)
        await asyncio.start_server(resolver_tcp(resolver, queries, "tls"), resolver, 853, ssl=context)
    for port, handler in SERVERS.items():
        await asyncio.start_server(served(streams, handler), None, port, backlog=1024)
    for port in (443, 8443):
        await asyncio.start_server(served(streams, http), None, port, backlog=1024, ssl=context)
    for port in (7, 443, 5000):
        udp_echo(port)


async def host():
    log = Log("host.log")

    async def noticed(reader, writer, where):
        log.write("tcp", where[0], where[1])
        writer.write(reply(b"the host's own\n", close=True))
        await writer.drain()
    for address in ("127.0.0.1", "::1"):
        await asyncio.start_server(served(Log("host-streams.log"), noticed), address, 8080)
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.bind((address, 5000))

        def run(sock=sock, address=address):
            while True:
                data, peer = sock.recvfrom(65536)
                log.write("udp", address, 5000)
                sock.sendto(data, peer)
        threading.Thread(target=run, daemon=True).start()


async def main():
    await (internet() if MODE == "internet" else host())
    with open(os.path.join(DIR, MODE + ".ready"), "w") as f:
        f.write(str(os.getpid()))
    await asyncio.Event().wait()


asyncio.run(main())
