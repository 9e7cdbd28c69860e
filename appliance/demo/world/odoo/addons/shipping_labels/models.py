import http.client
import socket

from odoo.addons.http_connector.models import post_json


class ShippingLabel:
    _name = "shipping.label"

    def print_label(self):
        post_json("https://api.dhl.com/parcel/v2/orders?ms=80", {"weight": 1.2})

    def track(self):
        """Plain HTTP to a host that has no name in any certificate."""
        socket.getaddrinfo("tracking.example", 80)
        connection = http.client.HTTPConnection("tracking.example", timeout=10)
        connection.request("GET", "/parcel/42?token=secret&ms=30", headers={"User-Agent": "labels/2.0"})
        connection.getresponse().read()
        connection.close()
