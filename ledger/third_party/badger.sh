#!/usr/bin/env bash
# Makes the copy of Badger beside this script anew: Badger as its authors published it, without tests, commands and documents, and badger.patch. What Git then shows as changed was changed by somebody else.
set -euo pipefail
cd "$(dirname "$0")"
version=v4.9.6
# An empty module, because the project's own go.mod replaces Badger by the copy.
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
(cd "$empty" && go mod init empty 2>/dev/null)
module=$(cd "$empty" && go mod download -json "github.com/dgraph-io/badger/v4@$version")
source=$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$module")
sum=$(sed -n 's/.*"Sum": "\(.*\)".*/\1/p' <<<"$module")
[ "$sum" = "h1:IQqMPVGLNCQr1b4Mu8lHkYm/xyqFRsyKaFEtyLi9CCQ=" ] || { echo "badger $version has the sum $sum, which is not the one that was reviewed" >&2; exit 1; }
rm -rf badger
mkdir badger
cd "$source"
for f in LICENSE go.mod go.sum ./*.go {fb,options,pb,skl,table,trie,y}/*.go; do
	case $f in *_test.go) continue ;; esac
	install -D -m 644 "$f" "$OLDPWD/badger/$f"
done
cd "$OLDPWD"
patch --quiet --strip=1 --directory=badger <badger.patch
