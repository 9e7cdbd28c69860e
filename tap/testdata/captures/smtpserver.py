"""A mail server that knows just enough SMTP for STARTTLS. Used by make.sh."""
import socket
import ssl
import sys
import threading

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])


def serve(c):
    f = c.makefile("rwb", buffering=0)
    f.write(b"220 mail.mit-odoo.de ESMTP ready\r\n")
    while line := f.readline():
        word = line.split()[0].upper() if line.split() else b""
        if word == b"EHLO":
            f.write(b"250-mail.mit-odoo.de\r\n250 STARTTLS\r\n")
        elif word == b"STARTTLS":
            f.write(b"220 go ahead\r\n")
            c = context.wrap_socket(c, server_side=True)
            f = c.makefile("rwb", buffering=0)
        elif word == b"QUIT":
            f.write(b"221 bye\r\n")
            break
        else:
            f.write(b"250 ok\r\n")
    c.close()


listener = socket.create_server(("203.0.113.11", 25))
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
