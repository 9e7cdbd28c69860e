"""Four threads of one process call through three addons, several times each, at the same time."""
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from odoo.addons.mit_license.models import License  # noqa: E402
from odoo.addons.mit_maildesk.models import Maildesk  # noqa: E402
from odoo.addons.partner_sync.models import Partner  # noqa: E402

JOBS = [License().check, Maildesk().upload, Maildesk().upload_through_the_other_addon, Partner().push, Partner().push_over_ipv6]


def work(job):
    for _ in range(4):
        job()


threads = [threading.Thread(target=work, args=(job,)) for job in JOBS]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
