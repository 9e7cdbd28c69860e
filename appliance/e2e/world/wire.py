"""One TLS call that counts its own bytes on the wire, by keeping the TLS engine apart from the socket."""
import json
import os
import socket
import ssl
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
LOCK = threading.Lock()
CONTEXT = ssl.create_default_context()


def call(addon, on_behalf, host, family, body):
    address = socket.getaddrinfo(host, 443, family, socket.SOCK_STREAM)[0][4]
    plain = socket.socket(family, socket.SOCK_STREAM)
    plain.settimeout(10)
    plain.connect(address)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = CONTEXT.wrap_bio(incoming, outgoing, server_hostname=host)
    count = {"sent": 0, "received": 0}

    def flush():
        data = outgoing.read()
        count["sent"] += len(data)
        plain.sendall(data)

    def feed():
        data = plain.recv(65536)
        count["received"] += len(data)
        if not data:
            incoming.write_eof()
        incoming.write(data)
        return data

    def step(action):
        while True:
            try:
                result = action()
                flush()
                return result
            except ssl.SSLWantReadError:
                flush()
                feed()

    step(tls.do_handshake)
    head = "POST /x?ms=60 HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (host, len(body))
    tls.write(head.encode() + body)
    flush()
    answer = b""
    while b'"ok"' not in answer:
        answer += step(lambda: tls.read(65536))
    port = plain.getsockname()[1]
    plain.close()
    truth = {"addon": addon, "on_behalf": on_behalf, "host": host, "port": port}
    truth.update(count)
    with LOCK, open(os.path.join(HERE, "truth.ndjson"), "a") as out:
        out.write(json.dumps(truth) + "\n")
