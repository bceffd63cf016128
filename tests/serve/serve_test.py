#!/usr/bin/python3
"""`lunette serve` and `lunette ctl` as a virtual machine monitor and its operator meet them.

usage: tests/serve/serve_test.py [BUILD_DIR [TEST...]]

Nothing of the machine is touched but a temporary directory. Needs user namespaces.
"""
import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = os.path.abspath(sys.argv.pop(1) if len(sys.argv) > 1 else "build")
LUNETTE = os.path.join(BUILD, "lunette")
GUEST_MAC, GATEWAY_MAC = bytes.fromhex("026c75000002"), bytes.fromhex("026c75000001")
GUEST, GATEWAY = bytes([172, 16, 0, 2]), bytes([172, 16, 0, 1])


# Somebody's root, for whom nobody has the key any more.
ROOT = """-----BEGIN CERTIFICATE-----
MIIBejCCAR+gAwIBAgIUZ9kAE4hF3vTyNBU3au4fLv+2Uu8wCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbm9ib2R5MCAXDTI2MTEyNTAxMTgzNFoYDzIxMjYxMTAxMDEx
ODM0WjARMQ8wDQYDVQQDDAZub2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AASva+AFOmRhccthWFAlg/1DlODU58mAXBbZKnf5QteWujgIFbfl7+bctrkevBnU
/m9xh21JfNnBZVZY1wAoJ6c6o1MwUTAdBgNVHQ4EFgQUTS3DKyyvu9ZTE6bbEudB
ixrEhMowHwYDVR0jBBgwFoAUTS3DKyyvu9ZTE6bbEudBixrEhMowDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEApOcJsStCcuzMJxzZSnl0+aBlFUi2
+4PbclLrIz8u0EACIQCXQ1Jydf4dmd20V2PJSbC6GWRQYmi+gRsa0+/X33Fsgg==
-----END CERTIFICATE-----
"""


def in_slot(slot, address):
    """The MAC or IP address there that corresponds to this one of slot 0."""
    if len(address) == 6:
        return address[:4] + bytes([slot]) + address[5:]
    return address[:3] + bytes([address[3] + 4 * slot])


def arp(slot=0):
    """The guest asks who has the gateway's address."""
    mac = in_slot(slot, GUEST_MAC)
    return (b"\xff" * 6 + mac + b"\x08\x06" + bytes.fromhex("0001080006040001")
            + mac + in_slot(slot, GUEST) + bytes(6) + in_slot(slot, GATEWAY))


def is_reply(frame, slot=0):
    return (frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2"
            and frame[22:28] == in_slot(slot, GATEWAY_MAC))


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def udp(dst, dst_port, payload, src_port=40000, slot=0):
    src = in_slot(slot, GUEST)
    header = struct.pack(">HHHH", src_port, dst_port, 8 + len(payload), 0)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 1, 0, 64, 17, 0, src, dst)
    ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
    return in_slot(slot, GATEWAY_MAC) + in_slot(slot, GUEST_MAC) + b"\x08\0" + ip + header + payload


def syn(dst, dst_port, src_port=40000):
    tcp = struct.pack(">HHIIBBHHH", src_port, dst_port, 1, 0, 0x50, 2, 65535, 0, 0)
    pseudo = GUEST + dst + struct.pack(">BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp)) + tcp[18:]
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0, GUEST, dst)
    ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
    return GATEWAY_MAC + GUEST_MAC + b"\x08\0" + ip + tcp


def segment(dst, dst_port, seq, ack, payload, src_port=40000):
    """Data of a connection that is open."""
    tcp = struct.pack(">HHIIBBHHH", src_port, dst_port, seq, ack, 0x50, 0x18, 65535, 0, 0) + payload
    pseudo = GUEST + dst + struct.pack(">BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp)) + tcp[18:]
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0, GUEST, dst)
    ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
    return GATEWAY_MAC + GUEST_MAC + b"\x08\0" + ip + tcp


def free_port():
    with contextlib.closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Stream:
    """A guest behind a stream socket."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(5)

    def send(self, frame):
        self.sock.sendall(struct.pack(">I", len(frame)) + frame)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def receive(self):
        return self.exactly(struct.unpack(">I", self.exactly(4))[0])


class Served(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="lunette-serve-")
        self.addCleanup(self.dir.cleanup)
        self.policy = self.file("policy.lua", 'return { rules = { "allow@host" } }\n')
        self.path, self.control = self.at("guest"), self.at("control")

    def at(self, name):
        return os.path.join(self.dir.name, name)

    def file(self, name, text):
        with open(self.at(name), "w") as file:
            file.write(text)
        return self.at(name)

    def serve(self, *args, pass_fds=(), env=None, policy=None, before=()):
        """Starts lunette, and waits until it is ready."""
        ready, tell = os.pipe()
        process = subprocess.Popen(
            [*before, LUNETTE, "serve", "--ready-fd", str(tell), "--events", self.at("events"), *args,
             policy or self.policy],
            pass_fds=(tell, *pass_fds), env=env, stderr=subprocess.PIPE, text=True)
        os.close(tell)
        self.addCleanup(process.stderr.close)
        self.addCleanup(self.end, process)
        self.assertEqual(os.read(ready, 10), b"\n")
        os.close(ready)
        return process

    def end(self, process, how=signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(how)
            process.wait(timeout=10)
        return process.returncode

    def events(self, **fields):
        with open(self.at("events")) as file:
            events = [json.loads(line) for line in file]
        return [e for e in events if all(e.get(k) == v for k, v in fields.items())]

    def expect_event(self, **fields):
        for _ in range(100):
            if self.events(**fields):
                return
            time.sleep(0.02)
        self.fail("no event %s" % fields)

    def dial(self, path=None):
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.connect(path or self.path)
        return Stream(sock)

    def ctl(self, *words, control=None):
        return subprocess.run([LUNETTE, "ctl", "--control", control or self.control, *words], text=True,
                              capture_output=True, timeout=20)

    # ---- links ----

    def test_stream_serves_one_guest_after_the_other(self):
        self.serve("--stream", self.path)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)
        for _ in range(3):
            guest = self.dial()
            guest.send(arp())
            self.assertTrue(is_reply(guest.receive()))
            guest.sock.close()

    def test_stream_with_broken_framing_is_cut_off(self):
        self.serve("--stream", self.path)
        guest = self.dial()
        guest.sock.sendall(bytes(4))
        self.assertEqual(guest.sock.recv(1), b"")
        guest = self.dial()
        guest.send(arp())
        self.assertTrue(is_reply(guest.receive()))

    def test_broken_framing_is_told_once(self):
        process = self.serve("--stream", self.path)
        for _ in range(3):
            guest = self.dial()
            guest.sock.sendall(bytes(4))
            self.assertEqual(guest.sock.recv(1), b"")
        self.end(process)
        self.assertEqual(process.stderr.read().count("cut off"), 1)

    def test_flows_of_a_guest_that_hangs_up_are_closed(self):
        self.serve("--stream", self.path)
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(5)
            guest = self.dial()
            guest.send(udp(GATEWAY, server.getsockname()[1], b"hello"))
            self.assertEqual(server.recv(100), b"hello")
            guest.sock.close()
            self.expect_event(kind="flow_close", reason="guest_gone")

    def test_datagrams_are_answered_to_whoever_sent_last(self):
        self.serve("--dgram", self.path)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)
        for name in ("one", "two"):
            with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as guest:
                guest.bind(self.at(name))
                guest.settimeout(5)
                guest.sendto(arp(), self.path)
                self.assertTrue(is_reply(guest.recv(2000)))

    def test_descriptor_is_taken_for_what_it_is(self):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
            ours.settimeout(5)
            process = self.serve("--fd", str(theirs.fileno()), pass_fds=(theirs.fileno(),))
            theirs.close()
            if kind == socket.SOCK_STREAM:
                guest = Stream(ours)
                guest.send(arp())
                self.assertTrue(is_reply(guest.receive()))
                ours.close()
                self.assertEqual(process.wait(timeout=10), 0)
            else:
                ours.send(arp())
                self.assertTrue(is_reply(ours.recv(2000)))
                self.assertEqual(self.end(process), 0)
                ours.close()

    def test_listening_descriptor_is_accepted_at(self):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
            listener.bind(self.path)
            listener.listen()
            self.serve("--fd", str(listener.fileno()), pass_fds=(listener.fileno(),))
            for _ in range(2):
                guest = self.dial()
                guest.send(arp())
                self.assertTrue(is_reply(guest.receive()))
                guest.sock.close()

    def test_what_is_no_link_is_refused(self):
        with open(os.devnull) as null:
            run = subprocess.run([LUNETTE, "serve", "--fd", str(null.fileno()), "none"],
                                 pass_fds=(null.fileno(),), capture_output=True, text=True)
        self.assertEqual(run.returncode, 125)
        self.assertIn("neither", run.stderr)

    def test_counts_that_do_not_fit_are_usage_errors(self):
        two = ["--stream", "a", "--stream", "b"]
        for args, why in (
                (["none"], "link is missing"),
                (two, "policy is missing"),
                ([*two, "none", "none", "none"], "3 policies for 2 links"),
                (["--stream", "a", "none", "none"], "2 policies for 1 link"),
                ([*two, "none", "--pcap", "x"], "--pcap is given 1 time, for 2 guests"),
                ([*two, "none", *["--keylog", "x"] * 3], "or once for all"),
                ([*two, "none", "--pcap", "x", "--pcap", "x"], "two guests"),
                ([*two, "none", "--observe", "--observe"], "two guests"),
                ([*two, "none", "--slot", "65535"], "0 to 65534"),
                (["--fd", "3", "--fd", "3", "none"], "--fd 3: it is another guest's"),
                (["--stream", "a"] * 65 + ["none"], "more than 64 links")):
            run = subprocess.run([LUNETTE, "serve", *args], capture_output=True, text=True, timeout=20,
                                 cwd=self.dir.name)
            self.assertEqual(run.returncode, 2, args)
            self.assertIn(why, run.stderr)

    def test_socket_in_use_is_not_taken(self):
        self.serve("--stream", self.path)
        run = subprocess.run([LUNETTE, "serve", "--stream", self.path, "none"],
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 125)
        self.assertIn(self.path, run.stderr)
        self.assertTrue(os.path.exists(self.path))

    # ---- several guests ----

    OTHER, OTHER_GATEWAY = bytes([172, 16, 0, 6]), bytes([172, 16, 0, 5])

    def serve_two(self, *args, **kwargs):
        """The first may reach the host, the second only an address that is nobody's."""
        self.other_path, self.other_control = self.at("guest2"), self.at("control2")
        kwargs.setdefault("policy", self.file("other.lua", 'return { rules = { "allow@10.9.9.9" } }\n'))
        return self.serve("--stream", self.path, "--control", self.control, self.policy,
                          "--stream", self.other_path, "--control", self.other_control, *args, **kwargs)

    def test_guests_have_policies_addresses_and_controls_of_their_own(self):
        self.serve_two()
        one, two = self.dial(), self.dial(self.other_path)
        for slot, guest in enumerate((one, two)):
            guest.send(arp(slot))
            self.assertTrue(is_reply(guest.receive(), slot))
        one.send(udp(GATEWAY, 7, b"x"))
        two.send(udp(self.OTHER_GATEWAY, 7, b"x", slot=1))
        self.expect_event(kind="flow_open", slot=0, src="172.16.0.2")
        self.expect_event(kind="flow_denied", slot=1, src="172.16.0.6")
        stats = [json.loads(self.ctl("stats", control=c).stdout)
                 for c in (self.control, self.other_control)]
        self.assertEqual([s["slot"] for s in stats], [0, 1])
        self.assertEqual([(s["flows_opened"], s["flows_denied"]) for s in stats], [(1, 0), (0, 1)])
        self.assertEqual([json.loads(self.ctl("rules", control=c).stdout)[0]["hits"]
                          for c in (self.control, self.other_control)], [1, 0])
        flow = json.loads(self.ctl("flows").stdout)[0]
        self.assertEqual(self.ctl("revoke", str(flow["id"]), control=self.other_control).returncode, 1)
        self.assertEqual(len(json.loads(self.ctl("flows").stdout)), 1)

    def test_addresses_of_another_guest_are_neither_spoken_for_nor_reached(self):
        self.policy = self.file("policy.lua", 'return { rules = { "allow@*" } }\n')
        port = free_port()
        self.serve_two(policy=self.file(
            "other.lua", 'return { rules = { "allow@*" }, ports = { [%d] = 80 } }\n' % port))
        one, two = self.dial(), self.dial(self.other_path)
        two.send(arp(1))
        self.assertTrue(is_reply(two.receive(), 1))
        claims = udp(self.OTHER_GATEWAY, 9, b"x", slot=1)
        for frame in (claims, GATEWAY_MAC + GUEST_MAC + claims[12:], arp(1)):
            one.send(frame)
        for address in (self.OTHER, self.OTHER_GATEWAY):  # as any host that is not there
            one.send(udp(address, 80, b"x"))
            one.send(syn(address, port))
        one.send(arp())
        while not is_reply(one.receive()):
            pass
        self.assertEqual(self.events(src="172.16.0.6"), [])
        self.assertEqual(json.loads(self.ctl("stats").stdout)["drops"], {"mac": 1, "source": 2})
        other = json.loads(self.ctl("stats", control=self.other_control).stdout)
        self.assertEqual((other["flows_opened"], other["flows_denied"], other["frames_in"]), (0, 0, 1))
        two.sock.setblocking(False)
        with self.assertRaises(BlockingIOError):
            two.sock.recv(1)

    def test_guest_that_hangs_up_or_breaks_its_framing_leaves_the_other_alone(self):
        self.serve_two()
        other = self.dial(self.other_path)
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(5)
            self.file("other.lua", 'return { rules = { "allow@host" } }\n')
            self.assertEqual(self.ctl("reload", control=self.other_control).returncode, 0)
            self.expect_event(kind="reload", slot=1)
            self.assertEqual(self.events(kind="reload", slot=0), [])
            for breaks in (lambda sock: sock.close(), lambda sock: sock.sendall(bytes(4))):
                guest = self.dial()
                guest.send(udp(GATEWAY, 9, b"x"))
                other.send(udp(self.OTHER_GATEWAY, server.getsockname()[1], b"hello", slot=1))
                self.assertEqual(server.recv(100), b"hello")
                breaks(guest.sock)
                self.expect_event(kind="flow_close", reason="guest_gone", slot=0)
            self.assertEqual(self.events(kind="flow_close", slot=1), [])
            self.assertEqual(len(json.loads(self.ctl("flows", control=self.other_control).stdout)), 1)

    def test_hangup_signal_reloads_each_policy_by_itself(self):
        process = self.serve_two()
        self.file("policy.lua", "return { rulez = {} }\n")
        self.file("other.lua", 'return { rules = { "deny@host" } }\n')
        process.send_signal(signal.SIGHUP)
        self.expect_event(kind="reload", slot=1)
        first, second = (json.loads(self.ctl("rules", control=c).stdout)[0]["text"]
                         for c in (self.control, self.other_control))
        self.assertEqual((first, second), ("allow@host", "deny@host"))
        self.assertEqual(self.events(kind="reload", slot=0), [])

    def test_several_guests_end_with_the_last_link(self):
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(3)]
        fds = [theirs.fileno() for _, theirs in pairs]
        args = [arg for fd in fds for arg in ("--fd", str(fd), "--control", self.at("c%d" % fd))]
        process = self.serve(*args, pass_fds=fds)
        guests = []
        for ours, theirs in pairs:
            theirs.close()
            guests.append(Stream(ours))
            self.addCleanup(ours.close)
        for slot in (1, 0, 2):
            self.assertIsNone(process.poll())
            guests[slot].send(arp(slot))
            self.assertTrue(is_reply(guests[slot].receive(), slot))
            guests[slot].sock.close()
        self.assertEqual(process.wait(timeout=10), 0)
        self.assertFalse([name for name in os.listdir(self.dir.name) if name.startswith("c")])

    def test_secret_violation_ends_one_guest_only(self):
        env = dict(os.environ, XDG_DATA_HOME=self.at("data"), SSL_CERT_FILE=self.file("roots.pem", ROOT))
        self.policy = self.file("policy.lua", """return { policy = "allow-all", tls = {}, secrets = {
            { env = "TOKEN", value = "the-value", allow_hosts = { "api.example.com" },
              on_violation = "block-and-terminate" } } }""")
        process = self.serve_two("--placeholders", self.at("env"), "--placeholders", "", env=env)
        with open(self.at("env")) as file:
            placeholder = file.read().rstrip("\n").split("=", 1)[1]
        guest, other = self.dial(), self.dial(self.other_path)
        with contextlib.closing(socket.socket()) as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            port = server.getsockname()[1]
            guest.send(syn(GATEWAY, port))
            answer = guest.receive()
            while answer[12:14] != b"\x08\0":
                answer = guest.receive()
            ack = struct.unpack(">I", answer[38:42])[0] + 1
            guest.send(segment(GATEWAY, port, 2, ack, b"GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n"
                               % placeholder.encode()))
            with contextlib.suppress(EOFError, ConnectionResetError):
                while True:
                    guest.receive()
        with self.assertRaises(ConnectionError):
            self.dial()
        other.send(arp(1))
        self.assertTrue(is_reply(other.receive(), 1))
        self.assertEqual(self.end(process), 125)
        self.assertIn("slot 0: the sandbox is ended", process.stderr.read())

    def test_no_guest_gets_to_the_metrics_of_any(self):
        ports = [free_port(), free_port()]
        self.serve_two("--metrics", str(ports[0]), "--metrics", str(ports[1]))
        for slot, port in enumerate(ports):
            page = self.scrape(("127.0.0.1", port))
            self.assertIn('slot="%d"' % slot, page)
        guest = self.dial()
        for i, port in enumerate(ports):
            guest.send(syn(GATEWAY, port, src_port=5000 + i))
            self.expect_event(kind="flow_denied", slot=0, port=port)

    def test_several_guests_take_a_slot_each(self):
        two = ("--stream", self.at("x"), "--control", self.at("xc"))
        _, one = self.slot("--slot", "auto", *two)
        self.assertEqual(one, 1)
        self.assertEqual(json.loads(self.ctl("stats", control=self.at("xc")).stdout)["slot"], 2)

    def test_too_few_descriptors_for_all_are_told(self):
        limits = self.file("limits.lua", "return { limits = { max_connections = 300 } }\n")
        process = self.serve("--stream", self.path, "--stream", self.at("guest2"), policy=limits,
                             before=("prlimit", "--nofile=500"))
        self.assertEqual(self.end(process), 0)
        self.assertRegex(process.stderr.read(), "WARNING: .* 600 in all, .* 500 descriptors")

    # ---- life ----

    def test_sockets_are_removed_at_the_end_however_it_comes(self):
        for how, status in ((signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)):
            process = self.serve("--stream", self.path, "--control", self.control)
            self.assertEqual(self.end(process, how), status)
            for _ in range(100):
                if not os.path.exists(self.path) and not os.path.exists(self.control):
                    break
                time.sleep(0.02)
            self.assertFalse(os.path.exists(self.path), how)
            self.assertFalse(os.path.exists(self.control), how)

    def test_service_manager_is_told(self):
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
            manager.bind(self.at("notify"))
            manager.settimeout(5)
            process = self.serve("--stream", self.path,
                                 env={**os.environ, "NOTIFY_SOCKET": self.at("notify")})
            self.assertIn(b"READY=1", manager.recv(1000))
            process.send_signal(signal.SIGHUP)
            self.assertRegex(manager.recv(1000), br"^RELOADING=1\nMONOTONIC_USEC=\d+$")
            self.assertEqual(manager.recv(1000), b"READY=1")
            self.end(process)
            self.assertIn(b"STOPPING=1", manager.recv(1000))

    def test_bad_policy_starts_nothing(self):
        bad = self.file("bad.lua", "return { rulez = {} }\n")
        run = subprocess.run([LUNETTE, "serve", "--stream", self.path, bad], capture_output=True,
                             text=True)
        self.assertEqual(run.returncode, 2)
        self.assertIn("bad.lua:1", run.stderr)
        self.assertFalse(os.path.exists(self.path))

    def test_port_in_use_is_named(self):
        with contextlib.closing(socket.socket()) as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            policy = self.file("ports.lua", "return { ports = { [%d] = 80 } }\n" % port)
            run = subprocess.run([LUNETTE, "serve", "--stream", self.path, policy],
                                 capture_output=True, text=True)
            self.assertEqual(run.returncode, 125)
            self.assertIn("ports[%d]" % port, run.stderr)

    def test_process_is_confined(self):
        process = self.serve("--stream", self.path)
        with open("/proc/%d/status" % process.pid) as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        self.assertEqual(int(status["CapEff"], 16) | int(status["CapPrm"], 16), 0)
        self.assertEqual(status["NoNewPrivs"], "1")
        with open(LUNETTE, "rb") as file:
            instrumented = b"__asan_init" in file.read()
        self.assertEqual(status["Seccomp"], "0" if instrumented else "2")

    # ---- reload and control ----

    def test_hangup_signal_and_ctl_reload_the_policy_with_its_modules(self):
        self.file("module.lua", 'return "allow@host"\n')
        self.file("policy.lua", 'return { rules = { require "module" } }\n')
        process = self.serve("--stream", self.path, "--control", self.control)
        self.file("module.lua", 'return "deny@host"\n')
        process.send_signal(signal.SIGHUP)
        self.expect_event(kind="reload")
        self.assertEqual(json.loads(self.ctl("rules").stdout)[0]["text"], "deny@host")
        self.file("module.lua", "return 5\n")
        refused = self.ctl("reload")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("rules[1]", refused.stderr)
        self.assertEqual(json.loads(self.ctl("rules").stdout)[0]["text"], "deny@host")
        self.file("module.lua", 'return "allow@10.0.0.1"\n')
        self.assertEqual(self.ctl("reload").returncode, 0)
        self.assertEqual(json.loads(self.ctl("rules").stdout)[0]["text"], "allow@10.0.0.1")

    def test_watched_policy_is_read_again_when_it_changes(self):
        self.serve("--stream", self.path, "--control", self.control, "--watch")
        self.file("policy.lua", "return { rulez = {} }\n")
        self.file("fresh", 'return { rules = { "deny@host" } }\n')
        time.sleep(0.5)  # a bad one changes nothing
        self.assertEqual(json.loads(self.ctl("rules").stdout)[0]["text"], "allow@host")
        os.rename(self.at("fresh"), self.policy)
        self.expect_event(kind="reload")
        self.assertEqual(json.loads(self.ctl("rules").stdout)[0]["text"], "deny@host")
        run = subprocess.run([LUNETTE, "serve", "--stream", self.at("other"), "--watch", "none"],
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 125)
        self.assertIn("--watch", run.stderr)

    def test_flows_are_listed_and_revoked(self):
        self.serve("--stream", self.path, "--control", self.control)
        self.assertEqual(os.stat(self.control).st_mode & 0o777, 0o600)
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(5)
            port = server.getsockname()[1]
            guest = self.dial()
            guest.send(udp(GATEWAY, port, b"hello"))
            server.recv(100)
            flows = json.loads(self.ctl("flows").stdout)
            self.assertEqual(len(flows), 1)
            self.assertEqual(flows[0]["peer_port"], port)
            self.assertEqual(flows[0]["bytes_out"], 5)
            self.assertEqual(json.loads(self.ctl("stats").stdout)["flows_now"], 1)
            self.assertEqual(json.loads(self.ctl("rules").stdout)[0]["hits"], 1)
            self.assertEqual(self.ctl("revoke", str(flows[0]["id"])).returncode, 0)
            self.assertEqual(json.loads(self.ctl("flows").stdout), [])
            self.assertEqual(self.ctl("revoke", str(flows[0]["id"])).returncode, 1)
            self.expect_event(kind="flow_close", reason="revoked")

    def test_ctl_says_what_is_wrong(self):
        self.serve("--stream", self.path, "--control", self.control)
        self.assertEqual(self.ctl("bogus").returncode, 2)
        self.assertEqual(self.ctl("revoke").returncode, 2)
        self.assertEqual(self.ctl("revoke", "nobody.example").returncode, 1)
        self.control = self.at("nowhere")
        self.assertEqual(self.ctl("stats").returncode, 1)

    def test_idle_and_silly_clients_do_not_keep_others_out(self):
        self.serve("--stream", self.path, "--control", self.control)
        idle = []
        for i in range(20):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.connect(self.control)
            idle.append(client)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            idle[-1].sendall(b"x" * 100000)
        self.assertEqual(self.ctl("stats").returncode, 0)

    def test_control_socket_of_run_is_hidden_from_the_command(self):
        run = subprocess.run(
            [LUNETTE, "run", "--control", self.control, "none", "--", "python3", "-c",
             "import socket; socket.socket(socket.AF_UNIX).connect(%r)" % self.control],
            capture_output=True, text=True)
        self.assertNotIn(run.returncode, (0, 2, 125), run.stderr)
        self.assertFalse(os.path.exists(self.control))

    def test_flows_are_found_and_ranked(self):
        self.serve("--stream", self.path, "--control", self.control)
        guest, ports = self.dial(), []
        for size in (10, 300, 20):
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(server.close)
            server.bind(("127.0.0.1", 0))
            server.settimeout(5)
            ports.append(server.getsockname()[1])
            guest.send(udp(GATEWAY, ports[-1], b"x" * size))
            server.recv(1000)

        def found(*words):
            flows = self.ctl("flows", *words)
            self.assertEqual(flows.returncode, 0, flows.stderr)
            return [flow["peer_port"] for flow in json.loads(flows.stdout)]
        self.assertCountEqual(found(), ports)
        self.assertEqual(found("--top", "2"), [ports[1], ports[2]])
        self.assertEqual(found(str(ports[0])), [ports[0]])
        self.assertEqual(found("--top", "9", str(ports[0])), [ports[0]])
        self.assertCountEqual(found("172.16.0.1"), ports)
        self.assertCountEqual(found("172.16.0.0/12"), ports)
        self.assertEqual(found("10.0.0.0/8"), [])
        self.assertEqual(found("api.example.com"), [])
        self.assertEqual(self.ctl("flows", "a b").returncode, 1)
        self.assertEqual(self.ctl("flows", "--top", "101").returncode, 2)
        self.assertEqual(self.ctl("pins", "--top", "1").returncode, 2)

    # ---- following events ----

    def follow(self, *kinds):
        process = subprocess.Popen([LUNETTE, "ctl", "--control", self.control, "events", *kinds],
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(self.end, process)
        return process

    def follow_raw(self, request=b"events\n"):
        """Follows, and has seen the answer; reads no more by itself."""
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.settimeout(5)
        sock.connect(self.control)
        sock.sendall(request)
        answer = b""
        while not answer.endswith(b"\n"):
            answer += sock.recv(1)
        return sock, json.loads(answer)

    def test_events_are_followed_by_kind_until_the_end(self):
        process = self.serve("--stream", self.path, "--control", self.control)
        sock, answer = self.follow_raw(b"events flow_denied reload\n")
        self.assertEqual(answer, {"ok": True})
        guest = self.dial()
        guest.send(udp(b"\x0a\0\0\1", 9, b"x"))  # denied
        guest.send(udp(GATEWAY, 9, b"x"))  # allowed: not of these kinds
        self.expect_event(kind="flow_open")
        process.send_signal(signal.SIGHUP)
        lines = sock.makefile()
        self.assertEqual([json.loads(lines.readline())["kind"] for _ in range(2)],
                         ["flow_denied", "reload"])
        ctl = self.follow("reload")
        for _ in range(100):  # until it follows
            process.send_signal(signal.SIGHUP)
            if select.select([ctl.stdout], [], [], 0.1)[0]:
                break
        self.assertEqual(json.loads(ctl.stdout.readline())["kind"], "reload")
        self.end(process)
        self.assertEqual(ctl.wait(timeout=5), 0)
        self.assertEqual(self.follow_kinds("nonsense"), 1)

    def follow_kinds(self, *kinds):
        return self.ctl("events", *kinds).returncode

    def test_slow_follower_loses_events_and_is_told_how_many(self):
        self.serve("--stream", self.path, "--control", self.control)
        sock, _ = self.follow_raw(b"events flow_denied\n")
        guest = self.dial()
        for i in range(6000):
            guest.send(udp(b"\x0a\0\0\1", 9, b"x", src_port=1024 + i))
        self.expect_event(kind="flow_denied", src_port=1024 + 5999)
        text = b""
        while select.select([sock], [], [], 0.5)[0]:
            text += sock.recv(65536)
        guest.send(udp(b"\x0a\0\0\1", 9, b"x", src_port=9999))
        while b'"src_port":9999' not in text or not text.endswith(b"\n"):
            text += sock.recv(65536)
        events = [json.loads(line) for line in text.splitlines()]
        lost = sum(event.get("lost", 0) for event in events)
        self.assertGreater(lost, 0)
        self.assertEqual(len(events) + lost, 6001)

    def test_followers_that_hang_up_make_room(self):
        self.serve("--stream", self.path, "--control", self.control)
        for _ in range(3):
            followers = [self.follow_raw()[0] for _ in range(4)]
            self.assertEqual(self.follow_raw()[1]["ok"], False)
            for idle in range(10):
                client = socket.socket(socket.AF_UNIX)
                self.addCleanup(client.close)
                client.connect(self.control)
            self.assertEqual(self.ctl("stats").returncode, 0)
            for follower in followers:
                follower.close()

    # ---- metrics ----

    def scrape(self, address, request=b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"):
        sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        with contextlib.closing(sock):
            sock.settimeout(10)
            sock.connect(address)
            sock.sendall(request)
            answer = b""
            while True:
                more = sock.recv(65536)
                if not more:
                    return answer.decode()
                answer += more

    def test_metrics_are_served_and_well_formed(self):
        port = free_port()
        self.serve("--stream", self.path, "--metrics", str(port))
        guest = self.dial()
        guest.send(udp(b"\x0a\0\0\1", 9, b"x"))
        self.expect_event(kind="flow_denied")
        head, _, body = self.scrape(("127.0.0.1", port)).partition("\r\n\r\n")
        self.assertIn("HTTP/1.1 200 OK\r\n", head)
        self.assertIn("\r\nContent-Length: %d" % len(body), head)
        typed, values = set(), {}
        for line in body.splitlines():
            if line.startswith("# TYPE "):
                typed.add(line.split()[2])
            elif not line.startswith("#"):
                self.assertRegex(line, r'^lunette_[a-z_]+(\{([a-z]+="[^"]*",?)*\})? \d+$')
                name, value = line.rsplit(" ", 1)
                self.assertIn(name.split("{")[0], typed)
                self.assertNotIn(name, values)
                values[name] = int(value)
        self.assertEqual(values["lunette_flows_denied_total"], 1)
        self.assertEqual(values['lunette_events_total{kind="flow_denied"}'], 1)
        self.assertEqual(values['lunette_rule_hits_total{rule="0",source=""}'], 1)
        self.assertEqual(values['lunette_drops_total{reason="policy"}'], 1)
        self.assertIn('lunette_rule_hits_total{rule="1",source="%s:1"}' % self.policy, values)

    def test_metrics_answer_strictly(self):
        self.serve("--stream", self.path, "--metrics", self.at("metrics"))
        path = self.at("metrics")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        for request, status in (
                (b"GET /metrics HTTP/1.1\r\n\r\n", "200"), (b"HEAD /metrics HTTP/1.0\r\n\r\n", "200"),
                (b"GET /metrics?x=1 HTTP/1.1\r\n\r\n", "200"), (b"GET / HTTP/1.1\r\n\r\n", "404"),
                (b"GET /metricsx HTTP/1.1\r\n\r\n", "404"), (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
                (b"GET /metrics\r\n\r\n", "400"), (b"GET /metrics HTTP/2.0\r\n\r\n", "400")):
            self.assertTrue(self.scrape(path, request).startswith("HTTP/1.1 " + status), request)
        self.assertEqual(self.scrape(path, b"GET /metrics HTTP/1.1\r\nX: \0\r\n\r\n"), "")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.assertEqual(self.scrape(path, b"x" * 5000), "")

    def test_idle_scrapers_do_not_keep_others_out(self):
        port = free_port()
        self.serve("--stream", self.path, "--metrics", "127.0.0.1:%d" % port)
        for _ in range(30):
            idle = socket.create_connection(("127.0.0.1", port))
            self.addCleanup(idle.close)
        self.assertIn("lunette_flows ", self.scrape(("127.0.0.1", port)))

    def test_guest_does_not_get_to_the_metrics(self):
        port, other = free_port(), free_port()
        self.serve("--stream", self.path, "--metrics", str(port))
        guest = self.dial()
        guest.send(syn(GATEWAY, port))
        self.expect_event(kind="flow_denied", port=port, reason="never")
        guest.send(syn(GATEWAY, other))
        self.expect_event(kind="flow_close", port=other, reason="refused")
        self.assertEqual(self.events(kind="flow_open", port=port), [])

    def test_metrics_address_in_use_or_wrong_starts_nothing(self):
        with contextlib.closing(socket.socket()) as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            for address in (str(other.getsockname()[1]), "x:1", "127.0.0.1:0", "::1:9", "1.2.3.4"):
                run = subprocess.run([LUNETTE, "serve", "--stream", self.path, "--metrics", address,
                                      "none"], capture_output=True, text=True)
                self.assertEqual(run.returncode, 125)
                self.assertIn("--metrics", run.stderr)
                self.assertFalse(os.path.exists(self.path))

    # ---- slots ----

    def in_own_run(self):
        """What stands before a command for which /run is a directory of this test."""
        os.makedirs(self.at("run"), exist_ok=True)
        return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
                'mount --bind "$0" /run && exec "$@"', self.at("run")]

    def slot(self, *args):
        """Starts lunette with these options; returns its process and slot."""
        self.control = self.at("control-%d" % self.started)
        process = self.serve("--stream", self.at("guest-%d" % self.started), "--control",
                             self.control, *args, before=self.in_own_run())
        self.started += 1
        return process, json.loads(self.ctl("stats").stdout)["slot"]

    started = 0

    def refused_slot(self, *args):
        run = subprocess.run([*self.in_own_run(), LUNETTE, "serve", "--stream", self.path, *args],
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 125)
        return run.stderr

    def test_slots_are_taken_once_and_given_back_by_any_end(self):
        first, one = self.slot("--slot", "auto")
        self.assertEqual((one, self.slot("--slot", "auto")[1]), (1, 2))
        first.kill()
        first.wait()
        self.assertEqual(self.slot("--slot", "auto")[1], 1)
        self.assertEqual(self.slot()[1], 0)

    def test_slot_of_a_number_is_left_alone_and_refused_when_taken(self):
        self.assertEqual(self.slot("--slot", "auto")[1], 1)
        self.assertEqual(self.slot("--slot", "2")[1], 2)
        self.assertEqual(self.slot("--slot", "2")[1], 2)  # by number, as often as asked for
        self.assertEqual(self.slot("--slot", "auto")[1], 3)
        self.assertIn("--slot 1", self.refused_slot("--slot", "1", "none"))

    def test_pool_with_all_slots_taken_is_named(self):
        policy = self.file("small.lua", 'return { ipv4_pool = "10.99.0.0/29" }\n')
        self.slot("--slot", "auto")
        self.assertIn("ipv4_pool", self.refused_slot("--slot", "auto", policy))

    # ---- trust and secrets ----

    SECRETS = """return { policy = "public-only", tls = {}, trust_host_cas = true, secrets = {
        { env = "FILE_TOKEN", from_file = "%s", allow_hosts = { "api.example.com", "*.example.net" } },
        { env = "COMMAND_TOKEN", command = "cat %s", allow_hosts = { "api.example.com" } },
        %s } }"""

    def serve_with_secrets(self, *args):
        """With a key of its own for the interception CA, and nothing of the user's."""
        self.token = self.file("token", "first-value-of-token\n")
        policy = self.file("policy.lua", self.SECRETS % (self.token, self.token, ""))
        env = dict(os.environ, XDG_DATA_HOME=self.at("data"), SSL_CERT_FILE=self.file("roots.pem", ROOT))
        return self.serve("--stream", self.path, "--control", self.control, *args, env=env)

    def secrets(self):
        answer = self.ctl("secrets")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return {secret["name"]: secret for secret in json.loads(answer.stdout)}

    def test_ca_and_placeholders_are_handed_out(self):
        self.serve_with_secrets("--ca-bundle", self.at("bundle"), "--placeholders", self.at("env"))
        with open(self.at("bundle")) as bundle, open(self.at("data/lunette/ca.pem")) as ca:
            self.assertEqual(bundle.read(), ca.read() + ROOT)
        self.assertEqual(os.stat(self.at("bundle")).st_mode & 0o777, 0o644)
        with open(self.at("env")) as file:
            placeholders = dict(line.rstrip("\n").split("=", 1) for line in file)
        self.assertEqual(placeholders, {name: s["placeholder"] for name, s in self.secrets().items()})
        self.assertRegex(placeholders["FILE_TOKEN"], r"^\$LUNETTE_FILE_TOKEN_[a-z0-9]{16}$")

    def test_secrets_are_read_again_and_nothing_else_is(self):
        process = self.serve_with_secrets()
        before = self.secrets()
        self.assertEqual(before["FILE_TOKEN"]["hosts"], ["api.example.com", "*.example.net"])
        self.assertEqual([before[name]["from"] for name in sorted(before)], ["command", "file"])
        self.file("token", "second-value-of-token\n")
        self.assertEqual(self.ctl("reload").returncode, 0)
        self.expect_event(kind="reload", name="COMMAND_TOKEN", reason="secret")
        after = self.secrets()
        self.assertEqual({n: s["placeholder"] for n, s in after.items()},
                         {n: s["placeholder"] for n, s in before.items()})
        # One that is not there any more, and one that the policy did not name.
        os.rename(self.token, self.at("away"))
        refused = self.ctl("reload")
        self.assertEqual(refused.returncode, 1)
        self.assertIn('secrets[1].from_file: No such file or directory: found "%s"' % self.token, refused.stderr)
        os.rename(self.at("away"), self.token)
        self.file("policy.lua", self.SECRETS % (self.at("data/lunette/ca-key.pem"), self.token, ""))
        refused = self.ctl("reload")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("secrets[1].from_file: only what the policy named when lunette started", refused.stderr)
        other = '{ env = "OTHER", command = "id", allow_hosts = { "api.example.com" } },'
        self.file("policy.lua", self.SECRETS % (self.token, self.token, other))
        refused = self.ctl("reload")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("secrets[3].command: only what the policy named when lunette started", refused.stderr)
        self.assertEqual(sorted(self.secrets()), ["COMMAND_TOKEN", "FILE_TOKEN"])
        # A command that fails: the value before stays, and both the event and `ctl` say so.
        self.file("policy.lua", self.SECRETS % (self.token, self.token, ""))
        self.file("token", "third-value-of-token\n")
        process.send_signal(signal.SIGHUP)
        self.expect_event(kind="reload", name="COMMAND_TOKEN", reason="secret")
        for text in [self.ctl("secrets").stdout, *(json.dumps(event) for event in self.events())]:
            self.assertNotIn("value-of-token", text)

    def test_a_command_that_fails_leaves_the_value_and_says_so(self):
        self.serve_with_secrets()
        self.file("token", "two\nlines\n")
        policy = self.SECRETS % (self.file("other", "x"), self.token, "")
        self.file("policy.lua", policy.replace(", from_file", ", value = 'given-value', from_file")
                  .replace('from_file = "%s", ' % self.at("other"), ""))
        self.assertEqual(self.ctl("reload").returncode, 0)
        self.expect_event(kind="reload", name="COMMAND_TOKEN", reason="secret_failed")
        self.assertIn("line", self.secrets()["COMMAND_TOKEN"]["failure"])

    # ---- doctor ----

    def test_doctor_says_what_is_lacking_and_what_mends_it(self):
        whole = subprocess.run([LUNETTE, "doctor"], capture_output=True, text=True)
        lacking = "LACKS" in whole.stdout
        self.assertEqual(whole.returncode, 1 if lacking else 0)
        self.assertIn("namespaces", whole.stdout)
        hidden = "mount -t tmpfs tmpfs /dev/net && exec %s doctor" % LUNETTE
        run = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", hidden],
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertRegex(run.stdout, r"LACKS +/dev/net/tun: No such file.*\n +`modprobe tun`")


if __name__ == "__main__":
    unittest.main(verbosity=1)
