#!/bin/bash
# Makes the captures of servers of many kinds beside this script anew: TLS in its corners, DTLS, mail, databases, SSH, LDAP, HTTP/2, WebSocket, DNS, ICMP, VXLAN.
# All are real programs in a network namespace of its own (root needed). Needs: iproute2 iputils-ping tcpdump openssl curl nginx-light dnsmasq-base knot-dnsutils
# python3 python3-aiosmtpd python3-websockets dovecot-imapd dovecot-pop3d dovecot-lmtpd postgresql mariadb-server redis-server openssh-server slapd ldap-utils go
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/wire.sh"
. "$here/dovecot.sh"
export SSL_CERT_FILE="$work/cert.pem" CURL_CA_BUNDLE="$work/cert.pem"
cert="-cert $work/cert.pem -key $work/key.pem"
python=/usr/bin/python3

# TLS: every version, another hello asked for, resumption, early data, alerts from both sides, a certificate for somebody else.
serve openssl s_server $cert -accept 203.0.113.10:4431 -cipher 'ALL:@SECLEVEL=0' -min_protocol TLSv1 -www -alpn http/1.1
serve openssl s_server $cert -accept 203.0.113.10:4432 -groups P-384 -www
serve openssl s_server $cert -accept 203.0.113.10:4433 -min_protocol TLSv1.2 -early_data
sleep 1
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=other.example -keyout /dev/null -out "$work/other.pem" 2>/dev/null
cat >"$work/tls.sh" <<'SH'
unset SSL_CERT_FILE
to() { port=$1; shift; printf 'GET / HTTP/1.0\r\n\r\n' | timeout 5 openssl s_client -quiet -connect 203.0.113.10:$port "$@"; }
old="-cipher ALL:@SECLEVEL=0 -servername license.mit-odoo.de"
to 4431 -tls1 $old; to 4431 -tls1_1 $old; to 4431 -tls1_2 $old -cipher DHE-RSA-AES128-SHA; to 4431 -tls1_2 $old
to 4432 -servername license.mit-odoo.de
echo Q | timeout 5 openssl s_client -connect 203.0.113.10:4433 -tls1_2 -servername license.mit-odoo.de -sess_out s12
echo Q | timeout 5 openssl s_client -connect 203.0.113.10:4433 -tls1_2 -servername license.mit-odoo.de -sess_in s12
(printf 'GET / HTTP/1.0\r\n\r\n'; sleep 1) | timeout 5 openssl s_client -connect 203.0.113.10:4433 -tls1_3 -servername license.mit-odoo.de -sess_out s13
printf 'GET / HTTP/1.0\r\n\r\n' >early
(sleep 1) | timeout 5 openssl s_client -connect 203.0.113.10:4433 -tls1_3 -servername license.mit-odoo.de -sess_in s13 -early_data early
to 4433 -tls1_1 $old
to 4433 -tls1_2 -servername other.example
to 4433 -tls1_2 -servername license.mit-odoo.de -verify_return_error -CAfile other.pem
true
SH
record tls $inside sh -c "cd $work && sh $work/tls.sh"

# DTLS with fragments of hellos.
serve openssl s_server $cert -accept 203.0.113.11:4434 -dtls1_2 -mtu 512
serve openssl s_server $cert -accept 203.0.113.11:4435 -dtls -cipher 'ALL:@SECLEVEL=0' -min_protocol DTLSv1 -mtu 1400
sleep 1
record dtls $inside sh -c 'for a in "4434 -dtls1_2 -mtu 300" "4435 -dtls1 -cipher ALL:@SECLEVEL=0 -mtu 1400"; do set -- $a; port=$1; shift; (echo hello; sleep 1) | timeout 4 openssl s_client -connect 203.0.113.11:$port "$@" -servername upload.mit-odoo.de; done; true'

# Mail: a message in the clear, mailboxes over IMAP and POP3, and with STARTTLS.
cat >"$work/smtpd.py" <<'PY'
import asyncio, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
Controller(Sink(), hostname="203.0.113.11", port=2525, server_hostname="mx.mit-odoo.de", tls_context=context).start()
asyncio.new_event_loop().run_forever()
PY
serve $python "$work/smtpd.py" "$work/cert.pem" "$work/key.pem"
mkdir -p "$work/mail/new"
printf 'Subject: a\r\n\r\nsecret body\r\n' >"$work/mail/new/1"
serve_dovecot
sleep 2
cat >"$work/mail.py" <<'PY'
import imaplib, poplib, smtplib, ssl
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
s = smtplib.SMTP("203.0.113.11", 2525, timeout=5)
s.sendmail("secret.sender@a.example", ["secret.recipient@b.example"], "Subject: x\r\n\r\nQUIT is what the body says\r\nDATA\r\nsecret\r\n")
s.sendmail("secret.sender@a.example", ["secret.recipient@b.example"], "Subject: y\r\n\r\nsecret\r\n")
s.quit()
s = smtplib.SMTP("203.0.113.11", 2525, timeout=5); s.starttls(context=context); s.ehlo(); s.quit()
m = imaplib.IMAP4("203.0.113.11", 143); m.login("secret.user", "secret"); m.select(); m.fetch("1", "(RFC822)"); m.logout()
m = imaplib.IMAP4("203.0.113.11", 143); m.starttls(context); m.logout()
p = poplib.POP3("203.0.113.11", 110, timeout=5); p.user("secret.user"); p.pass_("secret"); p.retr(1); p.quit()
p = poplib.POP3("203.0.113.11", 110, timeout=5); p.stls(context); p.quit()
PY
record mail $inside $python "$work/mail.py"

# Databases and SSH.
pg=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
mkdir "$work/pg" "$work/my"
chown postgres "$work/pg"
su postgres -c "$pg/initdb -D $work/pg/data -A trust" >/dev/null
install -o postgres -m 600 "$work/key.pem" "$work/pg/key.pem"
install -o postgres "$work/cert.pem" "$work/pg/cert.pem"
serve su postgres -c "$pg/postgres -D $work/pg/data -h 203.0.113.12 -k /tmp -c ssl=on -c ssl_cert_file=$work/pg/cert.pem -c ssl_key_file=$work/pg/key.pem"
echo "host all all all trust" >>"$work/pg/data/pg_hba.conf"
chown mysql "$work/my"
mariadb-install-db --no-defaults --user=mysql --datadir="$work/my" --auth-root-authentication-method=normal >/dev/null 2>&1
serve mariadbd --no-defaults --user=mysql --datadir="$work/my" --bind-address=203.0.113.12 --socket="$work/my/s" --pid-file="$work/my/pid" --skip-name-resolve --ssl-cert="$work/cert.pem" --ssl-key="$work/key.pem"
serve redis-server --port 6379 --bind 203.0.113.12 --save '' --protected-mode no
sleep 5
$inside mariadb --no-defaults -S "$work/my/s" -u root -e "CREATE USER 'secretuser'@'%' IDENTIFIED BY 'secret'; CREATE DATABASE secretbase; GRANT ALL ON *.* TO 'secretuser'@'%'"
record databases $inside sh -c 'PGSSLMODE=disable psql -h 203.0.113.12 -U postgres -c "select 1" template1; PGSSLMODE=require psql -h 203.0.113.12 -U postgres -c "select 1" template1
mariadb --no-defaults --skip-ssl -h 203.0.113.12 -u secretuser -psecret secretbase -e "select 1"; mariadb --no-defaults --ssl -h 203.0.113.12 -u secretuser -psecret secretbase -e "select 1"
redis-cli -h 203.0.113.12 set secretkey secretvalue'
ssh-keygen -q -t ed25519 -N '' -f "$work/host"
ssh-keygen -q -t ed25519 -N '' -f "$work/user"
mkdir -p /run/sshd
serve /usr/sbin/sshd -D -e -f /dev/null -h "$work/host" -o ListenAddress=203.0.113.13:2222 -o AuthorizedKeysFile="$work/user.pub" -o StrictModes=no -o UsePAM=no
sleep 1
record ssh $inside ssh -p 2222 -i "$work/user" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@203.0.113.13 true

# LDAP in the clear and with STARTTLS.
mkdir "$work/ldap"
cat >"$work/slapd.conf" <<CONF
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile $work/slapd.pid
TLSCertificateFile $work/cert.pem
TLSCertificateKeyFile $work/key.pem
database mdb
suffix "dc=secret,dc=example"
directory $work/ldap
CONF
serve slapd -d 0 -f "$work/slapd.conf" -h ldap://203.0.113.13:389/
sleep 2
record ldap $inside sh -c 'ldapwhoami -x -H ldap://203.0.113.13; LDAPTLS_REQCERT=never ldapwhoami -x -ZZ -H ldap://203.0.113.13; true'

# HTTP: HTTP/2 that is known beforehand, pipelining, chunks, WebSocket, CONNECT.
cat >"$work/nginx.conf" <<CONF
daemon off; pid $work/nginx.pid; error_log $work/error.log; worker_processes 1;
events { worker_connections 256; }
http {
	access_log off; client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s;
	server { listen 203.0.113.13:80; location / { default_type text/html; return 200 "<p>ok</p>"; } location /empty { return 204; } }
	server { listen 203.0.113.13:81 http2; location / { return 200 "ok"; } }
}
CONF
serve nginx -c "$work/nginx.conf" -e "$work/error.log"
cat >"$work/web.py" <<'PY'
import asyncio, http.client, http.server, socket, threading, websockets
class Chunks(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        left = int(self.headers.get("Content-Length", 0)); self.rfile.read(left)
        self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
        for n in (5, 1000, 3): self.wfile.write(b"%x\r\n%s\r\n" % (n, b"s" * n))
        self.wfile.write(b"0\r\n\r\n")
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "7"); self.end_headers(); self.wfile.write(b"content")
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("203.0.113.13", 8069), Chunks)
threading.Thread(target=server.serve_forever, daemon=True).start()
c = http.client.HTTPConnection("203.0.113.13", 8069)
for path in ("/web/dataset/call_kw/res.partner/read", "/my/orders/17?access_token=secret", "/unsubscribe/secret@b.example/x"):
    c.request("POST", path, body=b"b" * 1234, headers={"Cookie": "session_id=secret", "User-Agent": "lab (secret@b.example)"}); c.getresponse().read()
c.request("GET", "/shop/product-name-12"); c.getresponse().read(); c.close()
s = socket.create_connection(("203.0.113.13", 80))
for path in (b"/one?secret", b"/empty", b"/three"): s.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: www.partner.example\r\n\r\n")
got = b""
while got.count(b"HTTP/1.1 20") < 3: got += s.recv(4096)
s.close()
async def talk():
    async def echo(ws, path=None):
        async for m in ws: await ws.send(m)
    async with websockets.serve(echo, "203.0.113.13", 8072):
        async with websockets.connect("ws://203.0.113.13:8072/websocket?token=secret") as ws:
            await ws.send("secret"); await ws.recv()
asyncio.run(talk())
PY
sleep 1
record web $inside sh -c "$python $work/web.py && curl -sS --http2-prior-knowledge http://203.0.113.13:81/h2?secret"

# DNS: record types, EDNS, service records with ECH keys, multicast.
serve dnsmasq --keep-in-foreground --no-resolv --no-hosts --addn-hosts="$work/hosts" --listen-address=127.0.0.1 --bind-interfaces --port=53 --local=/partner.example/ --local=/mit-odoo.de/ \
	--mx-host=partner.example,mx.partner.example,10 --srv-host=_imap._tcp.partner.example,mx.partner.example,143 --cname=files.partner.example,www.partner.example --txt-record=partner.example,v=spf1 --pid-file= \
	--dns-rr=www.partner.example,65,00010000010003026833000400040a00000100050008fe0d000461626364
sleep 1
record dnstypes $inside sh -c 'k="kdig +noall @127.0.0.1"; $k www.partner.example A; $k www.partner.example AAAA +edns; $k +tcp files.partner.example A; $k partner.example MX; $k _imap._tcp.partner.example SRV; $k partner.example TXT; $k www.partner.example HTTPS; $k nobody.mit-odoo.de A; $k -x 203.0.113.10; $k id.server CH TXT; $k www.partner.example TYPE999'
record icmp $inside sh -c 'ping -c 2 -i 0.2 203.0.113.10; ping -6 -c 1 2001:db8:77::10; ping -c 1 -W 1 -M do -s 2000 203.0.113.11; curl -s http://203.0.113.12:9/; kdig +noall +timeout=1 +retry=0 @203.0.113.13 a.example; true'

# A mirror port: the same calls inside VXLAN, seen on the wire between two hosts.
ip netns add $ns-far
ip link add ve0 netns $ns type veth peer name ve1 netns $ns-far
$inside ip addr add 198.51.100.1/24 dev ve0
$inside ip link set ve0 up
far="ip netns exec $ns-far"
$far ip link set lo up
$far ip addr add 198.51.100.2/24 dev ve1
$far ip link set ve1 up
$inside ip link add vx type vxlan id 42 remote 198.51.100.2 dstport 4789
$inside ip addr add 192.0.2.1/24 dev vx
$inside ip link set vx up
$far ip link add vx type vxlan id 42 remote 198.51.100.1 dstport 4789
$far ip addr add 192.0.2.2/24 dev vx
$far ip link set vx up
$far python3 -m http.server --bind 192.0.2.2 --directory "$work/mail" 80 >/dev/null 2>&1 &
servers="$servers $!"
sleep 1
dev=ve0 record vxlan $inside sh -c 'curl -sS http://192.0.2.2/?secret >/dev/null; ping -c 1 192.0.2.2'
