"""A guest as a virtual machine is one, with the kernel of this machine: an interface in a network namespace, and its
frames on a UNIX stream socket, each with its length before it.

machine.py SOCKET MTU    inside the namespace; says "up", and relays until it is killed or the socket ends
"""
import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000


def main():
    path, mtu = sys.argv[1:3]
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", b"eth0", IFF_TAP | IFF_NO_PI))
    for line in ("link set lo up", "link set eth0 address 02:6c:75:00:00:02", f"link set eth0 mtu {mtu} up",
                 "addr add 172.16.0.2/30 dev eth0", "addr add fd42:6d73:62::2/64 dev eth0 nodad",
                 "route add default via 172.16.0.1", "-6 route add default via fd42:6d73:62::1"):
        subprocess.run(["ip", *line.split()], check=True)
    link = socket.socket(socket.AF_UNIX)
    link.connect(path)

    def out():
        while True:
            frame = os.read(tap, 1 << 17)
            link.sendall(struct.pack(">I", len(frame)) + frame)
    threading.Thread(target=out, daemon=True).start()
    print("up", flush=True)
    held = b""
    while data := link.recv(1 << 18):
        held, at = held + data, 0
        while len(held) - at >= 4:
            end = at + 4 + struct.unpack_from(">I", held, at)[0]
            if end > len(held):
                break
            os.write(tap, held[at + 4:end])
            at = end
        held = held[at:]


main()
