{'name': 'mit_license', 'author': 'MIT', 'version': '19.0.1.0.0', 'license': 'OPL-1'}
