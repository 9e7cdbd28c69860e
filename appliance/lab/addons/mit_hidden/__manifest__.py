{
    "name": "Hidden code",
    "version": "19.0.1.0.0",
    "author": "MIT",
    "license": "OPL-1",
    "depends": ["base"],
    "data": [],
    "installable": True,
}
