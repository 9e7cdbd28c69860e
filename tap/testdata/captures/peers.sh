#!/bin/bash
# Makes further captures beside this script anew: proxies, FTP, XMPP, TLS clients of other libraries, DTLS 1.3, ECH, mail, QUIC in its corners, DNS over streams, HTTP's rarer forms, TCP in its corners, links, losses.
# All are real programs in a network namespace of its own (root needed). Needs: iproute2 iptables tcpdump openssl curl nginx-light squid-openssl microsocks dante-server
# dnsmasq-base iputils-ping vsftpd prosody gnutls-bin unbound knot-dnsutils python3-zeroconf chrony nghttp2-proxy redis-server redis-tools chromium exim4-daemon-light dovecot-imapd dovecot-pop3d dovecot-lmtpd haproxy nats-server coturn go
set -eu
here=$(cd "$(dirname "$0")" && pwd)
ns=netaudit-peers
. "$here/wire.sh"
. "$here/dovecot.sh"
export SSL_CERT_FILE="$work/cert.pem" CURL_CA_BUNDLE="$work/cert.pem"
python=/usr/bin/python3
only=${1:-}
wanted() { [ -z "$only" ] || [ "$only" = "$1" ]; }

cat >"$work/nginx.conf" <<CONF
daemon off; pid $work/nginx.pid; error_log $work/error.log; worker_processes 1;
events { worker_connections 256; }
http {
	access_log off; client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s;
	ssl_certificate $work/cert.pem; ssl_certificate_key $work/key.pem;
	server { listen 203.0.113.12:80; listen 203.0.113.12:443 ssl; location / { default_type text/html; return 200 "<p>ok</p>"; } }
	server { listen 203.0.113.12:8090 proxy_protocol; listen 203.0.113.12:8091 ssl proxy_protocol; location / { return 200 "ok"; } }
}
CONF
serve nginx -c "$work/nginx.conf" -e "$work/error.log"
sleep 1

# Proxies: CONNECT and absolute targets, SOCKS 4, 4a and 5 with and without a password, PROXY protocol.
if wanted proxy; then
	grep -v : "$work/hosts" >"$work/hosts4"
	cat >"$work/squid.conf" <<CONF
http_port 203.0.113.11:3128
http_access allow all
cache deny all
pid_filename none
access_log none
cache_log /dev/null
cache_effective_user proxy
dns_nameservers 127.0.0.1
shutdown_lifetime 1 seconds
CONF
	serve squid -N -f "$work/squid.conf"
	serve dnsmasq --keep-in-foreground --no-resolv --no-hosts --addn-hosts="$work/hosts4" --listen-address=127.0.0.1 --bind-interfaces --port=53 --pid-file=
	serve microsocks -i 203.0.113.11 -p 1080
	serve microsocks -i 203.0.113.11 -p 1081 -u secretuser -P secretword
	cat >"$work/danted.conf" <<CONF
logoutput: $work/danted.log
internal: 203.0.113.11 port = 1082
external: 203.0.113.11
socksmethod: none
clientmethod: none
user.privileged: root
user.unprivileged: nobody
client pass { from: 0/0 to: 0/0 }
socks pass { from: 0/0 to: 0/0 }
CONF
	serve danted -f "$work/danted.conf" -p "$work/danted.pid"
	sleep 5
	record proxy $inside sh -c 'web="http://api.partner.example/in?secret" tls="https://api.partner.example/in?secret"; c="curl -sS -o /dev/null"
$c -x http://203.0.113.11:3128 $web; $c -x http://203.0.113.11:3128 $tls; $c -p -x http://203.0.113.11:3128 $web
for s in socks5 socks5-hostname; do $c --$s 203.0.113.11:1080 $web; $c --$s 203.0.113.11:1080 $tls; done
$c --socks5-hostname secretuser:secretword@203.0.113.11:1081 $tls
$c --socks4 203.0.113.11:1082 $tls; $c --socks4a 203.0.113.11:1082 $tls; $c --socks4a 203.0.113.11:1082 $web
$c --haproxy-protocol http://api.partner.example:8090/a; $c --haproxy-protocol https://api.partner.example:8091/b'
fi

# FTP in the clear at its own port, and with AUTH TLS at another.
if wanted ftp; then
	mkdir -p "$work/ftp/pub" "$work/empty"
	echo "secret content" >"$work/ftp/pub/secret.txt"
	openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -config "$work/openssl.cnf" -keyout "$work/rsakey.pem" -out "$work/rsa.pem" 2>/dev/null # no other kind will do
	for port in 21 2121; do
		cat >"$work/vsftpd$port.conf" <<CONF
listen=YES
listen_address=203.0.113.12
listen_port=$port
background=NO
anonymous_enable=YES
anon_root=$work/ftp
no_anon_password=YES
allow_anon_ssl=YES
ssl_enable=YES
force_local_logins_ssl=NO
force_local_data_ssl=NO
require_ssl_reuse=NO
rsa_cert_file=$work/rsa.pem
rsa_private_key_file=$work/rsakey.pem
secure_chroot_dir=$work/empty
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
CONF
		serve vsftpd "$work/vsftpd$port.conf"
	done
	sleep 1
	record ftp $inside sh -c 'curl -sS ftp://203.0.113.12/pub/secret.txt -o /dev/null; curl -sS -k --ssl-reqd ftp://203.0.113.12:2121/pub/ -o /dev/null'
fi

# XMPP with STARTTLS.
if wanted xmpp; then
	cat >"$work/prosody.cfg.lua" <<CONF
pidfile = "$work/prosody.pid"; data_path = "$work"; interfaces = { "203.0.113.12" }; daemonize = false; run_as_root = true
modules_enabled = { "tls", "saslauth", "disco" }; modules_disabled = { "s2s" }
log = { error = "$work/prosody.log" }; certificates = "$work"
ssl = { key = "$work/key.pem", certificate = "$work/cert.pem" }
VirtualHost "api.partner.example"
	ssl = { key = "$work/key.pem", certificate = "$work/cert.pem" }
CONF
	serve prosody --config "$work/prosody.cfg.lua" -F
	sleep 2
	record xmpp $inside sh -c 'echo | timeout 5 openssl s_client -connect 203.0.113.12:5222 -starttls xmpp -xmpphost api.partner.example -servername api.partner.example; true'
fi

# TLS of other libraries: tickets, pre-shared keys, client certificates, a refused certificate of 1.3, record fragments.
if wanted tls2; then
	cert="-cert $work/cert.pem -key $work/key.pem"
	serve openssl s_server $cert -accept 203.0.113.10:4431 -www -Verify 1 -CAfile "$work/cert.pem" -tls1_2
	serve openssl s_server $cert -accept 203.0.113.10:4432 -www -verify 1 -CAfile "$work/cert.pem"
	serve openssl s_server -nocert -accept 203.0.113.10:4437 -psk 736563726574 -tls1_2 -cipher 'PSK@SECLEVEL=0' -rev
	serve openssl s_server $cert -accept 203.0.113.10:4438 -www -split_send_frag 100 -max_send_frag 512 -alpn h2,http/1.1
	serve gnutls-serv --x509certfile "$work/cert.pem" --x509keyfile "$work/key.pem" --port 4439 --http --quiet
	sleep 1
	cat >"$work/tls2.sh" <<SH
unset SSL_CERT_FILE
to() { port=\$1; shift; printf 'GET / HTTP/1.0\r\n\r\n' | timeout 5 openssl s_client -quiet -connect 203.0.113.10:\$port -servername license.mit-odoo.de "\$@"; }
to 4431 $cert; to 4431; to 4432 $cert; to 4432
to 4432 -verify_return_error -CAfile /etc/ssl/certs/ca-certificates.crt
echo x | timeout 3 openssl s_client -connect 203.0.113.10:4437 -psk 736563726574 -tls1_2 -cipher PSK@SECLEVEL=0
to 4438 -alpn http/1.1 -split_send_frag 16 -max_send_frag 512
for p in NORMAL:-VERS-ALL:+VERS-TLS1.2 NORMAL:-VERS-ALL:+VERS-TLS1.3 NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-SECP521R1; do
	(sleep 1) | timeout 5 gnutls-cli --insecure --port 4439 --resume --priority \$p --sni-hostname upload.mit-odoo.de --alpn http/1.1 203.0.113.10
done
true
SH
	record tls2 $inside sh "$work/tls2.sh"
fi

# Mail: exim and dovecot, with LMTP, BDAT and pipelining, several messages in an answer, authentication that fails, and TLS from the start and later.
if wanted mail2; then
	mkdir -p "$work/mail/new" "$work/spool"
	for i in 1 2 3; do printf 'Subject: a\r\nFrom: secret@a.example\r\n\r\nsecret body\r\n.\r\n+OK x\r\n* OK y\r\n' >"$work/mail/new/$i"; done
	chmod -R 777 "$work/spool"
	serve_dovecot
	cat >"$work/exim.conf" <<CONF
exim_user = nobody
exim_group = nogroup
spool_directory = $work/spool
log_file_path = $work/spool/%slog
primary_hostname = mx.partner.example
local_interfaces = 203.0.113.12
daemon_smtp_ports = 25 : 465 : 587
tls_on_connect_ports = 465
tls_advertise_hosts = *
tls_certificate = $work/cert.pem
tls_privatekey = $work/key.pem
acl_smtp_rcpt = accept
acl_smtp_data = accept
chunking_advertise_hosts = *
pipelining_advertise_hosts = *
never_users =
begin routers
black:
  driver = redirect
  data = :blackhole:
begin transports
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = true
CONF
	chown -R nobody "$work/spool"
	serve exim4 -C "$work/exim.conf" -bdf
	sleep 3
	cat >"$work/m.py" <<'P'
import imaplib, poplib, smtplib, ssl, socket, time, sys
ctx = ssl.create_default_context(); ctx.check_hostname=False; ctx.verify_mode=ssl.CERT_NONE
def raw(a, steps):
    s = socket.create_connection(a, timeout=5); s.settimeout(2)
    out=b""
    for x in steps:
        if x is None:
            try: out += s.recv(65536)
            except Exception as e: out += b"!"
        else: s.sendall(x)
    s.close(); print(out[-300:])
mx=("203.0.113.12",25)
# pipelined with BDAT
raw(mx,[None,b"EHLO client.a.example\r\n",None,b"MAIL FROM:<secret@a.example>\r\nRCPT TO:<secret@b.example>\r\nBDAT 26\r\nSubject: x\r\n\r\nQUIT\r\nDATA\r\nBDAT 8 LAST\r\nsecret\r\nQUIT\r\n",None,None,None,None])
# pipelined DATA, body has QUIT
raw(mx,[None,b"EHLO client.a.example\r\n",None,b"MAIL FROM:<secret@a.example>\r\nRCPT TO:<secret@b.example>\r\nDATA\r\n",None,None,b"Subject: y\r\n\r\nsecret\r\nSTARTTLS\r\n..\r\n.\r\nQUIT\r\n",None,None])
# HELO, RSET, NOOP, VRFY, wrong order
raw(mx,[None,b"HELO x\r\n",None,b"DATA\r\n",None,b"RSET\r\n",None,b"NOOP secret\r\n",None,b"VRFY secret@b.example\r\n",None,b"QUIT\r\n",None])
raw(mx,[None,b"GET / HTTP/1.0\r\n\r\n",None,None])
s=smtplib.SMTP(*mx,timeout=5); s.ehlo(); s.login("secretuser","secret"); s.sendmail("secret@a.example",["secret@b.example"],"x"); s.quit()
s=smtplib.SMTP(*mx,timeout=5); s.starttls(context=ctx); s.ehlo(); s.sendmail("secret@a.example",["secret@b.example"],"x"); s.quit()
s=smtplib.SMTP_SSL("203.0.113.12",465,timeout=5,context=ctx); s.sendmail("secret@a.example",["secret@b.example"],"x"); s.quit()
s=smtplib.SMTP("203.0.113.12",587,timeout=5); s.starttls(context=ctx); s.quit()
s=smtplib.LMTP("203.0.113.11",24); s.docmd("LHLO client"); s.docmd("MAIL FROM:<secret@a.example>"); s.docmd("RCPT TO:<secret@b.example>"); s.data("Subject: z\r\n\r\nsecret\r\n"); s.quit()
m=imaplib.IMAP4("203.0.113.11"); m.authenticate("PLAIN", lambda x: b"\0secretuser\0secret"); m.select(); m.fetch("1:*","(BODY[])"); m.append("INBOX",None,None,b"Subject: q\r\n\r\nsecret LOGOUT\r\na LOGOUT\r\n"); m.search(None,"ALL"); m.store("1","+FLAGS","\\Deleted"); m.expunge(); m.logout()
m=imaplib.IMAP4("203.0.113.11"); m.starttls(ctx); m.login("secret","secret"); m.logout()
m=imaplib.IMAP4_SSL("203.0.113.11",993,ssl_context=ctx); m.login("secret","secret"); m.logout()
raw(("203.0.113.11",143),[None,b"1 CAPABILITY\r\n2 LOGIN {6}\r\n",None,b"secret {6}\r\n",None,b"secret\r\n3 SELECT INBOX\r\n",None,b"4 IDLE\r\n",None,b"DONE\r\n5 LOGOUT\r\n",None,None])
raw(("203.0.113.11",143),[None,b"a LOGIN secretx wrong\r\n",None,b"b LOGOUT\r\n",None])
p=poplib.POP3("203.0.113.11"); p.user("secret"); p.pass_("secret"); p.list(); p.retr(1); p.top(1,1); p.dele(1); p.quit()
p=poplib.POP3("203.0.113.11"); p.stls(ctx); p.user("secret"); p.pass_("secret"); p.quit()
p=poplib.POP3_SSL("203.0.113.11",995,context=ctx); p.quit()
raw(("203.0.113.11",110),[None,b"CAPA\r\nAUTH PLAIN AHNlY3JldAB3cm9uZw==\r\n",None,None,b"APOP secret 0123\r\nQUIT\r\n",None,None])
P
	record mail2 $inside $python "$work/m.py"
fi

# DTLS 1.3.
if wanted dtls13; then
	(cd "$here/dtlspeers" && go build -o "$work/dtlspeers" .)
	record dtls13 $inside "$work/dtlspeers" 203.0.113.11 "$work/cert.pem" "$work/key.pem"
fi

# Encrypted Client Hello: with keys from DNS, with keys from elsewhere, without any question, and what a browser sends to each kind of server.
if wanted ech; then
	(cd "$here/../../.." && go build -o "$work/echpeers" ./tap/testdata/captures/echpeers)
	$inside ip addr add 203.0.113.99/32 dev lo # all calls come from here, so that what a client was told can name them
	for n in 10 11 12 13; do $inside ip route change local 203.0.113.$n dev lo table local src 203.0.113.99; done
	echo "nameserver 203.0.113.12" >"/etc/netns/$ns/resolv.conf"
	cat >"$work/ech.sh" <<SH
for host in license.mit-odoo.de api.partner.example www.partner.example; do
	timeout -k 5 20 chromium --headless=new --no-sandbox --disable-gpu --user-data-dir=$work/profile-\$host --ignore-certificate-errors --disable-background-networking \
		--disable-component-update --disable-sync --no-first-run --virtual-time-budget=3000 --dump-dom https://\$host/
done
SH
	record ech $inside "$work/echpeers" "$work/cert.pem" "$work/key.pem" sh "$work/ech.sh"
fi

if wanted quic2; then
	(cd "$here/../../.." && go build -o "$work/quicpeers" ./tap/testdata/captures/quicpeers)
	record quic2 $inside "$work/quicpeers" 203.0.113.13 "$work/cert.pem" "$work/key.pem"
fi

# DNS over streams: several messages in a segment, one cut into pieces, DNS over TLS, multicast.
if wanted dns2; then
	cat >"$work/unbound.conf" <<CONF
server:
	interface: 127.0.0.1
	interface: 127.0.0.1@853
	tls-service-key: $work/key.pem
	tls-service-pem: $work/cert.pem
	access-control: 127.0.0.0/8 allow
	chroot: ""
	username: ""
	pidfile: $work/unbound.pid
	directory: $work
	use-syslog: no
	do-not-query-localhost: no
	local-zone: partner.example. static
	local-data: "www.partner.example. 300 A 203.0.113.13"
	local-data: "www.partner.example. 200 AAAA 2001:db8:77::13"
	local-data: "partner.example. 100 NS ns.partner.example."
	local-data: "partner.example. 100 SOA ns.partner.example. root.partner.example. 1 2 3 4 5"
CONF
	for i in $(seq 60); do echo "	local-data: \"many.partner.example. 60 A 192.0.2.$i\"" >>"$work/unbound.conf"; done
	serve unbound -d -c "$work/unbound.conf"
	cat >"$work/dns2.py" <<'PY'
import socket, struct, time
def query(id, name, type):
    q = b"".join(bytes([len(l)]) + l for l in name.encode().split(b".")) + b"\0"
    return struct.pack(">6H", id, 0x100, 1, 0, 0, 0) + q + struct.pack(">2H", type, 1)
def framed(m): return struct.pack(">H", len(m)) + m
s = socket.create_connection(("127.0.0.1", 53), timeout=5)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def read(n):
    f = b""
    for _ in range(n):
        while len(f) < 2 or len(f) < 2 + struct.unpack(">H", f[:2])[0]: f += s.recv(4096)
        f = f[2 + struct.unpack(">H", f[:2])[0]:]
s.sendall(framed(query(1, "www.partner.example", 1)) + framed(query(2, "www.partner.example", 28)) + framed(query(3, "nobody.partner.example", 1))); read(3)
for piece in framed(query(4, "many.partner.example", 1)): s.sendall(bytes([piece])); time.sleep(0.005)
read(1); s.close()
PY
	cat >"$work/mdns.py" <<'PY'
import socket, time
from zeroconf import ServiceInfo, Zeroconf
z = Zeroconf(interfaces=["203.0.113.10"])
z.register_service(ServiceInfo("_http._tcp.local.", "office._http._tcp.local.", addresses=[socket.inet_aton("203.0.113.10")], port=80, server="printer.local."))
c = Zeroconf(interfaces=["203.0.113.11"])
c.get_service_info("_http._tcp.local.", "office._http._tcp.local.", timeout=2000)
c.close(); z.close()
PY
	sleep 1
	$inside ip route add 224.0.0.0/4 dev lo
	$inside ip link set lo multicast on
	record dns2 $inside sh -c "$python $work/dns2.py; kdig +noall +tls @127.0.0.1 www.partner.example; kdig +noall @127.0.0.1 many.partner.example A; kdig +noall @127.0.0.1 www.partner.example AAAA; kdig +noall @127.0.0.1 partner.example SOA; $python $work/mdns.py"
fi

# HTTP: an upgrade to HTTP/2, trailers, bare line feeds, interim responses, a body until the end, keep-alive with pauses.
if wanted web2; then
	serve nghttpx -f '203.0.113.12,82;no-tls' -b 203.0.113.12,80 --workers=1 --accesslog-file=/dev/null --errorlog-file="$work/nghttpx.log"
	serve redis-server --port 6379 --bind 203.0.113.12 --save '' --protected-mode no
	cat >"$work/web2.py" <<'PY'
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path.startswith("/trailers"):
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.send_header("Trailer", "X-Sum"); self.end_headers()
            self.wfile.write(b"5;ext=1\r\nhello\r\n0\r\nX-Sum: secret\r\n\r\n")
        elif self.path.startswith("/end"):
            self.send_response(200); self.send_header("Connection", "close"); self.end_headers(); self.wfile.write(b"x" * 3000); self.close_connection = True
        else:
            self.send_response(204); self.end_headers()
    do_HEAD = do_GET
    def do_POST(self):
        n = int(self.headers.get("Content-Length", 0)); self.rfile.read(n)
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("203.0.113.12", 8070), H)
if sys.argv[1] == "serve": server.serve_forever()
PY
	cat >"$work/web2client.py" <<'PY'
import socket
s = socket.create_connection(("203.0.113.12", 8070)); f = s.makefile("rb")
def head():
    while f.readline() not in (b"\r\n", b""): pass
s.sendall(b"GET /trailers HTTP/1.1\r\nHost: www.partner.example\r\n\r\n"); head()
while f.readline() != b"X-Sum: secret\r\n": pass
f.readline()
s.sendall(b"HEAD /head HTTP/1.1\nHost: www.partner.example\nX-Folded: a\n b\n\n"); head()
s.sendall(b"OPTIONS * HTTP/1.1\r\nHost: www.partner.example\r\n\r\n"); head(); s.close()
s = socket.create_connection(("203.0.113.12", 8070)); s.sendall(b"GET /end?secret HTTP/1.0\r\n\r\n")
while s.recv(4096): pass
PY
	serve $python "$work/web2.py" serve
	sleep 1
	record web2 $inside sh -c "$python $work/web2client.py; curl -sS -o /dev/null --http2 http://203.0.113.12:82/upgraded; curl -sS -o /dev/null -H 'Expect: 100-continue' -d '$(head -c 2000 /dev/zero | tr '\0' x)' http://203.0.113.12:8070/expect; redis-cli -3 -h 203.0.113.12 get secretkey; printf 'PING\r\nQUIT\r\n' | $python -c 'import socket, sys; s = socket.create_connection((\"203.0.113.12\", 6379)); s.sendall(sys.stdin.buffer.read()); s.recv(100)'"
fi

# TCP in its corners: a window of zero, probes, resets from both sides, half-closed and left open, ports used again, urgent data, data with the SYN, a full backlog.
if wanted tcp; then
	$inside sysctl -qw net.ipv4.tcp_fastopen=3
	cat >"$work/tcp.py" <<'PY'
import os, socket, struct, threading, time
A=("203.0.113.12",7001)
def listen(addr, **k):
    s=socket.socket(); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)
    if k.get("rcv"): s.setsockopt(socket.SOL_SOCKET,socket.SO_RCVBUF,k["rcv"])
    if k.get("tfo"): s.setsockopt(socket.IPPROTO_TCP,23,5)
    s.bind(addr); s.listen(k.get("backlog",5)); return s
def cl(addr, port=0, **k):
    s=socket.socket(); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)
    if port: s.bind(("203.0.113.12",port))
    s.settimeout(5); s.connect(addr); return s
# a window of zero
l=listen(A,rcv=2304); c=cl(A); s,_=l.accept(); c.settimeout(1.5)
try: c.sendall(b"x"*60000)
except Exception as e: print(e)
s.settimeout(1)
n=0
try:
    while n<60000:
        d=s.recv(1000)
        if not d: break
        n+=len(d)
except Exception as e: print(e)
c.close(); s.close()
# keep-alive probes
c=cl(A); s,_=l.accept()
c.setsockopt(socket.SOL_SOCKET,socket.SO_KEEPALIVE,1); c.setsockopt(socket.IPPROTO_TCP,socket.TCP_KEEPIDLE,1); c.setsockopt(socket.IPPROTO_TCP,socket.TCP_KEEPINTVL,1)
c.sendall(b"hello"); time.sleep(2.5); s.sendall(b"x"); c.close(); s.close()
# the client resets
c=cl(A); s,_=l.accept(); c.sendall(b"abc"); time.sleep(.1); c.setsockopt(socket.SOL_SOCKET,socket.SO_LINGER,struct.pack("ii",1,0)); c.close(); time.sleep(.1); s.close()
# the server resets: data was not read
c=cl(A); s,_=l.accept(); c.sendall(b"abc"*100); time.sleep(.1); s.close(); time.sleep(.1)
try: c.sendall(b"more")
except Exception as e: print(e)
c.close()
# refused
try: cl(("203.0.113.12",7999))
except Exception as e: print(e)
# half closed
c=cl(A); s,_=l.accept(); c.sendall(b"req"); c.shutdown(1); time.sleep(.1); s.recv(9); s.sendall(b"y"*5000); time.sleep(.1); s.close(); 
try:
    while c.recv(9999): pass
except Exception as e: print(e)
c.close()
# the same ports again after a reset, and after an end
for i in range(3):
    c=cl(A,port=45454); s,_=l.accept(); c.sendall(b"r%d"%i); time.sleep(.05); c.setsockopt(socket.SOL_SOCKET,socket.SO_LINGER,struct.pack("ii",1,0)); c.close(); s.close(); time.sleep(.05)
for i in range(2):
    c=cl(A,port=45455); s,_=l.accept(); s.sendall(b"q"); s.close(); time.sleep(.05); c.recv(9); c.close(); time.sleep(1.1)
# urgent data
c=cl(A); s,_=l.accept(); c.send(b"ab"); c.send(b"!",socket.MSG_OOB); c.send(b"cd"); time.sleep(.1); c.close(); s.close()
# Fast Open: data with the SYN (RFC 7413)
f=listen(("203.0.113.12",7002),tfo=1)
for i in range(3):
    c=socket.socket()
    c.sendto(b"GET /tfo HTTP/1.1\r\nHost: www.partner.example\r\n\r\n",0x20000000,("203.0.113.12",7002)); s,_=f.accept(); s.recv(100); s.sendall(b"HTTP/1.1 204 No\r\n\r\n"); c.recv(100); c.close(); s.close()
# both close at once
c=cl(A); s,_=l.accept(); t=threading.Thread(target=c.close); t.start(); s.close(); t.join()
# left open
keep=cl(A); ks,_=l.accept(); keep.sendall(b"open")
# a full backlog
b=listen(("203.0.113.12",7003),backlog=0); xs=[]
for i in range(4):
    x=socket.socket(); x.setblocking(False)
    try: x.connect(("203.0.113.12",7003))
    except BlockingIOError: pass
    xs.append(x)
time.sleep(1.5)
l6=socket.socket(socket.AF_INET6); l6.bind(("2001:db8:77::12",7001)); l6.listen(); c=socket.create_connection(("2001:db8:77::12",7001)); s,_=l6.accept(); c.sendall(b"z"*20000); 
n=0
while n<20000: n+=len(s.recv(65536))
c.close(); s.close()
os._exit(0)
PY
	record tcp $inside $python "$work/tcp.py"
fi

# What stands before the usual: empty lines before a request, a server that refuses before the client's hello, commands with the names of HTTP's methods, HTTP offered among other protocols.
if wanted before; then
	cat >"$work/haproxy.cfg" <<CONF
defaults
	mode tcp
	timeout connect 5s
	timeout client 5s
	timeout server 5s
listen refused
	bind 203.0.113.11:8443
	server s 203.0.113.12:443 send-proxy-v2
CONF
	serve haproxy -f "$work/haproxy.cfg" -db
	serve nats-server -a 203.0.113.12 -p 4222
	serve turnserver -n -L 203.0.113.12 -p 3478 --tls-listening-port 5349 --cert "$work/cert.pem" --pkey "$work/key.pem" -u secret:secret -r partner.example --lt-cred-mech --no-cli --pidfile "$work/turn.pid" -l stdout
	cat >"$work/before.py" <<'PY'
import socket
def say(address, *words):
    s = socket.create_connection(address, timeout=5)
    for w in words: s.sendall(w); s.recv(4096)
    s.close()
say(("203.0.113.12", 80), b"\r\n\r\nGET /crlf?secret HTTP/1.1\r\nHost: www.partner.example\r\n\r\n")
say(("203.0.113.12", 4222), b'CONNECT {"user":"secret"}\r\nPING\r\n', b"PING\r\n")
PY
	sleep 2
	record before $inside sh -c "$python $work/before.py; curl -sS -k --max-time 5 --resolve license.mit-odoo.de:8443:203.0.113.11 https://license.mit-odoo.de:8443/; echo | timeout 5 openssl s_client -connect 203.0.113.12:5349 -tls1_2 -servername upload.mit-odoo.de -alpn http/1.1,stun.turn; true"
fi

# Links: what tcpdump gives for all interfaces, fragments, time.
if wanted links; then
	printf 'pidfile %s\nlocal stratum 8\nallow all\nbindaddress 203.0.113.12\ncmdport 0\n' "$work/chrony.pid" >"$work/chrony.conf"
	serve chronyd -n -x -f "$work/chrony.conf" -u root
	sleep 1
	for link in LINUX_SLL LINUX_SLL2; do
		name=$(echo $link | tr 'A-Z' 'a-z' | sed s/linux_//)
		dev="any -y $link" record "$name" $inside sh -c 'curl -sS -o /dev/null http://203.0.113.12/any; curl -sS -o /dev/null -k https://203.0.113.12/'
	done
	record fragments $inside sh -c "ping -c 1 -s 4000 203.0.113.10; ping -6 -c 1 -s 4000 2001:db8:77::10; $python -c 'import socket
for f, a in ((socket.AF_INET, \"203.0.113.11\"), (socket.AF_INET6, \"2001:db8:77::11\")):
    r = socket.socket(f, socket.SOCK_DGRAM); r.bind((a, 9999)); s = socket.socket(f, socket.SOCK_DGRAM); s.sendto(b\"x\" * 5000, (a, 9999)); r.recv(9000)'; timeout 5 chronyd -Q -t 3 'server 203.0.113.12 iburst maxsamples 1' -u root; true"
fi

# Losses: one packet in twelve never arrives, so that both sides send again.
if wanted loss; then
	head -c 40000 /dev/urandom >"$work/blob"
	$inside iptables -A INPUT -p tcp -m statistic --mode random --probability 0.08 -j DROP
	record loss $inside sh -c "for i in 1 2; do curl -sS --max-time 20 -o /dev/null --data-binary @$work/blob http://203.0.113.12/up || true; curl -sS -k --max-time 20 -o /dev/null https://203.0.113.12/ || true; done"
	$inside iptables -F INPUT
fi

# Tunnels: the same calls in all encapsulations that this kernel may not be able to make.
if wanted tunnels; then
	(cd "$here/../../.." && go build -o "$work/wrap" ./tap/testdata/captures/wrap)
	record plain $inside sh -c 'curl -sS -o /dev/null -k https://203.0.113.12/; curl -sS -o /dev/null http://203.0.113.12/wrapped?secret'
	"$work/wrap" "$here/plain.pcap" "$here/tunnels.pcap"
	rm "$here/plain.pcap"
fi
