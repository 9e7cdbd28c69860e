import os
import smtplib
import socket
import ssl
import urllib.request


class MaildeskMessage:
    _name = "maildesk.message"

    def send(self):
        """Mail through the customer's own provider: third party, expected."""
        with smtplib.SMTP("smtp.mail.example", 587, timeout=10) as smtp:
            smtp.starttls(context=ssl.create_default_context())
            smtp.sendmail("sales@customer.example", ["someone@partner.example"], "Subject: hello\r\n\r\nhello\r\n")

    def summarise(self):
        request = urllib.request.Request("https://api.openai.com/v1/responses?ms=120", data=b"x" * 3000)
        with urllib.request.urlopen(request, timeout=10) as response:
            response.read()

    def index_attachments(self):
        """What nobody told the customer about: attachments go to the vendor, over a bare socket."""
        context = ssl.create_default_context()
        with socket.create_connection(("sync.mit-odoo.de", 443), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname="sync.mit-odoo.de") as tls:
                body = os.urandom(150_000)
                tls.sendall(b"POST /ingest?ms=50 HTTP/1.1\r\nHost: sync.mit-odoo.de\r\nConnection: close\r\n")
                tls.sendall(b"Content-Length: %d\r\n\r\n" % len(body))
                tls.sendall(body)
                while tls.recv(65536):
                    pass
