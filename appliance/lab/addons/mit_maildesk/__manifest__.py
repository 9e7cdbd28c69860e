{
    "name": "Mail desk",
    "version": "19.0.1.0.0",
    "author": "MIT",
    "license": "OPL-1",
    "depends": ["mail", "mit_license"],
    "data": [],
    "installable": True,
}
