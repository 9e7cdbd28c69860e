import concurrent.futures
import http.client
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
import xmlrpc.client

import requests

from odoo import api, models

from odoo.addons.mit_license.models.license import announce

POOL = concurrent.futures.ThreadPoolExecutor(4)


def in_background():
    requests.get("https://thread.lab.example/?ms=20", timeout=20)


class Tools(models.AbstractModel):
    _name = "partner.tools"
    _description = "Every way to open a connection"

    @api.model
    def raw(self):
        with socket.create_connection(("raw.lab.example", 80)) as s:
            s.sendall(b"GET /?ms=20 HTTP/1.0\r\nHost: raw.lab.example\r\n\r\n")
            return len(s.recv(1000))

    @api.model
    def in_shell(self):
        return urllib.request.urlopen("https://shell.lab.example/?ms=20", timeout=20).status

    @api.model
    def raw_timeout(self):
        with socket.create_connection(("timeout.lab.example", 80), timeout=10) as s:
            s.sendall(b"GET /?ms=20 HTTP/1.0\r\nHost: timeout.lab.example\r\n\r\n")
            return len(s.recv(1000))

    @api.model
    def raw_tls(self):
        with socket.create_connection(("rawtls.lab.example", 443)) as plain:
            with ssl.create_default_context().wrap_socket(plain, server_hostname="rawtls.lab.example") as s:
                s.sendall(b"GET /?ms=20 HTTP/1.0\r\nHost: rawtls.lab.example\r\n\r\n")
                return len(s.recv(1000))

    @api.model
    def urllib(self):
        return urllib.request.urlopen("https://urllib.lab.example/?ms=20", timeout=20).status

    @api.model
    def http_client(self):
        c = http.client.HTTPSConnection("httpclient.lab.example", timeout=20)
        c.request("POST", "/?ms=20", "body")
        status = c.getresponse().status
        c.close()
        return status

    @api.model
    def plain_http(self):
        return requests.get("http://plain.lab.example/?ms=20", timeout=20).status_code

    @api.model
    def xmlrpc(self):
        try:
            xmlrpc.client.ServerProxy("https://xmlrpc.lab.example/?ms=20").ping()
        except Exception:  # the server of the lab speaks no XML-RPC; the call counts
            return False
        return True

    @api.model
    def thread(self):
        t = threading.Thread(target=in_background)
        t.start()
        t.join()
        return True

    @api.model
    def thread_of_library(self):
        """No frame of an addon is on the stack of this thread; the one that joins it tells."""
        t = threading.Thread(target=requests.get, args=("https://joined.lab.example/?ms=20",), kwargs={"timeout": 20})
        t.start()
        t.join()
        return True

    @api.model
    def in_pool(self):
        return POOL.submit(requests.get, "https://pool.lab.example/?ms=20", timeout=20).result().status_code

    @api.model
    def by_helper(self):
        return announce("byhelper.lab.example")

    @api.model
    def session(self):
        with requests.Session() as s:
            for _ in range(3):
                s.get("https://session.lab.example/?ms=20", timeout=20)
                time.sleep(0.1)
        return True

    @api.model
    def kept(self):
        c = http.client.HTTPConnection("kept.lab.example", timeout=20)
        c.request("GET", "/?ms=20")
        c.getresponse().read()
        time.sleep(0.2)
        self.env["mit.desk"].use(c)
        c.close()
        return True

    @api.model
    def child(self):
        return subprocess.run(["curl", "-s", "https://child.lab.example/?ms=20"], capture_output=True, check=False).returncode

    @api.model
    def fan_out(self):
        sockets = [socket.create_connection((f"fan{i}.lab.example", 443), timeout=20) for i in range(3)]
        time.sleep(0.02)
        for s in sockets:
            s.close()
        return True


class Override(models.AbstractModel):
    _inherit = "mit.license"

    @api.model
    def overridden(self):
        """An innocent override: it stands on the stack and calls nobody."""
        return super().overridden()
