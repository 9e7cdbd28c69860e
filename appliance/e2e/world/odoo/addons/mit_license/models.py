import socket

import wire


class License:
    _name = "mit.license"

    def check(self):
        wire.call("mit_license", "", "license.mit-odoo.de", socket.AF_INET, b"k" * 400)


def post(host, family, body, caller):
    """A helper that other addons call."""
    wire.call("mit_license", caller, host, family, body)
