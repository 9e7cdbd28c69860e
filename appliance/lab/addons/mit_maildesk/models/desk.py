import smtplib
import ssl
import urllib.request

from odoo import api, models

from odoo.addons.mit_license.models.license import announce


class Desk(models.AbstractModel):
    _name = "mit.desk"
    _description = "Mail desk of the lab"

    @api.model
    def smtp(self):
        with smtplib.SMTP("smtp.lab.example", 587, timeout=20) as s:
            s.starttls(context=ssl.create_default_context())
            s.sendmail("a@lab.example", ["b@lab.example"], "Subject: lab\r\n\r\nhello")
        return True

    @api.model
    def core_mail(self):
        servers = self.env["ir.mail_server"].sudo()
        server = servers.search([("name", "=", "lab")], limit=1) or servers.create({
            "name": "lab", "smtp_host": "coremail.lab.example", "smtp_port": 587, "smtp_encryption": "starttls"})
        self.env["mail.mail"].sudo().create({
            "subject": "lab", "body_html": "<p>hello</p>", "email_from": "a@lab.example", "email_to": "b@lab.example",
            "mail_server_id": server.id}).send(raise_exception=True)
        return True

    @api.model
    def upload(self):
        request = urllib.request.Request("https://upload.lab.example/?ms=20", data=b"x" * 20000)
        return urllib.request.urlopen(request, timeout=20).status

    @api.model
    def use(self, connection):
        """Another addon's connection, used again."""
        connection.request("POST", "/?ms=20", "mail")
        return connection.getresponse().read()

    @api.model
    def ask_pool(self, pool):
        """The same by a pool that keeps connections."""
        return pool.request("GET", "/?ms=20").status

    @api.model
    def helper(self):
        return announce("helper.lab.example")
