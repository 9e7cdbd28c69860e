#!/bin/bash
# Makes further captures beside this script anew: FTP's data connections, mail between servers.
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
