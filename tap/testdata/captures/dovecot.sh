# Sourced by the scripts that need mailboxes: serves IMAP, POP3 and LMTP at 203.0.113.11 with dovecot, for anybody whose password is "secret". Needs wire.sh and one of its own messages in $work/mail/new.
serve_dovecot() {
	mkdir -p "$work/mail/cur" "$work/mail/new" "$work/mail/tmp"
	chmod -R 777 "$work/mail"
	chmod 644 "$work/key.pem"
	cat >"$work/dovecot.conf" <<CONF
base_dir = $work/dovecot
log_path = $work/dovecot.log
protocols = imap pop3 lmtp
listen = 203.0.113.11
ssl_cert = <$work/cert.pem
ssl_key = <$work/key.pem
disable_plaintext_auth = no
mail_location = maildir:$work/mail
default_internal_user = nobody
default_login_user = nobody
default_internal_group = nogroup
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=$work/mail
}
first_valid_uid = 1
auth_mechanisms = plain login cram-md5
protocol lmtp {
  postmaster_address = root@a.example
}
service lmtp {
  inet_listener lmtp {
    address = 203.0.113.11
    port = 24
  }
}
service imap-login {
  chroot =
}
service pop3-login {
  chroot =
}
service anvil {
  chroot =
}
CONF
	serve dovecot -F -c "$work/dovecot.conf"
}
