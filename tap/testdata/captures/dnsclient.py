"""Asks a name server over UDP and TCP for names that exist, that do not, and for an answer that is too long. Used by make.sh."""
import socket
import struct


def question(number, name, kind):
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!2H", kind, 1)


number = 0
for name, kind in [("license.mit-odoo.de", 1), ("license.mit-odoo.de", 28), ("files.partner.example", 1), ("nobody.partner.example", 1),
                   ("big.partner.example", 16), ("Mixed.Partner.EXAMPLE", 1), ("api.partner.example", 65)]:
    number += 1
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(2)
    s.sendto(question(number, name, kind), ("127.0.0.1", 53))
    s.recv(4096)
    s.close()
s = socket.create_connection(("127.0.0.1", 53))
for name, kind in [("big.partner.example", 16), ("www.partner.example", 1)]:
    number += 1
    q = question(number, name, kind)
    s.sendall(struct.pack("!H", len(q)) + q)
    n = struct.unpack("!H", s.recv(2))[0]
    while n > 0:
        n -= len(s.recv(n))
s.close()
