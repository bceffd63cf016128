#!/usr/bin/python3
"""What an attacker inside the sandbox tries, one attempt a call: probe.py ATTEMPT [ARG]...

Prints "yes" when the attempt worked, and the error's name when it did not."""
import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000


def call(function, *args):
    result = function(*args)
    if result == -1:
        raise OSError(ctypes.get_errno(), "")
    return result


def syscall(number, *args):
    return call(libc.syscall, number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])


# ---- UNIX sockets ----

def serve(path, kind="stream"):
    """Binds PATH (@NAME: abstract) and serves until stdin ends; says "ready" first."""
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) as s:
        s.bind(address)
        if not path.startswith("@"):
            os.chmod(path, 0o666)
        if kind == "stream":
            s.listen()
        print("ready", flush=True)
        sys.stdin.read()


def unix(path):
    """Connects to PATH, of whatever type."""
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.connect(address)
    except OSError as e:
        if e.errno != errno.EPROTOTYPE:
            raise
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(address)


# ---- sockets and interfaces ----

def family(number, kind="1", protocol="0"):
    call(libc.socket, int(number), int(kind), int(protocol))


def tcp(host, port):
    socket.create_connection((host, int(port)), timeout=1).close()


def listen(port):
    """Binds a TCP port of the guest."""
    with socket.socket() as s:
        s.bind(("0.0.0.0", int(port)))


def echo_socket():
    """Opens an unprivileged ICMP socket."""
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()


def attach_tun(name):
    """Attaches a queue of our own to the interface."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0002 | 0x1000 | 0x4000))


def set_interface(name, up):
    """Sets or clears IFF_UP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH22x", name.encode(), int(up)))


def steal_interface(name):
    """From namespaces of our own, moves the guest's interface into them, by RTM_SETLINK."""
    target = os.open("/proc/self/ns/net", os.O_RDONLY)
    index = socket.if_nametoindex(name)
    call(libc.unshare, CLONE_NEWUSER | CLONE_NEWNET)
    mine = os.open("/proc/self/ns/net", os.O_RDONLY)
    call(libc.setns, target, CLONE_NEWNET)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        body = struct.pack("BxHiII", 0, 0, index, 0, 0) + struct.pack("HHI", 8, 28, mine)
        s.send(struct.pack("IHHII", 16 + len(body), 19, 5, 1, 0) + body)
        code = struct.unpack_from("i", s.recv(4096), 16)[0]
        if code < 0:
            raise OSError(-code, "")


def own_network():
    """In a user and network namespace of our own: which interfaces there are besides lo."""
    call(libc.unshare, CLONE_NEWUSER | CLONE_NEWNET)
    names = [name for _, name in socket.if_nameindex() if name != "lo"]
    if not names:
        raise OSError(errno.ENODEV, "")


def join(path):
    """Joins the namespace at PATH."""
    call(libc.setns, os.open(path, os.O_RDONLY), 0)


# ---- other processes ----

def read_memory(pid):
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        start = int(maps.readline().split("-")[0], 16)
    with open(f"/proc/{pid}/mem", "rb") as memory:
        memory.seek(start)
        memory.read(16)


def trace(pid):
    call(libc.ptrace, 16, int(pid), 0, 0)  # PTRACE_ATTACH


def read_vm(pid):
    buffer = ctypes.create_string_buffer(16)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 16)
    remote = (ctypes.c_void_p * 2)(0x400000, 16)
    if call(libc.process_vm_readv, int(pid), vector, 1, remote, 1, 0) <= 0:
        raise OSError(errno.EIO, "")


def take_descriptor(pid, fd):
    """pidfd_getfd(2)."""
    syscall(438, syscall(434, int(pid), 0), int(fd), 0)


def kill(pid):
    os.kill(int(pid), signal.SIGKILL)


# ---- files and mounts ----

def read(path):
    with open(path, "rb") as file:
        file.read(1)


def write(path, text="1"):
    """Opens for writing, and writes nothing that changes anything."""
    fd = os.open(path, os.O_WRONLY)
    os.close(fd)


def listdir(path):
    os.listdir(path)


def relative(path):
    """The same, by a path relative to the working directory we were started in."""
    os.stat(os.path.relpath(path))


def in_own_namespace(action, *args):
    """Does it as root of a user and mount namespace of our own."""
    uid, gid = os.getuid(), os.getgid()
    call(libc.unshare, CLONE_NEWUSER | CLONE_NEWNS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        try:
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
        except PermissionError:
            pass  # the host's root cannot be mapped; capabilities come without
    globals()[action](*args)


def umount(path):
    call(libc.umount2, path.encode(), 2)


def bind_parent(path):
    """Mounts the directory of PATH elsewhere without what is mounted in it, and looks there."""
    where = "/dev/shm" if not path.startswith("/dev/shm") else "/tmp"
    call(libc.mount, os.path.dirname(path).encode(), where.encode(), None, 0x1000, None)
    with open(os.path.join(where, os.path.basename(path)), "rb") as file:
        file.read(1)


def remount_writable(path):
    call(libc.mount, None, path.encode(), None, 0x1000 | 0x20, None)


def mknod_disk(path):
    os.mknod(path, 0o60600, os.makedev(254, 0))


# ---- the kernel ----

def io_uring():
    syscall(425, 1, ctypes.create_string_buffer(120))


def keyring():
    syscall(250, 0, -3, 0)  # KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING


def request_key():
    syscall(249, b"dns_resolver", b"example.com", b"", 0)


def type_into_terminal(text="x"):
    """TIOCSTI on our terminal, or on standard input."""
    for char in text:
        fcntl.ioctl(0, int(os.environ.get("REQUEST", "0x5412"), 16), char.encode())


def inherited(fd):
    """Whether the descriptor is there."""
    os.fstat(int(fd))


def become(uid):
    os.setuid(int(uid))


def main():
    try:
        globals()[sys.argv[1]](*sys.argv[2:])
    except OSError as e:
        print(errno.errorcode.get(e.errno, e.errno))
        return
    if sys.argv[1] != "serve":
        print("yes")


if __name__ == "__main__":
    main()
