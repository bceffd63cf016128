#!/usr/bin/python3
"""`lunette run` at a terminal, as a person and a shell use it: terminal.py LUNETTE POLICY SCENARIO."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

LUNETTE, POLICY = sys.argv[1:3]
RUN = f"{LUNETTE} run {POLICY} -- "
WAIT_S = 10


class Terminal:
    """A program in a session of its own, with a terminal that we hold the other end of."""

    def __init__(self, *argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(PS1="$ ", TERM="dumb")
            os.execvp(argv[0], argv)
        self.seen = ""

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern):
        """Waits until what was printed since the last match matches; returns the match."""
        until = time.monotonic() + WAIT_S
        while True:
            match = re.search(pattern, self.seen)
            if match:
                self.seen = self.seen[match.end():]
                return match
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                sys.exit(f"no {pattern!r} in {self.seen!r}")
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b""
            if not data:
                sys.exit(f"ended without {pattern!r}: {self.seen!r}")
            self.seen += data.decode(errors="replace")

    def status(self):
        """Waits for the end; the exit status as a shell tells it."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.fd, 4096).decode(errors="replace")
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
        sys.exit(f"does not end: {self.seen!r}")


def shell():
    terminal = Terminal("bash", "--norc", "-i")
    terminal.expect(r"\$ ")
    return terminal


def equal(found, wanted):
    if found != wanted:
        sys.exit(f"found {found!r}, wanted {wanted!r}")


def command_has_the_terminal():
    t = Terminal("sh", "-c", RUN + "sh -c 'test -t 0 && test -t 1 && test -t 2 && tty && echo >/dev/tty yes'")
    t.expect(r"/dev/pts/\d+\s+yes")
    equal(t.status(), 0)


def interrupt_reaches_the_command_once():
    t = Terminal("sh", "-c", "exec " + RUN + """sh -c 'trap "echo got" INT; echo up; read x; read x; exit 9'""")
    t.expect("up")
    t.type("\x03")
    t.expect("got")
    time.sleep(0.3)
    t.type("\n\n")
    equal(t.status(), 9)
    equal(t.seen.count("got"), 0)


def interrupt_ends_the_command_with_130():
    t = Terminal("sh", "-c", "trap : INT; " + RUN + "sh -c 'echo up; exec sleep 60'; echo status $?")
    t.expect("up")
    t.type("\x03")
    equal(t.expect(r"status (\d+)")[1], "130")


def window_change_reaches_the_command():
    t = Terminal("sh", "-c", "exec " + RUN + """bash -c 'trap "stty size" WINCH; trap "exit 3" INT; echo up; while :; do sleep 0.05; done'""")
    t.expect("up")
    fcntl.ioctl(t.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    t.expect("33 77")
    t.type("\x03")
    equal(t.status(), 3)


def job_stops_and_goes_on():
    t = shell()
    t.type(RUN + "sh -c 'echo up; read line; echo read:$line; exit 7'\n")
    t.expect(r"up\r\n")
    t.type("\x1a")
    t.expect("Stopped")
    t.type("jobs; fg\n")
    t.expect("sh -c")
    time.sleep(0.2)
    t.type("hello\n")
    t.expect("read:hello")
    t.type("echo status $?\n")
    t.expect("status 7")
    t.type("exit\n")
    equal(t.status(), 0)


def command_that_stops_itself_stops_the_job():
    t = shell()
    t.type(RUN + "sh -c 'kill -STOP $$; echo on; exit 5'\n")
    t.expect("Stopped")
    t.type("fg\n")
    t.expect(r"on\r\n")
    t.type("echo status $?\n")
    t.expect("status 5")


def background_job_stops_when_it_reads():
    t = shell()
    t.type(RUN + "cat &\n")
    time.sleep(0.5)
    t.type("\n")
    t.expect("Stopped")
    t.type("fg\n")
    t.expect("cat")
    time.sleep(0.2)
    t.type("hello\n")
    t.expect("hello\r\nhello")
    t.type("\x04")
    t.expect(r"\$ ")


def pipeline_is_interrupted_whole():
    t = shell()
    t.type(RUN + "sh -c 'while :; do echo tick; sleep 0.1; done' | cat\n")
    t.expect(r"tick\r\ntick")
    t.type("\x03")
    t.expect(r"\$ ")
    t.type("echo back\n")
    t.expect("back\r\n")


def shell_inside_has_job_control():
    t = shell()
    t.type(RUN + "bash --norc -i\n")
    t.expect(r"\$ ")
    t.type("set -o | grep monitor; sleep 60\n")
    t.expect(r"monitor\s+on")
    time.sleep(0.2)
    t.type("\x1a")
    t.expect("Stopped")
    t.type("fg\n")
    t.expect("sleep 60")
    time.sleep(0.2)
    t.type("\x03")
    t.expect(r"\$ ")
    t.type("exit 6\n")
    t.expect("exit\r\n")
    t.type("echo outer $?\n")
    t.expect("outer 6")


def shell_inside_suspends_the_job():
    t = shell()
    t.type("A=outer; " + RUN + "bash --norc -i\n")
    time.sleep(0.5)
    t.type("echo ${A:-inner}\n")
    t.expect(r"\binner")
    t.type("suspend\n")
    t.expect("Stopped")
    t.type("echo $A\n")
    t.expect(r"\bouter")
    t.type("fg\n")
    time.sleep(0.3)
    t.type("echo ${A:-inner}\n")
    t.expect(r"\binner\r\n")
    t.type("exit\n")
    t.expect(r"\$ ")


def terminal_comes_back_to_a_script():
    t = Terminal("sh", "-c", RUN + "bash --norc -i; read line; echo got:$line")
    t.expect(r"\$ ")
    t.type("exit\n")
    t.expect("exit")
    time.sleep(0.3)
    t.type("hello\n")
    t.expect("got:hello")
    equal(t.status(), 0)


def hangup_ends_everything():
    t = Terminal("sh", "-c", RUN + "sh -c 'echo up; exec sleep 4711'")
    t.expect("up")
    os.close(t.fd)
    until = time.monotonic() + WAIT_S
    while os.system("pgrep -f '^sleep 4711' >/dev/null") == 0:
        if time.monotonic() > until:
            sys.exit("still running after the terminal hung up")
        time.sleep(0.05)


def cannot_type_into_the_terminal():
    probe = os.path.join(os.path.dirname(os.path.abspath(__file__)), "probe.py")
    for request in ("0x5412", "0x100005412", "0x541c"):
        t = Terminal("sh", "-c", f"REQUEST={request} {RUN} {probe} type_into_terminal")
        equal(t.expect("EPERM|yes|E[A-Z]+")[0], "EPERM")


signal.signal(signal.SIGPIPE, signal.SIG_DFL)
globals()[sys.argv[3]]()
