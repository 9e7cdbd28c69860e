"""Measures a running Odoo: requests one after the other on kept connections, /web/login and an XML-RPC call.

    load.py HOST:PORT SECONDS

Prints one JSON object: for each kind the median latency in microseconds and the requests a second.
"""
import http.client
import json
import statistics
import sys
import time
import xmlrpc.client

URL, SECONDS = sys.argv[1], float(sys.argv[2])


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
    took, end = [], time.monotonic() + SECONDS
    while time.monotonic() < end:
        began = time.perf_counter()
        request()
        took.append(time.perf_counter() - began)
    result[name] = {"p50_us": statistics.median(took) * 1e6, "per_s": len(took) / sum(took)}
print(json.dumps(result))
