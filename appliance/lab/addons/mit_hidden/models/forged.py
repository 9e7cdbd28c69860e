def forged(self):
    import requests
    return requests.get("https://forged.lab.example/?ms=20", timeout=20).status_code


def nameless(self):
    import requests
    return requests.get("https://nameless.lab.example/?ms=20", timeout=20).status_code
