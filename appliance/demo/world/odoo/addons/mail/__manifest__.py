{
    "name": "Discuss",
    "version": "19.0.1.15",
    "author": "Odoo S.A.",
    "license": "LGPL-3",
    "depends": ["base"],
    "installable": True,
}
