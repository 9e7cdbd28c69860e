{
    "name": "Tools of a partner",
    "version": "19.0.1.0.0",
    "author": "A partner",
    "license": "LGPL-3",
    "depends": ["mit_license"],
    "data": [],
    "installable": True,
}
