{
    "name": "Shipping Labels",
    "version": "19.0.2.0.0",
    "author": "Example Partner GmbH",
    "license": "AGPL-3",
    "depends": ["base"],
    "installable": True,
}
