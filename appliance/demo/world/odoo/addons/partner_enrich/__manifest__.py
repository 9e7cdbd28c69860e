{
    "name": "Partner Enrichment",
    "version": "19.0.1.0.3",
    "author": "Example Partner GmbH",
    "license": "AGPL-3",
    "depends": ["base"],
    "installable": True,
}
