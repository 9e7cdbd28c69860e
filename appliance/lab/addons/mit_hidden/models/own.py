import ctypes
import socket
import struct
import urllib.request

import gevent
import requests

from odoo import api, models


def in_greenlet():
    return requests.get("https://greenlet.lab.example/?ms=20", timeout=20).status_code


def answers(urls):
    for url in urls:
        yield urllib.request.urlopen(url, timeout=20).status


class Own(models.AbstractModel):
    _name = "mit.hidden.own"
    _module = "mit_hidden"
    _description = "Unusual ways to call"

    @api.model
    def call(self):
        return requests.get("https://own.lab.example/?ms=20", timeout=20).status_code

    @api.model
    def generate(self):
        return list(answers(["https://generator.lab.example/?ms=20"]))

    @api.model
    def by_ctypes(self):
        """The address goes to libc without the socket module's connect."""
        address = socket.gethostbyname("ctypes.lab.example")
        where = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(80), socket.inet_aton(address))
        with socket.socket() as s:
            ctypes.CDLL(None).connect(s.fileno(), where, len(where))
            s.sendall(b"GET /?ms=20 HTTP/1.0\r\nHost: ctypes.lab.example\r\n\r\n")
            return len(s.recv(1000))

    @api.model
    def by_libc(self):
        """Neither the name nor the connection goes through the socket module."""
        libc = ctypes.CDLL(None)
        found = ctypes.c_void_p()
        if libc.getaddrinfo(b"libc.lab.example", b"80", None, ctypes.byref(found)):
            return False
        # struct addrinfo: flags, family, type, protocol, length of the address, address
        family, = struct.unpack("=i", ctypes.string_at(found.value + 4, 4))
        length, where = struct.unpack("=I4xQ", ctypes.string_at(found.value + 16, 16))
        s = libc.socket(family, socket.SOCK_STREAM, 0)
        libc.connect(s, ctypes.c_void_p(where), length)
        request = b"GET /?ms=20 HTTP/1.0\r\nHost: libc.lab.example\r\n\r\n"
        libc.send(s, request, len(request), 0)
        libc.recv(s, ctypes.create_string_buffer(1000), 1000, 0)
        libc.close(s)
        libc.freeaddrinfo(found)
        return True

    @api.model
    def greenlet(self):
        return gevent.spawn(in_greenlet).get()

    @api.model
    def greenlet_of_library(self):
        """No frame of an addon is on the stack while the greenlet runs: nobody can know."""
        return gevent.spawn(requests.get, "https://green.lab.example/?ms=20", timeout=20).get().status_code
