"""TLS servers of the lab's internet, for tls_spec.lua: tls_servers.py DIR, inside the namespace `internet`.

  4430  nginx, HTTP/1.1 and HTTP/2: /, /bytes (LAB_BULK_BYTES), /gzip
  4431  openssl s_server, TLS 1.2 alone
  4432  keeps the plaintext of every connection in DIR/recorded/4432-N, and answers with what it was sent
  4433  the same with a certificate that has expired          4434  … that is self-signed
  4435  … for another name                                     4436  … of an unknown CA
  4437  TLS, but no HTTP: says back what it hears              4438  no TLS: records like 4432
  4439  HTTP/1.1: /events (server-sent events), /socket (WebSocket, echoes)
  4440  HTTP/2: says a body back as it comes
  4441  TLS, but no HTTP: the server speaks first
"""
import asyncio
import base64
import gzip
import hashlib
import os
import ssl
import subprocess
import sys

import h2.config
import h2.connection
import h2.events

DIR = sys.argv[1]
BULK = int(os.environ.get("LAB_BULK_BYTES") or 1 << 30)
RECORDED = os.path.join(DIR, "recorded")


def run(*argv):
    subprocess.run(argv, check=True, capture_output=True, cwd=DIR)


NAMES = "DNS:web.example,DNS:other.example,DNS:alt.example,DNS:a.many.example,IP:203.0.113.10"


def certificate(name, subject, ca="ca", days="30", names=NAMES):
    """NAME.pem and NAME.key; signed by itself where `ca` is None."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key")
    if ca is None:
        run("openssl", "req", "-x509", *key, "-days", days, "-out", name + ".pem", "-subj", "/CN=" + subject,
            "-addext", "subjectAltName=" + names)
        return
    run("openssl", "req", *key, "-out", name + ".csr", "-subj", "/CN=" + subject)
    with open(os.path.join(DIR, name + ".ext"), "w") as f:
        f.write("subjectAltName=" + names + "\n")
    when = ("-days", days) if days != "past" else ("-days", "-1")
    run("openssl", "x509", "-req", "-in", name + ".csr", "-CA", ca + ".pem", "-CAkey", ca + ".key", "-CAcreateserial",
        *when, "-extfile", name + ".ext", "-out", name + ".pem")


def make_certificates():
    certificate("good", "good")
    certificate("expired", "expired", days="past")
    certificate("self", "self", ca=None)
    certificate("wrong", "wrong", names="DNS:elsewhere.test")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-keyout", "strange.key", "-out", "strange.pem", "-subj", "/CN=strange CA")
    certificate("unknown", "unknown", ca="strange")


def start_nginx():
    www = os.path.join(DIR, "www")
    os.makedirs(www)
    with open(os.path.join(www, "bytes"), "wb") as f:
        part = hashlib.sha256(b"lunette").digest() * 32768
        for at in range(0, BULK, len(part)):
            f.write(part[:BULK - at])
    with open(os.path.join(www, "index.html"), "w") as f:
        f.write("from nginx\n")
    with open(os.path.join(www, "gzip"), "wb") as f:
        f.write(gzip.compress(b"compressed " * 1000, mtime=0))
    with open(os.path.join(DIR, "nginx.conf"), "w") as f:
        f.write(f"""
daemon on; pid {DIR}/nginx.pid; error_log {DIR}/nginx.err; user root; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000; client_body_temp_path {DIR}/t1; proxy_temp_path {DIR}/t2;
  fastcgi_temp_path {DIR}/t3; uwsgi_temp_path {DIR}/t4; scgi_temp_path {DIR}/t5;
  server {{
    listen 0.0.0.0:4430 ssl http2; listen [::]:4430 ssl http2;
    ssl_certificate {DIR}/good.pem; ssl_certificate_key {DIR}/good.key;
    root {www}; default_type text/plain;
    location = /gzip {{ add_header Content-Encoding gzip; }}
  }}
}}
""")
    run("nginx", "-c", os.path.join(DIR, "nginx.conf"))


connections = 0


def recorder(port):
    """Keeps what comes, and answers each write with a response that holds it."""
    async def serve(reader, writer):
        global connections
        connections += 1
        with open(os.path.join(RECORDED, f"{port}-{connections}"), "wb", buffering=0) as f:
            try:
                while data := await reader.read(65536):
                    f.write(data)
                    while b"\r\n\r\n" not in data and data.startswith((b"G", b"P")):
                        more = await reader.read(65536)
                        f.write(more)
                        data += more
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
                                 % len(data) + data)
                    await writer.drain()
            except (ConnectionError, OSError):
                pass
            finally:
                writer.close()
    return serve


async def say_back(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, OSError):
        pass
    writer.close()


async def speak_first(reader, writer):
    writer.write(b"220 welcome\r\n")
    await say_back(reader, writer)


async def live(reader, writer):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head.split("\r\n")[1:])}
    if head.startswith("GET /events"):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(5):
            event = b"data: %d\n\n" % i
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
            if i < 4:
                await reader.readuntil(b"x\r\n")  # the next one only after the guest has seen this one
        writer.write(b"0\r\n\r\n")
    else:
        key = fields["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        await say_back(reader, writer)
        return
    await writer.drain()
    writer.close()


async def stream(reader, writer):
    c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    c.initiate_connection()
    writer.write(c.data_to_send())
    while data := await reader.read(65536):
        for event in c.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                c.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
            elif isinstance(event, h2.events.DataReceived):
                c.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                c.send_data(event.stream_id, event.data)
        writer.write(c.data_to_send())
        await writer.drain()
    writer.close()


def context(name, protocol=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(os.path.join(DIR, name + ".pem"), os.path.join(DIR, name + ".key"))
    if protocol:
        made.set_alpn_protocols([protocol])
    return made


async def main():
    os.makedirs(RECORDED)
    make_certificates()
    start_nginx()
    subprocess.Popen("openssl s_server -quiet -accept 4431 -cert good.pem -key good.key -tls1_2 -www".split(), cwd=DIR,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for port, name in ((4432, "good"), (4433, "expired"), (4434, "self"), (4435, "wrong"), (4436, "unknown")):
        await asyncio.start_server(recorder(port), None, port, ssl=context(name))
    await asyncio.start_server(say_back, None, 4437, ssl=context("good"))
    await asyncio.start_server(recorder(4438), None, 4438)
    await asyncio.start_server(live, None, 4439, ssl=context("good"))
    await asyncio.start_server(stream, None, 4440, ssl=context("good", "h2"))
    await asyncio.start_server(speak_first, None, 4441, ssl=context("good"))
    open(os.path.join(DIR, "tls.ready"), "w").close()
    await asyncio.Event().wait()


asyncio.run(main())
