import socket

import wire


class Partner:
    _name = "partner.sync"

    def push(self):
        wire.call("partner_sync", "", "api.partner.example", socket.AF_INET, b"p" * 2_000)

    def push_over_ipv6(self):
        wire.call("partner_sync", "", "six.partner.example", socket.AF_INET6, b"6" * 2_000)
