def blame(self):
    import requests
    return requests.get("https://blame.lab.example/?ms=20", timeout=20).status_code
