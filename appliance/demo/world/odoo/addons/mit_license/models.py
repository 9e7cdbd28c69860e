import http.client
import json
import ssl


class License:
    _name = "mit.license"

    def heartbeat(self):
        """What a license check should need: a key, a database id, a user count."""
        connection = http.client.HTTPSConnection("license.mit-odoo.de", timeout=10, context=ssl.create_default_context())
        payload = {"key": "K-0000", "database": "00000000-0000-0000-0000-000000000000", "users": 12}
        connection.request("POST", "/v1/heartbeat?ms=40", json.dumps(payload))
        connection.getresponse().read()
        connection.close()
