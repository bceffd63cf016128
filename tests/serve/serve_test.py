#!/usr/bin/python3
"""`lunette serve` and `lunette ctl` as a virtual machine monitor and its operator meet them.

usage: tests/serve/serve_test.py [BUILD_DIR [TEST...]]

Nothing of the machine is touched but a temporary directory. Needs user namespaces.
"""
import contextlib
import json
import os
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


def arp():
    """The guest asks who has the gateway's address."""
    return (b"\xff" * 6 + GUEST_MAC + b"\x08\x06" + bytes.fromhex("0001080006040001")
            + GUEST_MAC + GUEST + bytes(6) + GATEWAY)


def is_reply(frame):
    return frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2" and frame[22:28] == GATEWAY_MAC


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def udp(dst, dst_port, payload, src_port=40000):
    header = struct.pack(">HHHH", src_port, dst_port, 8 + len(payload), 0)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 1, 0, 64, 17, 0, GUEST, dst)
    ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
    return GATEWAY_MAC + GUEST_MAC + b"\x08\0" + ip + header + payload


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

    def serve(self, *args, pass_fds=(), env=None, policy=None):
        """Starts lunette, and waits until it is ready."""
        ready, tell = os.pipe()
        process = subprocess.Popen(
            [LUNETTE, "serve", "--ready-fd", str(tell), "--events", self.at("events"), *args,
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

    def dial(self):
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.connect(self.path)
        return Stream(sock)

    def ctl(self, *words):
        return subprocess.run([LUNETTE, "ctl", "--control", self.control, *words], text=True,
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

    def test_link_is_needed_and_one_only(self):
        for args in ([], ["--stream", "a", "--dgram", "b"], ["--fd", "3", "--tap", "x"]):
            run = subprocess.run([LUNETTE, "serve", *args, "none"], capture_output=True, text=True)
            self.assertEqual(run.returncode, 2, args)

    def test_socket_in_use_is_not_taken(self):
        self.serve("--stream", self.path)
        run = subprocess.run([LUNETTE, "serve", "--stream", self.path, "none"],
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 125)
        self.assertIn(self.path, run.stderr)
        self.assertTrue(os.path.exists(self.path))

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
