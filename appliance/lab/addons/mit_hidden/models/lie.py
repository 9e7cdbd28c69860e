def lie(self):
    import requests
    return requests.get("https://lie.lab.example/?ms=20", timeout=20).status_code
