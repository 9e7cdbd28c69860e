{
    "name": "Webshop Payment",
    "version": "19.0.1.5.0",
    "author": "Example Partner GmbH",
    "license": "AGPL-3",
    "depends": ["base"],
    "installable": True,
}
