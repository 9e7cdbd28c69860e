import asyncio
import concurrent.futures
import multiprocessing
import os
import smtplib
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import requests
import urllib3

from odoo import api, models

WORKERS = concurrent.futures.ThreadPoolExecutor(4)
HERE = threading.local()
FORKS = multiprocessing.get_context("fork")

# Takes over a connection that another process opened, and asks on it.
HEIR = """
import socket
s = socket.socket(fileno=socket.recv_fds(socket.socket(fileno=0), 1, 1)[1][0])
s.sendall(b"GET /?ms=20 HTTP/1.0\\r\\nHost: passed.lab.example\\r\\n\\r\\n")
s.recv(1000)
"""


def status_of(url):
    return urllib.request.urlopen(url, timeout=20).status


async def ask(host):
    reader, writer = await asyncio.open_connection(host, 80)
    writer.write(f"GET /?ms=20 HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    await reader.read()
    writer.close()


async def in_executor(url):
    return await asyncio.get_running_loop().run_in_executor(None, status_of, url)


class Ways(models.AbstractModel):
    _inherit = "partner.tools"

    @api.model
    def by_asyncio(self):
        asyncio.run(ask("asyncio.lab.example"))
        return True

    @api.model
    def asyncio_executor(self):
        return asyncio.run(in_executor("https://executor.lab.example/?ms=20"))

    @api.model
    def future(self):
        return WORKERS.submit(status_of, "https://future.lab.example/?ms=20").result()

    @api.model
    def in_process(self):
        """A copy of this process, which calls a function of the addon."""
        p = FORKS.Process(target=status_of, args=("https://process.lab.example/?ms=20",))
        p.start()
        p.join()
        return True

    @api.model
    def fork_and_exec(self):
        child = os.fork()
        if child == 0:
            try:
                os.execvp("curl", ["curl", "-s", "-o", "/dev/null", "https://exec.lab.example/?ms=20"])
            finally:
                os._exit(1)
        os.waitpid(child, 0)
        return True

    @api.model
    def pipeline(self):
        command = "echo hello | curl -s -d @- https://pipeline.lab.example/?ms=20 | cat"
        return subprocess.run(command, shell=True, capture_output=True, check=False).returncode

    @api.model
    def interpreter(self):
        """A Python program of its own."""
        program = "import urllib.request; urllib.request.urlopen('https://program.lab.example/?ms=20', timeout=20)"
        return subprocess.run([sys.executable, "-c", program], check=False).returncode

    @api.model
    def plain_smtp(self):
        with smtplib.SMTP("plainsmtp.lab.example", 587, timeout=20) as s:
            s.sendmail("a@lab.example", ["b@lab.example"], "Subject: lab\r\n\r\nhello")
        return True

    @api.model
    def datagram(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"hello", ("datagram.lab.example", 9))
        return True

    @api.model
    def dual_stack(self):
        with socket.socket(socket.AF_INET6) as s:
            s.connect(("::ffff:" + socket.gethostbyname("dual.lab.example"), 80))
            s.sendall(b"GET /?ms=20 HTTP/1.0\r\nHost: dual.lab.example\r\n\r\n")
            return len(s.recv(1000))

    @api.model
    def thread_local(self):
        if not hasattr(HERE, "session"):
            HERE.session = requests.Session()
        return HERE.session.get("https://local.lab.example/?ms=20", timeout=20).status_code

    @api.model
    def passed_on(self):
        """The connection is opened here and used by a program that gets it by SCM_RIGHTS."""
        with socket.create_connection(("passed.lab.example", 80), timeout=20) as s:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                heir = subprocess.Popen([sys.executable, "-c", HEIR], stdin=theirs)
                socket.send_fds(ours, [b"x"], [s.fileno()])
                heir.wait()
        return True

    @api.model
    def shared_pool(self):
        """A pool keeps the connection for whoever asks next."""
        pool = urllib3.HTTPConnectionPool("shared.lab.example", timeout=20)
        pool.request("GET", "/?ms=20")
        time.sleep(0.1)
        self.env["mit.desk"].ask_pool(pool)
        pool.close()
        return True
