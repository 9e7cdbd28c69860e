"""Calls model methods of the running Odoo through XML-RPC, several clients at once.

    clients.py PORT CLIENTS MODEL.METHOD...

Every client calls every method once, each client in another order. Prints one line for each call that failed.
"""
import sys
import threading
import xmlrpc.client

URL, CLIENTS, METHODS = f"http://127.0.0.1:{sys.argv[1]}", int(sys.argv[2]), sys.argv[3:]
DATABASE, USER, PASSWORD = "netaudit_lab", "admin", "admin"


def client(number, methods):
    uid = xmlrpc.client.ServerProxy(f"{URL}/xmlrpc/2/common").authenticate(DATABASE, USER, PASSWORD, {})
    models = xmlrpc.client.ServerProxy(f"{URL}/xmlrpc/2/object", allow_none=True)
    turn = number * len(methods) // CLIENTS
    for name in methods[turn:] + methods[:turn]:
        model, method = name.rsplit(".", 1)
        try:
            models.execute_kw(DATABASE, uid, PASSWORD, model, method, [])
        except Exception as problem:  # one call that fails must not hide the others
            print(name, getattr(problem, "faultString", str(problem)).strip().splitlines()[-1], flush=True)


threads = [threading.Thread(target=client, args=(i, METHODS)) for i in range(CLIENTS)]
for t in threads:
    t.start()
for t in threads:
    t.join()
