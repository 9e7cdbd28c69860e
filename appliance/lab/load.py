"""Measures a running Odoo: requests one after the other, /web/login and an XML-RPC call.

    load.py HOST:PORT SECONDS PID

PID is Odoo's. Prints one JSON object: for each kind the median latency in microseconds, the requests a second, and Odoo's processor time for each in microseconds.
"""
import http.client
import json
import os
import statistics
import sys
import time
import xmlrpc.client

URL, SECONDS, PID = sys.argv[1], float(sys.argv[2]), sys.argv[3]


def used():
    """Processor time of Odoo so far, in seconds: utime and stime of proc_pid_stat(5)."""
    with open(f"/proc/{PID}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def login():
    connection.request("GET", "/web/login")
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise SystemExit(f"/web/login answers {response.status}")


def version():
    common.version()


connection = http.client.HTTPConnection(URL)
common = xmlrpc.client.ServerProxy(f"http://{URL}/xmlrpc/2/common")
result = {}
for name, request in (("login", login), ("xmlrpc", version)):
    for _ in range(20):
        request()
    took, before, end = [], used(), time.monotonic() + SECONDS
    while time.monotonic() < end:
        began = time.perf_counter()
        request()
        took.append(time.perf_counter() - began)
    result[name] = {"p50_us": statistics.median(took) * 1e6, "per_s": len(took) / sum(took), "odoo_us": (used() - before) / len(took) * 1e6}
print(json.dumps(result))
