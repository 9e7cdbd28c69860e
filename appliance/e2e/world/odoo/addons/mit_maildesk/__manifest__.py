{'name': 'mit_maildesk', 'author': 'MIT', 'version': '19.0.2.0.0', 'license': 'OPL-1'}
