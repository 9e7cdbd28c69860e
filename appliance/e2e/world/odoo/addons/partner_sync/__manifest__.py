{'name': 'partner_sync', 'author': 'Partner GmbH', 'version': '19.0.3.0.0', 'license': 'OPL-1'}
