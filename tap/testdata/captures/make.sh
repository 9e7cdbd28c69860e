#!/bin/sh
# Makes the captures of clients and browsers beside this script anew, with real clients and servers in a network namespace of its own (root needed).
# Needs: iproute2 tcpdump openssl curl python3 python3-requests dnsmasq-base nginx-light chromium wireshark-common go
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/wire.sh"
cat >"$work/nginx.conf" <<CONF
daemon off; pid $work/nginx.pid; error_log $work/error.log; worker_processes 1;
events { worker_connections 256; }
http {
	access_log off; client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s;
	server {
		listen 80; listen [::]:80; listen 443 ssl http2; listen [::]:443 ssl http2;
		ssl_certificate $work/cert.pem; ssl_certificate_key $work/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
		location / { default_type text/html; return 200 "<p>ok</p>"; }
	}
}
CONF
$inside nginx -c "$work/nginx.conf" -e "$work/error.log" &
servers="$servers $!"
$inside dnsmasq --keep-in-foreground --no-resolv --no-hosts --addn-hosts="$work/hosts" --listen-address=127.0.0.1 --bind-interfaces --port=53 \
	--local=/partner.example/ --cname=files.partner.example,www.partner.example --txt-record=big.partner.example,"$(head -c 240 /dev/zero | tr '\0' a)","$(head -c 240 /dev/zero | tr '\0' b)","$(head -c 240 /dev/zero | tr '\0' c)" --pid-file= &
servers="$servers $!"
$inside python3 "$here/smtpserver.py" "$work/cert.pem" "$work/key.pem" &
servers="$servers $!"
(cd "$here/../../.." && go build -o "$work/quicserver" ./tap/testdata/captures/quicserver)
$inside "$work/quicserver" 203.0.113.13:443 "$work/cert.pem" "$work/key.pem" &
servers="$servers $!"
spki=$(openssl x509 -in "$work/cert.pem" -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64)
sleep 1

export CURL_CA_BUNDLE="$work/cert.pem" REQUESTS_CA_BUNDLE="$work/cert.pem" SSL_CERT_FILE="$work/cert.pem" GOFLAGS=-mod=mod

record curl $inside sh -c 'curl -sS https://license.mit-odoo.de/check?id=secret https://upload.mit-odoo.de/ && curl -sS -6 https://api.partner.example/ && curl -sS http://www.partner.example/plain?token=secret && curl -sS --http1.1 -d "some data" http://files.partner.example/form'
record openssl $inside sh -c 'for v in tls1_2 tls1_3; do echo | openssl s_client -$v -connect upload.mit-odoo.de:443 -servername upload.mit-odoo.de -alpn http/1.1; done; echo | openssl s_client -connect 203.0.113.12:443 -noservername'
record starttls $inside python3 -c 'import smtplib, ssl
s = smtplib.SMTP("upload.mit-odoo.de", 25, timeout=5)
s.starttls(context=ssl.create_default_context())
s.ehlo()
s.quit()'
record requests $inside python3 -c 'import requests
s = requests.Session()
for i in range(3): s.get("https://license.mit-odoo.de/%d" % i)
requests.post("https://api.partner.example/push", data=b"x" * 50000)'
cat >"$work/main.go" <<'GO'
package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
)

func main() {
	for _, url := range []string{"https://license.mit-odoo.de/", "https://www.partner.example/a", "http://api.partner.example/b?c=d"} {
		r, err := http.Post(url, "text/plain", strings.NewReader("hello"))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		r.Body.Close()
	}
}
GO
(cd "$work" && go build -o client main.go)
record go $inside "$work/client"
record dns $inside python3 "$here/dnsclient.py"
record chromium $inside timeout -k 5 60 chromium --headless=new --no-sandbox --disable-gpu --user-data-dir="$work/profile" --ignore-certificate-errors \
	--disable-background-networking --disable-component-update --disable-sync --no-first-run --virtual-time-budget=3000 --dump-dom https://www.partner.example/page
record quic $inside timeout -k 5 40 chromium --headless=new --no-sandbox --disable-gpu --user-data-dir="$work/profile2" --ignore-certificate-errors-spki-list="$spki" \
	--enable-quic --origin-to-force-quic-on=www.partner.example:443 --host-resolver-rules="MAP www.partner.example 203.0.113.13" \
	--disable-background-networking --disable-component-update --disable-sync --no-first-run --virtual-time-budget=3000 --dump-dom https://www.partner.example/quic
editcap -F pcapng "$here/go.pcap" "$here/go.pcapng"
rm "$here/go.pcap"
gzip -9 -n -f "$here/requests.pcap"
