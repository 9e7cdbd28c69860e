import requests

from odoo import api, models


class Hidden(models.AbstractModel):
    _name = "mit.hidden"
    _description = "Code without source"

    @api.model
    def without_source(self):
        return requests.get("https://nosource.lab.example/?ms=20", timeout=20).status_code
