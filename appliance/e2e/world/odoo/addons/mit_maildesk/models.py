import socket

import wire

from odoo.addons.mit_license.models import post


class Maildesk:
    _name = "mit.maildesk"

    def upload(self):
        wire.call("mit_maildesk", "", "upload.mit-odoo.de", socket.AF_INET, b"u" * 60_000)

    def upload_through_the_other_addon(self):
        post("upload.mit-odoo.de", socket.AF_INET, b"h" * 9_000, "mit_maildesk")
