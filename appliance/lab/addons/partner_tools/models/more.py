import asyncio
import multiprocessing
import os
import subprocess
import urllib.request

import aiohttp
import httpx
import requests

from odoo import api, models

SPAWNS = multiprocessing.get_context("spawn")


async def by_aiohttp(url):
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return len(await response.read())


async def by_httpx(url):
    async with httpx.AsyncClient(timeout=20) as client:
        return (await client.get(url)).status_code


class More(models.AbstractModel):
    _inherit = "partner.tools"

    @api.model
    def aiohttp(self):
        return asyncio.run(by_aiohttp("http://aiohttp.lab.example/?ms=20"))

    @api.model
    def httpx(self):
        return httpx.get("https://httpx.lab.example/?ms=20", timeout=20).status_code

    @api.model
    def httpx_asynchronous(self):
        return asyncio.run(by_httpx("http://httpxasync.lab.example/?ms=20"))

    @api.model
    def wget(self):
        return subprocess.run(["wget", "-q", "-O", "/dev/null", "http://wget.lab.example/?ms=20"], check=False).returncode

    @api.model
    def wkhtmltopdf(self):
        """As Odoo prints reports that refer to pictures elsewhere."""
        command = ["wkhtmltopdf", "--quiet", "http://pdf.lab.example/?ms=20", "-"]
        return subprocess.run(command, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"}, capture_output=True, check=False).returncode

    @api.model
    def spawned(self):
        """Another Python, whose thread runs a library's function."""
        p = SPAWNS.Process(target=urllib.request.urlopen, args=("https://spawned.lab.example/?ms=20",))
        p.start()
        p.join()
        return True

    @api.model
    def six(self):
        return requests.get("http://six.lab.example/?ms=20", timeout=20).status_code

    @api.model
    def in_websocket_worker(self):
        """Called through the worker for websockets, which runs greenlets."""
        return requests.get("https://websocket.lab.example/?ms=20", timeout=20).status_code
