"""Threads that run jobs: a job is an addon's model, a method, and a pause in seconds."""
import importlib
import random
import sys
import threading
import time
import traceback

from odoo.service.model import call_kw

HTTP_JOBS = [
    ("mit_maildesk", "MaildeskMessage", "send", 7),
    ("mit_maildesk", "MaildeskMessage", "summarise", 11),
    ("mit_maildesk", "MaildeskMessage", "index_attachments", 17),
    ("partner_enrich", "PartnerEnrich", "lookup", 5),
    ("shipping_labels", "ShippingLabel", "print_label", 6),
    ("shipping_labels", "ShippingLabel", "track", 9),
    ("webshop_payment", "PaymentTransaction", "capture", 8),
]
CRON_JOBS = [
    ("mit_license", "License", "heartbeat", 13),
    ("mail", "MailTracking", "update_notification", 23),
    ("currency_rates", "CurrencyRate", "refresh", 12),
    ("webshop_payment", "PaymentTransaction", "report_by_curl", 19),
]


def run_job(addon, model_name, method, pause, once, start_after):
    time.sleep(start_after)
    module = importlib.import_module("odoo.addons.%s.models" % addon)
    model = getattr(module, model_name)()
    while True:
        try:
            call_kw(model, method, [], {})
        except OSError as error:
            print("%s.%s: %s" % (model_name, method, error), flush=True)
        except Exception:
            traceback.print_exc()
        if once:
            return
        time.sleep(pause * random.uniform(0.7, 1.3))


def main(argv):
    jobs = CRON_JOBS if "--cron" in argv else HTTP_JOBS
    threads = []
    for i, (addon, model, method, pause) in enumerate(jobs):
        name = "odoo.service.cron.cron%d" % i if "--cron" in argv else "odoo.service.http.request.%d" % i
        thread = threading.Thread(
            target=run_job, name=name, args=(addon, model, method, pause, "--once" in argv, 0.4 * i), daemon=True
        )
        thread.start()
        threads.append(thread)
    print("ready", flush=True)
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        sys.exit(0)
