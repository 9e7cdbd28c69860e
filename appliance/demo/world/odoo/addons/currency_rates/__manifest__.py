{
    "name": "Currency Rates",
    "version": "19.0.1.1.1",
    "author": "Odoo Community Association (OCA)",
    "license": "AGPL-3",
    "depends": ["base"],
    "installable": True,
}
