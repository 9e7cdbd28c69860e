import urllib.request


class CurrencyRate:
    _name = "currency.rate"

    def refresh(self):
        with urllib.request.urlopen("https://rates6.example/eurofxref?bytes=20000", timeout=10) as response:
            response.read()
