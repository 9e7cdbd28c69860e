#!/bin/bash
# Makes further captures beside this script anew: FTP's data connections, mail between servers, tunnels whose packets are cut into fragments.
# All are real programs in a network namespace of its own (root needed). Needs: iproute2 tcpdump openssl curl vsftpd lftp python3-pyftpdlib postfix swaks dovecot-imapd dovecot-pop3d dovecot-lmtpd
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
