#!/bin/bash
# Makes further captures beside this script anew: FTP's data connections, mail between servers, tunnels whose packets are cut into fragments,
# protocols that are named.
# All are real programs in a network namespace of its own (root needed). Needs: iproute2 tcpdump openssl curl vsftpd lftp python3-pyftpdlib postfix dovecot-imapd dovecot-pop3d dovecot-lmtpd
# freetds-bin iputils-ping mosquitto mosquitto-clients memcached nats-server snmpd snmp tftpd-hpa socat coturn openvpn redis-server redis-tools sipsak freeradius-utils krb5-user gnutls-bin botan erlang-ssl. postfix and the exim4 of peers.sh exclude each other.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
ns=netaudit-more
. "$here/wire.sh"
. "$here/dovecot.sh"
python=/usr/bin/python3
only=${1:-}
wanted() { [ -z "$only" ] || [ "$only" = "$1" ]; }

# FTP: data connections of all four kinds, from both ends, over IPv4 and IPv6, of two servers.
if wanted ftpdata; then
	mkdir -p "$work/ftp/pub" "$work/empty" "$work/ftp2"
	printf 'GET /secret HTTP/1.1\r\nHost: secret.example\r\n\r\n' >"$work/ftp/pub/secret.txt" # what a file says is no protocol
	head -c 9000 /dev/urandom >"$work/ftp/pub/blob"
	for address in 203.0.113.12 2001:db8:77::12; do
		cat >"$work/vsftpd$address.conf" <<CONF
$(case $address in *::*) printf 'listen=NO\nlisten_ipv6=YES\nlisten_address6=%s\n' $address ;; *) printf 'listen=YES\nlisten_address=%s\n' $address ;; esac)
background=NO
anonymous_enable=YES
anon_root=$work/ftp
no_anon_password=YES
port_enable=YES
connect_from_port_20=YES
secure_chroot_dir=$work/empty
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
CONF
		serve vsftpd "$work/vsftpd$address.conf"
	done
	serve $python -m pyftpdlib -i 203.0.113.11 -p 2122 -w -d "$work/ftp2"
	sleep 2
	cat >"$work/ftpdata.sh" <<SH
c="curl -sS -o /dev/null"
\$c ftp://203.0.113.12/pub/secret.txt
\$c --disable-epsv ftp://203.0.113.12/pub/blob
\$c -P - ftp://203.0.113.12/pub/secret.txt
\$c -P - --disable-eprt ftp://203.0.113.12/pub/
\$c "ftp://[2001:db8:77::12]/pub/secret.txt"
\$c -P 2001:db8:77::12 "ftp://[2001:db8:77::12]/pub/blob"
\$c -T $work/ftp/pub/blob ftp://203.0.113.11:2122/up
lftp -e 'set ftp:passive-mode no; set net:timeout 5; cd pub; get -c blob -o /dev/null; ls; cat secret.txt; bye' 203.0.113.12
SH
	record ftpdata $inside sh "$work/ftpdata.sh"
fi

# Mail between servers: postfix takes messages for many recipients, sent ahead of the answers, with STARTTLS and as a submission, and gives them to dovecot by LMTP, in the clear and with TLS, and to another server by SMTP.
if wanted postfix; then
	serve_dovecot
	mkdir -p "$work/postfix" "$work/queue" "$work/data"
	chown postfix "$work/data"
	cat >"$work/postfix/main.cf" <<CONF
compatibility_level = 3.6
queue_directory = $work/queue
data_directory = $work/data
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.partner.example
mydestination =
inet_interfaces = 203.0.113.12
mynetworks = 203.0.113.0/24
relay_domains = a.example b.example e.example
transport_maps = inline:{ a.example=lmtp:inet:203.0.113.11:24, b.example=smtp:[203.0.113.13]:25, e.example=lmtps:inet:203.0.113.11:24 }
relay_recipient_maps =
disable_dns_lookups = yes
smtpd_tls_cert_file = $work/cert.pem
smtpd_tls_key_file = $work/key.pem
smtpd_tls_security_level = may
smtp_tls_security_level = may
smtp_bind_address = 203.0.113.12
smtp_balance_inet_protocols = no
inet_protocols = ipv4
maillog_file = /dev/stdout
maillog_file_prefixes = /dev
CONF
	cat >"$work/postfix/master.cf" <<CONF
203.0.113.12:25 inet n - n - - smtpd
203.0.113.12:587 inet n - n - - smtpd -o smtpd_tls_security_level=encrypt
203.0.113.12:465 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
lmtps unix - - n - - lmtp -o lmtp_tls_security_level=may
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000 1 tlsmgr
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
CONF
	postfix -c "$work/postfix" check || true
	serve env MAIL_CONFIG="$work/postfix" /usr/lib/postfix/sbin/master -s
	serve /usr/sbin/smtp-sink -u nobody -h mx.b.example 203.0.113.13:25 10
	sleep 6
	cat >"$work/postfix.py" <<'PY'
import smtplib, socket, ssl, time
ctx = ssl.create_default_context(); ctx.check_hostname = False; ctx.verify_mode = ssl.CERT_NONE
mx = "203.0.113.12"
many = ["secret%d@a.example" % i for i in range(8)]
s = smtplib.SMTP(mx, 25, timeout=5); s.sendmail("secret@c.example", many, "Subject: x\r\n\r\nsecret\r\n"); s.quit()
s = smtplib.SMTP(mx, 587, timeout=5); s.starttls(context=ctx); s.sendmail("secret@c.example", ["secret@b.example"], "Subject: y\r\n\r\nsecret\r\n"); s.quit()
s = smtplib.SMTP_SSL(mx, 465, timeout=5, context=ctx); s.sendmail("secret@c.example", ["secret@e.example"], "z"); s.quit()
s = smtplib.SMTP(mx, 587, timeout=5); s.ehlo()
try: s.sendmail("secret@c.example", many, "x")
except smtplib.SMTPException as e: print(e)
s.close()
# all ahead of the answers, with recipients that are refused among them
s = socket.create_connection((mx, 25), timeout=5); f = s.makefile("rb"); f.readline()
s.sendall(b"EHLO client.c.example\r\n")
while f.readline()[3:4] == b"-": pass
s.sendall(b"MAIL FROM:<secret@c.example> SIZE=100\r\n" + b"".join(b"RCPT TO:<%s>\r\n" % r for r in [b"secret@a.example", b"secret@nowhere.invalid>", b"broken", b"secret2@a.example"]) + b"DATA\r\n")
for i in range(6): print(f.readline())
s.sendall(b"Subject: p\r\n\r\nsecret\r\n.\r\nRSET\r\nVRFY secret\r\nQUIT\r\n")
for i in range(4): print(f.readline())
f.close(); s.close()
time.sleep(8)
PY
	record postfix $inside $python "$work/postfix.py"
fi

# Tunnels whose packets do not fit: the kernel cuts the outer ones.
if wanted cut; then
	ip netns add $ns-far
	far="ip netns exec $ns-far"
	ip link add ve0 netns $ns type veth peer name ve1 netns $ns-far
	$inside ip addr add 198.51.100.1/24 dev ve0
	$inside ip link set ve0 up
	$far ip link set lo up
	$far ip addr add 198.51.100.2/24 dev ve1
	$far ip link set ve1 up
	for side in "$inside:198.51.100.2:192.0.2.1" "$far:198.51.100.1:192.0.2.2"; do
		IFS=: read -r there remote own <<<"$side"
		$there ip link add vx type vxlan id 43 remote "$remote" dstport 4789
		$there ip link set vx mtu 1500 up
		$there ip addr add "$own/24" dev vx
	done
	mkdir "$work/pages"
	head -c 9000 /dev/urandom >"$work/pages/page"
	$far python3 -m http.server --bind 192.0.2.2 --directory "$work/pages" 80 >/dev/null 2>&1 &
	servers="$servers $!"
	sleep 1
	dev=ve0 record cut $inside sh -c "curl -sS -o /dev/null http://192.0.2.2/page?secret; ping -c 1 -s 4000 192.0.2.2"
fi

# Protocols that are named and not read: message queues, caches, management, telephony, tunnels of users.
if wanted names; then
	printf 'listener 1883 203.0.113.12\nallow_anonymous true\n' >"$work/mosquitto.conf"
	serve mosquitto -c "$work/mosquitto.conf"
	serve memcached -u nobody -l 203.0.113.12 -p 11211
	serve nats-server -a 203.0.113.12 -p 4222
	printf 'rocommunity secret\n' >"$work/snmpd.conf"
	serve env SNMP_PERSISTENT_DIR="$work" snmpd -f -Lo -C -c "$work/snmpd.conf" udp:203.0.113.12:161
	mkdir "$work/tftp"
	head -c 3000 /dev/zero >"$work/tftp/secret"
	chmod -R 777 "$work/tftp"
	serve in.tftpd -L -s -a 203.0.113.12:69 "$work/tftp"
	serve socat -u UDP4-RECV:514,bind=203.0.113.12 /dev/null
	serve socat -u TCP4-LISTEN:601,bind=203.0.113.12,fork /dev/null
	serve turnserver -n -L 203.0.113.12 -p 3478 -u secret:secret -r partner.example --lt-cred-mech --no-cli --no-tls --no-dtls --pidfile "$work/turn.pid" -l stdout
	tunnel="--dev null --proto udp --port 1194 --ca $work/cert.pem --cert $work/cert.pem --key $work/key.pem --cipher AES-256-GCM --verb 0"
	serve openvpn $tunnel --local 203.0.113.12 --tls-server --dh none
	serve redis-server --port 0 --tls-port 6380 --bind 203.0.113.12 --save '' --protected-mode no --tls-cert-file "$work/cert.pem" --tls-key-file "$work/key.pem" --tls-ca-cert-file "$work/cert.pem" --tls-auth-clients no
	printf '[libdefaults]\ndefault_realm = SECRET\nudp_preference_limit = 1400\n[realms]\nSECRET = {\nkdc = 203.0.113.12\n}\n' >"$work/krb5.conf"
	serve socat -u UDP4-RECV:88,bind=203.0.113.12 /dev/null
	cat >"$work/names.sh" <<SH
for v in mqttv31 mqttv311 mqttv5; do mosquitto_pub -h 203.0.113.12 -V \$v -t secret -m secret; done
$python -c 'import socket
def say(port, *words):
    s = socket.create_connection(("203.0.113.12", port), timeout=5)
    for w in words: s.sendall(w); s.recv(4096)
    s.close()
say(11211, b"set secret 0 0 6\r\nsecret\r\n", b"get secret\r\n")
say(11211, b"\x80\x0b" + bytes(22))
say(4222, b"CONNECT {\"user\":\"secret\"}\r\nPING\r\n", b"PING\r\n")'
for v in 1 2c; do snmpget -v \$v -c secret 203.0.113.12 1.3.6.1.2.1.1.1.0; done
snmpget -v 3 -u secret -l noAuthNoPriv 203.0.113.12 1.3.6.1.2.1.1.1.0
curl -sS -o /dev/null tftp://203.0.113.12/secret
curl -sS -T $work/tftp/secret tftp://203.0.113.12/secret
logger -n 203.0.113.12 -d -P 514 secret; logger -n 203.0.113.12 -d --rfc3164 -P 514 secret; logger -n 203.0.113.12 -T -P 601 secret
timeout 2 sipsak -s sip:secret@203.0.113.12
echo User-Name=secret,User-Password=secret | radclient -t 1 -r 1 203.0.113.12 auth secret
echo secret | KRB5_CONFIG=$work/krb5.conf timeout 3 kinit secret
timeout 4 openvpn $tunnel --lport 0 --remote 203.0.113.12 --tls-client
turnutils_stunclient 203.0.113.12
redis-cli -3 --tls --cacert $work/cert.pem --sni redis.partner.example -h 203.0.113.12 -p 6380 get secret
true
SH
	sleep 3
	record names $inside sh "$work/names.sh"
fi

# TLS inside messages of other protocols, and a hello of the old form: OpenVPN over UDP and TCP, with tls-auth; a client of SQL Server; whoever still knows SSL 2.
if wanted inside; then
	cat >"$work/tds.py" <<'PY'
import socket, ssl, struct, sys
# what a SQL Server says until its client has logged in: both sides' options, then TLS inside its packets
l = socket.create_server(("203.0.113.12", 1433))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(sys.argv[1], sys.argv[2])
def packet(s):
    head = s.recv(8, socket.MSG_WAITALL)
    return head[0], s.recv(struct.unpack(">H", head[2:4])[0] - 8, socket.MSG_WAITALL)
def send(s, kind, body): s.sendall(bytes([kind, 1]) + struct.pack(">HHBB", len(body) + 8, 0, 1, 0) + body)
while True:
    s, _ = l.accept(); packet(s)
    send(s, 4, bytes.fromhex("00000b000601001100 01ff") + bytes([16, 0, 0, 0, 0, 0, 1]))
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO(); tls = context.wrap_bio(into, out, server_side=True)
    try:
        while True:
            try: tls.do_handshake(); done = True
            except ssl.SSLWantReadError: done = False
            if out.pending: send(s, 0x12, out.read())
            if done: break
            into.write(packet(s)[1])
        s.recv(4096)
    except (ssl.SSLError, OSError, IndexError, struct.error): pass
    s.close()
PY
	cat >"$work/old.py" <<'PY'
import socket, struct, os
suites = bytes.fromhex("00c02f 00009c 00002f 000035 0000ff".replace(" ", ""))
s = socket.create_connection(("203.0.113.12", 4443), timeout=5)
body = b"\x01\x03\x03" + struct.pack(">HHH", len(suites), 0, 32) + suites + os.urandom(32)
s.sendall(struct.pack(">H", 0x8000 | len(body)) + body); s.recv(65536); s.sendall(b"\x15\x03\x03\x00\x02\x02\x28"); s.close()
PY
	printf '[global]\ntds version = 7.4\nencryption = require\n[db]\nhost = 203.0.113.12\nport = 1433\ndatabase = secret\n' >"$work/freetds.conf"
	openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -config "$work/openssl.cnf" -keyout "$work/rsakey.pem" -out "$work/rsa.pem" 2>/dev/null # old clients know no other kind
	serve $python "$work/tds.py" "$work/cert.pem" "$work/key.pem"
	serve openssl s_server -cert "$work/rsa.pem" -key "$work/rsakey.pem" -accept 203.0.113.12:4443 -cipher 'ALL:@SECLEVEL=0' -quiet
	openvpn --genkey secret "$work/ta.key"
	both="--dev null --ca $work/cert.pem --cert $work/cert.pem --key $work/key.pem --auth-nocache --connect-retry-max 1 --verb 1"
	for way in "1194 udp" "1195 udp --tls-auth $work/ta.key" "1194 tcp-server" "1195 tcp-server --tls-auth $work/ta.key"; do
		set -- $way
		port=$1 proto=$2
		shift 2
		serve openvpn $both "$@" --port $port --proto $proto --local 203.0.113.12 --tls-server --dh none
	done
	sleep 2
	record inside $inside sh -c "for port in 1194 1195; do for proto in udp tcp-client; do auth=; [ \$port = 1194 ] || auth='--tls-auth $work/ta.key';
timeout 3 openvpn $both \$auth --lport 0 --proto \$proto --remote 203.0.113.12 \$port --tls-client; done; done
FREETDSCONF=$work/freetds.conf timeout 5 tsql -S db -U secretuser -P secretword </dev/null; $python $work/old.py; true"
fi

# TLS and DTLS of other programs: GnuTLS in every version, with pre-shared keys and without any certificate, Botan, Erlang, and a certificate with a key on a curve of Brainpool in the name of a person.
if wanted stacks; then
	openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -config "$work/openssl.cnf" -keyout "$work/rsakey.pem" -out "$work/rsa.pem" 2>/dev/null
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:brainpoolP256r1 -nodes -days 3650 -set_serial -7 -subj '/DC=example/DC=partner/O=Test, "A"/OU=one/OU=two/CN=secret@partner.example/emailAddress=secret@partner.example' \
		-addext subjectAltName=DNS:www.partner.example,email:secret@partner.example -keyout "$work/curvekey.pem" -out "$work/curve.pem" 2>/dev/null
	printf 'secretuser:1234567890abcdef\n' >"$work/psk"
	tls="--x509keyfile $work/rsakey.pem --x509certfile $work/rsa.pem --echo"
	old=+VERS-TLS1.0:+VERS-TLS1.1:%UNSAFE_RENEGOTIATION
	serve gnutls-serv $tls -p 4511 --priority NORMAL:$old
	serve gnutls-serv $tls -p 4471 --udp --mtu 700 --priority NORMAL:+VERS-DTLS1.0
	serve gnutls-serv -p 4513 --echo --priority NORMAL:+ANON-ECDH:+ANON-DH:-VERS-TLS1.3
	serve gnutls-serv -p 4514 --echo --pskpasswd "$work/psk" --priority NORMAL:+PSK:+DHE-PSK:+ECDHE-PSK
	serve openssl s_server -cert "$work/curve.pem" -key "$work/curvekey.pem" -accept 203.0.113.13:4515 -quiet -rev -tls1_2 -sigalgs ECDSA+SHA256
	cat >"$work/stacks.sh" <<SH
unset SSL_CERT_FILE
call() { port=\$1; shift; (echo hello; sleep 0.3) | timeout 5 gnutls-cli --insecure -p \$port 203.0.113.13 --sni-hostname www.partner.example "\$@"; }
for v in TLS1.0 TLS1.1 TLS1.2 TLS1.3; do call 4511 --priority NORMAL:-VERS-ALL:+VERS-\$v --alpn=http/1.1; done
call 4511 --priority NORMAL:-VERS-TLS1.3 --rehandshake
call 4511 --resume --waitresumption
call 4511 --resume --priority NORMAL:-VERS-TLS1.3
call 4471 --udp --mtu 400
call 4471 --udp --mtu 400 --priority NORMAL:-VERS-ALL:+VERS-DTLS1.0
call 4471 --udp --resume
call 4513 --priority NORMAL:+ANON-ECDH:+ANON-DH:-VERS-TLS1.3
call 4514 --pskusername secretuser --pskkey 1234567890abcdef --priority NORMAL:-KX-ALL:+PSK:+DHE-PSK:+ECDHE-PSK
(echo hello; sleep 0.3) | timeout 5 openssl s_client -connect 203.0.113.13:4515 -servername www.partner.example -curves brainpoolP256r1:P-256 -sigalgs ECDSA+SHA256
echo | timeout 5 botan tls_client 203.0.113.13 --port=4511
erl -noshell -eval 'ssl:start(), [begin {ok, S} = ssl:connect({203,0,113,13}, 4511, [{verify, verify_none}, {versions, V}, {server_name_indication, "www.partner.example"}], 3000), ssl:send(S, <<"hello">>), timer:sleep(200), ssl:close(S) end || V <- [['"'tlsv1.2'"'], ['"'tlsv1.3', 'tlsv1.2'"']]], halt().'
true
SH
	sleep 2
	record stacks $inside bash "$work/stacks.sh"
fi

# HTTP/2 in the clear: prior knowledge and upgrades, many streams, heads in several frames, a head that is cut, padding, contents in both directions. Needs nghttp2-client nghttp2-server nghttp2-proxy.
if wanted http2; then
	mkdir -p "$work/www"
	echo hello >"$work/www/index.html"
	head -c 3000 /dev/zero >"$work/www/big"
	serve nghttpd --no-tls -a 203.0.113.12 -d "$work/www" 8888
	serve nghttpx -f "203.0.113.12,8889;no-tls" -b "203.0.113.12,8888;;proto=h2" --workers=1 --accesslog-file=/dev/null --errorlog-file="$work/nghttpx.log"
	sleep 1
	cat >"$work/http2.sh" <<SH
web=http://203.0.113.12:8888 proxy=http://203.0.113.12:8889
c="curl -sS -o /dev/null --http2-prior-knowledge"
\$c -H "cookie: secret" "\$web/index.html?secret"; \$c \$web/missing
\$c -H 'host: api.partner.example' -d secret=secret \$web/form
\$c -A 'secret@partner.example' -H "x-long: \$(head -c 3000 /dev/zero | tr '\0' s)" \$web/long
curl -sS -o /dev/null --http2 "\$proxy/upgraded?secret"
nghttp -n -m 3 -b 40 \$web/index.html \$web/big
nghttp -n -H 'cookie: secret' --data="$work/www/big" \$proxy/upload
h2load -n 6 -c 2 -m 3 \$web/index.html >/dev/null
SH
	record http2 $inside sh "$work/http2.sh"
fi
