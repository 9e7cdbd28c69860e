#!/bin/bash
# Prepares a real Odoo 19 with PostgreSQL for the lab, on Debian 12, as root. Run again it does only what is missing.
#
#   setup.sh DIRECTORY
#
# Odoo comes from Debian's package in sid, unpacked under DIRECTORY and never installed: its dependencies are those of Debian 12, and
# the system's package lists stay as they are.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
odoo=$dir/odoo19
packages=$odoo/usr/lib/python3/dist-packages
database=netaudit_lab
mkdir -p "$dir"/{home,data,log,apt/lists/partial,apt/cache/archives/partial}
chmod 755 "$dir"

needed="postgresql-15 curl wget wkhtmltopdf util-linux gcc libc6-dev cython3 python3-dev fonts-dejavu-core fonts-font-awesome fonts-inconsolata fonts-roboto-unhinted libjs-jquery libjs-jquery-form libjs-underscore"
for module in aiohttp asn1crypto babel cbor2 chardet cryptography dateutil docutils freezegun geoip2 gevent greenlet httpx idna jinja2 libsass lxml magic markupsafe num2words ofxparse \
	openpyxl openssl passlib pil polib psutil psycopg2 pypdf pypdf2 qrcode reportlab requests rjsmin serial stdnum tz urllib3 usb vobject werkzeug xlrd xlsxwriter xlwt zeep; do
	needed="$needed python3-$module"
done
missing=""
for p in $needed; do dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"; done
if [ -n "$missing" ]; then
	echo "installing what Odoo depends on"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >"$dir/log/apt.log" 2>&1
fi

if [ ! -d "$packages/odoo" ]; then
	echo "fetching Odoo"
	apt="-o Dir::Etc::sourcelist=$dir/apt/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::Lists=$dir/apt/lists -o Dir::Cache=$dir/apt/cache"
	site=$(apt-get indextargets --format '$(SITE) $(CODENAME)' | awk '$2 == "bookworm" { print $1; exit }')
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site sid main" >"$dir/apt/sources.list"
	apt-get $apt update -qq >>"$dir/log/apt.log" 2>&1
	(cd "$dir/apt/cache" && apt-get $apt download odoo-19 >>"$dir/log/apt.log" 2>&1 && dpkg-deb -x odoo-19_*.deb "$odoo" && rm odoo-19_*.deb)
	python=/usr/bin/python3
	$python -m compileall -q -j0 "$packages/odoo" >"$dir/log/compile.log" 2>&1 || :
fi
# The package's files point to shared JavaScript and fonts by relative links.
for d in javascript fonts fonts-font-awesome; do
	[ -e "$odoo/usr/share/$d" ] || ln -s "/usr/share/$d" "$odoo/usr/share/$d"
done

getent passwd odoo >/dev/null || adduser --system --group --no-create-home --quiet odoo
pg_ctlcluster 15 main status >/dev/null || pg_ctlcluster 15 main start
su postgres -s /bin/sh -c "cd /; psql -tAc \"select 1 from pg_roles where rolname = 'odoo'\"" | grep -q 1 || su postgres -s /bin/sh -c "cd /; createuser -d -R -S odoo"

rm -rf "$dir/addons"
cp -r "$here/addons" "$dir/addons"
/usr/bin/python3 "$here/hide.py" "$dir/addons/mit_hidden"
chmod -R a+rX "$dir/addons"
chown -R odoo:odoo "$dir"/{home,data,log}
cat >"$dir/odoo.conf" <<CONF
[options]
addons_path = $packages/odoo/addons,$dir/addons
data_dir = $dir/data
db_user = odoo
dbfilter = ^$database\$
list_db = False
http_interface = 127.0.0.1
http_port = 8069
gevent_port = 8072
max_cron_threads = 2
admin_passwd = lab
CONF
as_odoo() {
	setpriv --reuid=odoo --regid=odoo --init-groups env -i PATH=/usr/bin:/bin HOME="$dir/home" LANG=C.UTF-8 PYTHONPATH="$packages" \
		/usr/bin/python3 "$odoo/usr/bin/odoo" server -c "$dir/odoo.conf" --no-http --stop-after-init -d "$database" --logfile="$dir/log/init.log" "$@"
}
ours=mit_license,mit_maildesk,partner_tools,mit_hidden
if ! su postgres -s /bin/sh -c "cd /; psql -lqtA" | grep -q "^$database|"; then
	echo "making the database"
	as_odoo --without-demo=True -i "base,web,mail,rpc,$ours" || {
		su postgres -s /bin/sh -c "cd /; dropdb $database" # half a database would look like a whole one next time
		echo "Odoo could not make its database; see $dir/log/init.log" >&2
		exit 1
	}
else
	as_odoo -u "$ours"
fi
