"""For the programs of the lab: `lunette serve` with a guest in a namespace, and what can be seen of it from outside."""
import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"


def enter_lab(program):
    """Starts `program` again inside the lab, unless it is there."""
    if "LAB" not in os.environ:
        lab = os.path.join(HERE, "lab")
        os.execv(lab, [lab, PYTHON, os.path.abspath(program), *sys.argv[1:]])
    return os.environ["LAB"]


def run(*argv, **rest):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **rest).stdout


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def descriptors(pid):
    """None where this user may not look."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        return None


class Served:
    """lunette, with files of its own in `lab`; `link` are the options that say where the guest is."""

    def __init__(self, build, lab, policy, link, name="served"):
        self.lunette = os.path.join(build, "lunette")
        self.policy = os.path.join(lab, name + ".lua")
        self.control = os.path.join(lab, name + ".control")
        self.events = os.path.join(lab, name + ".jsonl")
        with open(self.lunette, "rb") as f:
            self.sanitized = b"__asan_init" in f.read()
        with open(self.policy, "w") as f:
            f.write(policy)
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            [self.lunette, "serve", *link, "--control", self.control, "--events", self.events, "--ready-fd", str(writer),
             self.policy], pass_fds=(writer,), stdin=subprocess.DEVNULL,
            env={**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=8"})  # what is freed is to be free
        os.close(writer)
        if os.read(reader, 1) != b"\n":
            raise RuntimeError(f"lunette did not start: status {self.process.wait()}")
        os.close(reader)
        self.pid = self.process.pid

    def ctl(self, *words):
        return run(self.lunette, "ctl", "--control", self.control, *words, timeout=15)

    def stats(self):
        return json.loads(self.ctl("stats"))

    def stop(self):
        """Ends it as an operator does. Returns its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def told(self):
        with open(self.events) as f:
            return [json.loads(line) for line in f]


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
