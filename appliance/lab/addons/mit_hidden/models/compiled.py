import requests

from odoo import api, models


class Compiled(models.AbstractModel):
    _name = "mit.hidden.compiled"
    _description = "Code that Cython compiled"

    @api.model
    def call(self):
        return requests.get("https://compiled.lab.example/?ms=20", timeout=20).status_code
