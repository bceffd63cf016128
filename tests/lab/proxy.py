"""A proxy on the lab's host: SOCKS5 with user and password, and HTTP CONNECT, at one port.

proxy.py PORT LOG   each connection is a line in LOG: "socks5 TARGET PORT" or "http TARGET PORT"
"""
import asyncio
import base64
import socket
import struct
import sys

PORT, LOG = int(sys.argv[1]), sys.argv[2]
USER, PASSWORD = b"user", b"p@ss"


def log(*words):
    with open(LOG, "a") as file:
        print(*words, file=file)


async def copy(reader, writer):
    try:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except (ConnectionError, OSError):
        writer.transport.abort()


async def socks(reader, writer):
    methods = await reader.readexactly((await reader.readexactly(1))[0])
    assert 2 in methods
    writer.write(b"\5\2")
    assert await reader.readexactly(2) == bytes([1, len(USER)])
    given = await reader.readexactly(len(USER)), await reader.readexactly((await reader.readexactly(1))[0])
    writer.write(b"\1" + bytes([given != (USER, PASSWORD)]))
    _, command, _, kind = await reader.readexactly(4)
    assert command == 1
    if kind == 3:
        target = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    else:
        family, length = {1: (socket.AF_INET, 4), 4: (socket.AF_INET6, 16)}[kind]
        target = socket.inet_ntop(family, await reader.readexactly(length))
    port = struct.unpack(">H", await reader.readexactly(2))[0]
    return "socks5", target, port, b"\5\0\0\1" + bytes(6), b"\5\5\0\1" + bytes(6)


async def connect(reader, writer, first):
    head = first + await reader.readuntil(b"\r\n\r\n")
    assert b"Basic " + base64.b64encode(USER + b":" + PASSWORD) in head
    target, port = head.split()[1].decode().rsplit(":", 1)
    return "http", target.strip("[]"), int(port), b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 502 No\r\n\r\n"


async def serve(reader, writer):
    first = await reader.readexactly(1)
    kind, target, port, yes, no = await (socks(reader, writer) if first == b"\5" else connect(reader, writer, first))
    log(kind, target, port)
    try:
        far = await asyncio.open_connection(target, port)
    except OSError:
        writer.write(no)
        writer.close()
        return
    writer.write(yes)
    await asyncio.gather(copy(reader, far[1]), copy(far[0], writer))
    writer.close()
    far[1].close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT)
    log("ready")
    await server.serve_forever()

asyncio.run(main())
