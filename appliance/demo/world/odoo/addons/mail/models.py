import urllib.request


class MailTracking:
    _name = "publisher_warranty.contract"

    def update_notification(self):
        with urllib.request.urlopen("https://services.odoo.com/publisher-warranty/?ms=50", data=b"arg0=1", timeout=10) as response:
            response.read()
