{
    "name": "HTTP Connector",
    "version": "19.0.1.2.0",
    "author": "Odoo Community Association (OCA)",
    "license": "LGPL-3",
    "depends": ["base"],
    "installable": True,
}
