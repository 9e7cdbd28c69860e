# Sourced by the scripts that make captures: a network namespace of its own, names, a certificate, and record.
# Needs root, iproute2, tcpdump, openssl.
ns=${ns:-netaudit-captures}
work=$(mktemp -d)
chmod 755 "$work"
servers=""
finish() {
	for pid in $servers; do kill "$pid" 2>/dev/null || :; done
	ip netns del $ns 2>/dev/null || :
	ip netns del $ns-far 2>/dev/null || :
	rm -rf "$work" "/etc/netns/$ns"
}
trap finish EXIT
names="license.mit-odoo.de upload.mit-odoo.de api.partner.example www.partner.example"

ip netns add $ns
inside="ip netns exec $ns"
$inside ip link set lo up mtu 1500
n=10
for name in $names; do
	$inside ip addr add 203.0.113.$n/32 dev lo
	$inside ip addr add 2001:db8:77::$n/128 dev lo
	echo "203.0.113.$n $name" >>"$work/hosts"
	echo "2001:db8:77::$n $name" >>"$work/hosts"
	n=$((n + 1))
done
mkdir -p "/etc/netns/$ns"
echo "nameserver 127.0.0.1" >"/etc/netns/$ns/resolv.conf"
cat >"$work/openssl.cnf" <<CONF
[req]
distinguished_name = dn
x509_extensions = ext
prompt = no
[dn]
CN = license.mit-odoo.de
O = Test
[ext]
subjectAltName = DNS:license.mit-odoo.de, DNS:*.mit-odoo.de, DNS:*.partner.example
basicConstraints = critical, CA:TRUE
CONF
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -config "$work/openssl.cnf" \
	-keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null

# serve COMMAND... starts a server in the namespace. Its standard input stays open and silent: some servers end with it.
: >"$work/server.log"
mkfifo "$work/silence"
exec 9<>"$work/silence"
serve() {
	$inside "$@" >>"$work/server.log" 2>&1 <&9 &
	servers="$servers $!"
}

# record NAME COMMAND... writes what the command did to NAME.pcap.
record() {
	name=$1
	shift
	$inside tcpdump -i ${dev:-lo} -U -w "$work/$name.pcap" --immediate-mode 2>"$work/tcpdump.log" &
	dump=$!
	servers="$servers $dump" # ends also when the command fails
	until grep -q listening "$work/tcpdump.log" 2>/dev/null; do sleep 0.1; done
	timeout -k 5 60 "$@" >"$work/$name.out" 2>&1 </dev/null || { echo "$name failed:"; cat "$work/$name.out" "$work/server.log"; exit 1; }
	sleep 0.5
	kill -INT $dump
	wait $dump || :
	: >"$work/tcpdump.log"
	cp "$work/$name.pcap" "$here/$name.pcap"
	ls -l "$here/$name.pcap"
}
