"""Tries flows and says what became of each: probe.py FILE [SECONDS]

Each line of FILE is PROTOCOL ADDRESS PORT [sni NAME | host NAME | banner]; the outcome is one line each, in order:
  open         an answer came
  refused      the connection was refused (RST to the SYN)
  reset        the connection was reset after it had opened
  closed       it ended without a byte
  unreachable  an ICMP error came
  prohibited   likewise: administratively prohibited
  silence      nothing within SECONDS (default 1.5)
"""
import asyncio
import errno
import socket
import ssl
import struct
import sys

SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 1.5
LIMIT = asyncio.Semaphore(64)
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE


def of_error(error):
    code = getattr(error, "errno", None)
    if code in (errno.ECONNREFUSED,):
        return "refused"
    if code in (errno.ECONNRESET, errno.EPIPE):
        return "reset"
    if code in (errno.EACCES, errno.EPERM):
        return "prohibited"
    if code in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENONET, errno.EADDRNOTAVAIL):
        return "unreachable"
    return f"error-{errno.errorcode.get(code, error.__class__.__name__)}"


async def tcp(address, port, kind, name):
    writer = None
    try:
        if kind == "sni":
            reader, writer = await asyncio.open_connection(address, port, ssl=TLS, server_hostname=name)
            writer.write(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        else:
            reader, writer = await asyncio.open_connection(address, port)
            if kind == "host":
                writer.write(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            elif kind != "banner":
                writer.write(b"ping\r\n\r\n")
        return "open" if await reader.read(1) else "closed"
    except (ssl.SSLError, ConnectionResetError) as error:
        return of_error(error) if isinstance(error, ConnectionResetError) else "reset"
    except OSError as error:
        return of_error(error)
    finally:
        if writer is not None:
            writer.transport.abort()


async def datagram(family, kind, protocol, address, port, payload):
    loop = asyncio.get_running_loop()
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    try:
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, 25, 1)
        sock.connect((address, port))
        sock.send(payload)
        await loop.sock_recv(sock, 65536)
        return "open"
    except OSError as error:
        return of_error(error)
    finally:
        sock.close()


async def attempt(words):
    protocol, address, port = words[0], words[1], int(words[2]) if len(words) > 2 else 0
    kind, name = (words[3] if len(words) > 3 else None), (words[4] if len(words) > 4 else None)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if protocol == "tcp":
        return await tcp(address, port, kind, name)
    if protocol == "udp":
        return await datagram(family, socket.SOCK_DGRAM, 0, address, port, b"ping")
    if protocol == "icmpv4":
        return await datagram(family, socket.SOCK_DGRAM, socket.IPPROTO_ICMP, address, 0,
                              struct.pack("!BBHHH", 8, 0, 0, 0, 1) + b"ping")
    return await datagram(family, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6, address, 0,
                          struct.pack("!BBHHH", 128, 0, 0, 0, 1) + b"ping")


async def bounded(line):
    async with LIMIT:
        try:
            return await asyncio.wait_for(attempt(line.split()), SECONDS)
        except asyncio.TimeoutError:
            return "silence"


async def main():
    with open(sys.argv[1]) as f:
        lines = [line for line in f.read().split("\n") if line]
    for outcome in await asyncio.gather(*map(bounded, lines)):
        print(outcome)


asyncio.run(main())
