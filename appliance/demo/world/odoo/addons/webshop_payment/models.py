import subprocess
import urllib.request


class PaymentTransaction:
    _name = "payment.transaction"

    def capture(self):
        with urllib.request.urlopen("https://api.stripe.com/v1/charges?ms=90", data=b"amount=1200", timeout=10) as response:
            response.read()

    def report_by_curl(self):
        """A child process makes the call."""
        subprocess.run(["curl", "-sS", "-o", "/dev/null", "https://reports.bank.example/daily?ms=150"], check=False)
