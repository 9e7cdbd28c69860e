{
    "name": "MailDesk",
    "version": "19.0.7.4.2",
    "author": "MIT",
    "license": "OPL-1",
    "depends": ["base"],
    "installable": True,
}
