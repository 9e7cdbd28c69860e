"""Dispatch, shaped like the real odoo.service.model: every call to a model goes through call_kw."""


def call_kw(model, name, args, kwargs):
    return getattr(model, name)(*args, **kwargs)
