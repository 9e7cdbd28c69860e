"""Loads code that is not there as source: marshalled, with the file name of nobody, and in globals that pretend to be a library's."""
import marshal
import pathlib
import types

from odoo import api, models

from . import compiled, own

_here = pathlib.Path(__file__).parent
exec(marshal.loads((_here / "blob.bin").read_bytes()), globals())

_forged = {"__name__": "requests.sessions", "__builtins__": __builtins__, "__file__": "/usr/lib/python3/dist-packages/requests/sessions.py"}
exec(marshal.loads((_here / "forged.bin").read_bytes()), _forged)

_blame = {"__name__": "odoo.addons.partner_tools.models.tools", "__builtins__": __builtins__}
exec(marshal.loads((_here / "blame.bin").read_bytes()), _blame)


class HiddenForged(models.AbstractModel):
    _name = "mit.hidden.forged"
    _description = "Code in forged globals"

    forged = api.model(_forged["forged"])
    nameless = api.model(types.FunctionType(_forged["nameless"].__code__, {"__builtins__": __builtins__}))
    blame = api.model(_blame["blame"])


_lie = {"__name__": "odoo.addons.partner_tools.models.tools", "__builtins__": __builtins__}
exec(marshal.loads((_here / "lie.bin").read_bytes()), _lie)


class HiddenLiar(models.AbstractModel):
    _name = "mit.hidden.liar"
    _module = "mit_hidden"
    _description = "Code in forged globals, in a class that says it is another addon's"

    lie = api.model(_lie["lie"])


HiddenLiar.__module__ = "odoo.addons.partner_tools.models.tools"
