"""Both ends of a published port.

  publish.py serve FILE PORT COUNT   in the guest: answers COUNT callers, over TCP and UDP and both
                                     families, in upper case; writes who called to FILE
  publish.py call PROTOCOL FROM TO PORT   in the internet: prints "answered", "garbled", "refused",
                                          "reset" or "silence"
"""
import selectors
import socket
import sys
import time


def serve(path, port, count):
    selector = selectors.DefaultSelector()
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        sock = socket.socket(socket.AF_INET6, kind)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        selector.register(sock, selectors.EVENT_READ)
    with open(path, "a") as log:
        log.write("ready\n")
        log.flush()
        for _ in range(count):
            ready = selector.select(20)
            if not ready:
                return
            sock = ready[0][0].fileobj
            if sock.type == socket.SOCK_STREAM:
                conn, peer = sock.accept()
                conn.settimeout(5)
                data = b""
                while more := conn.recv(65536):
                    data += more
                conn.sendall(data.upper())
                conn.close()
                time.sleep(0.5)  # what is sent ends with the guest
            else:
                data, peer = sock.recvfrom(65536)
                sock.sendto(data.upper(), peer)
            log.write("%s %s\n" % ("tcp" if sock.type == socket.SOCK_STREAM else "udp",
                                   peer[0].removeprefix("::ffff:")))
            log.flush()


def call(protocol, source, to, port):
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    sock.settimeout(3)
    sock.bind((source, 0))
    try:
        sock.connect((to, port))
        if protocol == "tcp":
            for _ in range(8):
                sock.sendall(b"hello" * 100000)
            sock.shutdown(socket.SHUT_WR)
            data = b""
            while more := sock.recv(65536):
                data += more
            return "answered" if data == b"HELLO" * 800000 else "garbled"
        sock.send(b"hello")
        return "answered" if sock.recv(100) == b"HELLO" else "garbled"
    except ConnectionRefusedError:
        return "refused"
    except (ConnectionResetError, BrokenPipeError):
        return "reset"
    except TimeoutError:
        return "silence"


if sys.argv[1] == "serve":
    serve(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    print(call(*sys.argv[2:5], int(sys.argv[5])))
