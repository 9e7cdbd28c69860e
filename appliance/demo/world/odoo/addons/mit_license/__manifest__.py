{
    "name": "MIT License Locker",
    "version": "19.0.3.1.0",
    "author": "MIT",
    "license": "OPL-1",
    "depends": ["base"],
    "installable": True,
}
