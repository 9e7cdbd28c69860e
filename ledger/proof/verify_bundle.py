#!/usr/bin/env python3
"""Checks a proof bundle of netaudit with nothing but Python's standard library (3.8 or newer).

    verify_bundle.py [--key KEY|@FILE]... [--seal-key nsk1-...|@FILE] BUNDLE

KEY is a public key of the log (a C2SP vkey), from somebody you trust. Exit status: 0 sound, 1 tampered, 2 cannot tell.

What is computed (all hashes are SHA-256):
    leaf of a row        H(0x00 | row)                                       RFC 6962 section 2.1
    node                 H(0x01 | left | right)
    row hash of row n    H("netaudit/row/v1\\n" | n as 8 bytes | row hash of n-1 | leaf); before row 0: H(genesis.json)
    signatures           Ed25519 over the note's text                        c2sp.org/signed-note, RFC 8032
    key of a day         HKDF-Expand(key of the day before, "netaudit/seal/evolve/v1")    RFC 5869
"""
import argparse
import base64
import datetime
import hashlib
import hmac
import json
import sys
import zipfile
import zlib

SOUND, TAMPERED, CANNOT_TELL = 0, 1, 2


class Tampered(Exception):
    """Everything could be read, and does not fit."""


class Unreadable(Exception):
    """Something could not be read: nothing can be said."""


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# ---- Ed25519 (RFC 8032 section 5.1), verification only -------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point_add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    return (f - e) * (h - g) % P, (h + g) * (f + e) % P, (h - g) * (h + g) % P, (f - e) * (f + e) % P


def point_multiply(n, a):
    result = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = point_add(result, a)
        a, n = point_add(a, a), n >> 1
    return result


def point_decode(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point_decode(bytes.fromhex("5866666666666666666666666666666666666666666666666666666666666666"))


def ed25519_verify(public, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r, s = point_decode(public), point_decode(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = point_multiply(s, BASE), point_add(r, point_multiply(k, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# ---- notes: a text and signature lines (c2sp.org/signed-note) -------------------------------------------------------


def strict_base64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Tampered("a text in base64 was changed")
    if base64.b64encode(data).decode() != text:
        raise Tampered("a text in base64 was changed")
    return data


class Key:
    """A verifier key: name+hash+base64(0x01 | public key)."""

    def __init__(self, vkey):
        try:
            self.vkey = vkey.strip()
            self.name, self.hash, data = self.vkey.split("+", 2)
            data = base64.b64decode(data, validate=True)
        except ValueError:
            raise Unreadable("that is no verifier key: %r" % vkey)
        if data[:1] != b"\x01" or len(data) != 33 or sha256(self.name.encode(), b"\n", data)[:4].hex() != self.hash:
            raise Unreadable("that is no Ed25519 verifier key: %r" % vkey)
        self.public = data[1:]


def open_note(data, key, what):
    """The text of a note that is signed by the key, and its other signatures as (name, key id, signature)."""
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise Tampered("%s is not text" % what)
    text, separator, lines = whole.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise Tampered("%s is no signed note" % what)
    text, signed, others = text + "\n", False, []
    for line in lines[:-1].split("\n"):
        dash, name, signature = (line.split(" ") + ["", "", ""])[:3]
        if dash != "\u2014" or line.count(" ") != 2:
            raise Tampered("%s has a malformed signature" % what)
        signature = strict_base64(signature)
        if name == key.name and signature[:4].hex() == key.hash:
            if not ed25519_verify(key.public, text.encode(), signature[4:]):
                raise Tampered("the signature of %s is wrong" % what)
            signed = True
        else:
            others.append((name, signature[:4], signature[4:]))
    if not signed:
        raise Tampered("%s is not signed by this key" % what)
    return text, others


def number(text):
    if not text.isdecimal() or not text.isascii() or (len(text) > 1 and text[0] == "0") or len(text) > 19:
        raise Tampered("%r is no number" % text)
    return int(text)


def hash_of(text):
    data = strict_base64(text)
    if len(data) != 32:
        raise Tampered("a hash has 32 bytes")
    return data


# ---- the tree ------------------------------------------------------------------------------------------------------


def node(left, right):
    return sha256(b"\x01", left, right)


class Frontier:
    """The right edge of a growing tree: the roots of the perfect subtrees that its size is made of, the largest first."""

    def __init__(self, size, roots):
        if bin(size).count("1") != len(roots):
            raise Tampered("%d hashes cannot cover %d rows" % (len(roots), size))
        self.size, self.roots = size, list(roots)

    def add(self, leaf):
        self.roots.append(leaf)
        size = self.size
        while size & 1:
            right = self.roots.pop()
            self.roots.append(node(self.roots.pop(), right))
            size >>= 1
        self.size += 1

    def root(self):
        if not self.roots:
            return sha256()
        root = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            root = node(left, root)
        return root


def check_consistency(old_size, old_root, new_size, new_root, proof):
    """RFC 9162 section 2.1.4.2."""
    proof = list(proof)
    if old_size == new_size:
        if proof or old_root != new_root:
            raise Tampered("the rows do not hash to the checkpoint's root")
        return
    if old_size & (old_size - 1) == 0:
        proof.insert(0, old_root)
    if not proof:
        raise Tampered("the hashes that lead to the checkpoint are missing")
    first, second = old_size - 1, new_size - 1
    while first & 1:
        first, second = first >> 1, second >> 1
    old, new = proof[0], proof[0]
    for h in proof[1:]:
        if second == 0:
            raise Tampered("there are too many hashes")
        if first & 1 or first == second:
            old, new = node(h, old), node(h, new)
            while not first & 1 and first:
                first, second = first >> 1, second >> 1
        else:
            new = node(new, h)
        first, second = first >> 1, second >> 1
    if second or old != old_root or new != new_root:
        raise Tampered("these are not the rows that the checkpoint speaks of")


# ---- seals ---------------------------------------------------------------------------------------------------------


def expand(key, label):
    return hmac.new(key, label.encode() + b"\x01", hashlib.sha256).digest()


def parse_seal_key(text):
    compact = "".join(text.lower().replace("-", " ").split())
    try:
        data = base64.b32decode(compact[4:].upper())
    except ValueError:
        data = b""
    if not compact.startswith("nsk1") or len(data) != 35 or sha256(data[:32])[:3] != data[32:]:
        raise Unreadable("that is no seal key, or it has a slip")
    return data[:32]


SEAL_FIELDS = ["epoch", "day", "size", "root", "chain", "rows", "first", "last", "minimum", "previous"]


def read_seal(data, key, day_key, where):
    text, others = open_note(data, key, where)
    lines = text[:-1].split("\n")
    if len(lines) not in (12, 13) or lines[0] != "netaudit/seal/v1" or (len(lines) == 13 and lines[12] != "late"):
        raise Tampered("%s is no seal" % where)
    seal = {"origin": lines[1]}
    for name, line in zip(SEAL_FIELDS, lines[2:12]):
        if not line.startswith(name + " "):
            raise Tampered("%s is no seal" % where)
        seal[name] = line[len(name) + 1:]
    for name in ("epoch", "size", "rows", "minimum"):
        seal[name] = number(seal[name])
    for name in ("root", "chain", "previous"):
        seal[name] = hash_of(seal[name])
    name = seal["origin"] + "/seal-mac"
    key_id = sha256(name.encode(), b"\n\xffnetaudit/seal/mac/v1")[:4]
    codes = [code for other, other_id, code in others if other == name and other_id == key_id]
    if not codes:
        raise Tampered("%s has no authentication code" % where)
    if day_key is not None:
        right = hmac.new(expand(day_key, "netaudit/seal/mac/v1"), text.encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(codes[0], right):
            raise Tampered("%s was not made with that day's key" % where)
    if key.name != seal["origin"] + "/seal":
        raise Tampered("%s is of another log" % where)
    return seal


def check_seals(parts, origin, vkey, genesis, day_key):
    seals, before = [], None
    key = Key(vkey) if vkey else None
    for name in sorted(n for n in parts if n.startswith("seals/")):
        if key is None:
            raise Tampered("there are seals, and no key for them")
        seal = read_seal(parts[name], key, day_key, name)
        try:
            day = datetime.date.fromisoformat(seal["day"])
        except ValueError:
            raise Tampered("%s has no day" % name)
        previous = seals[-1] if seals else None
        if name != "seals/" + seal["day"] or seal["origin"] != origin:
            raise Tampered("%s does not belong there" % name)
        if previous is None:
            if seal["epoch"] != 0 or seal["previous"] != sha256(genesis):
                raise Tampered("%s is not the log's first seal: earlier ones are missing" % name)
        elif (seal["epoch"] != previous["epoch"] + 1 or day != datetime.date.fromisoformat(previous["day"]) + datetime.timedelta(1)
              or seal["previous"] != sha256(before) or seal["size"] < previous["size"] or seal["rows"] != seal["size"] - previous["size"]
              or seal["minimum"] < previous["minimum"]):
            raise Tampered("%s does not follow from the seal before" % name)
        seals.append(seal)
        before = parts[name]
        if day_key is not None:
            day_key = expand(day_key, "netaudit/seal/evolve/v1")
    return seals


# ---- the bundle ----------------------------------------------------------------------------------------------------

KNOWN = ["README.txt", "genesis.json", "keys.txt", "policy.txt", "checkpoint", "range.txt"]


def read_range(data):
    lines = data.decode("ascii", "replace").split("\n")
    run = {"left": [], "right": []}
    try:
        at = 4
        if lines[0] != "netaudit/bundle/v1" or not lines[1].startswith("first ") or not lines[2].startswith("count ") or not lines[3].startswith("chain "):
            raise Unreadable("range.txt is not in the form of netaudit/bundle/v1")
        run["first"], run["count"], run["chain"] = number(lines[1][6:]), number(lines[2][6:]), hash_of(lines[3][6:])
        for name in ("left", "right"):
            if not lines[at].startswith(name + " "):
                raise Unreadable("range.txt is not in the form of netaudit/bundle/v1")
            n = number(lines[at][len(name) + 1:])
            run[name] = [hash_of(line) for line in lines[at + 1:at + 1 + n]]
            if len(run[name]) != n:
                raise Unreadable("range.txt ends too early")
            at += 1 + n
        if lines[at:] != [""] or run["count"] == 0:
            raise Unreadable("range.txt is not in the form of netaudit/bundle/v1")
    except (IndexError, Tampered) as problem:
        raise Unreadable("range.txt: %s" % problem)
    return run


def check(path, keys, seal_key):
    with zipfile.ZipFile(path) as bundle:
        names = bundle.namelist()
        for name in names:
            if names.count(name) > 1 or not (name in KNOWN or name == "events.ndjson" or name.startswith("seals/")):
                raise Tampered("the file %r does not belong into a bundle" % name)
        for name in KNOWN + ["events.ndjson"]:
            if name not in names:
                raise Unreadable("the bundle has no %s" % name)
        parts = {name: bundle.read(name) for name in names if name != "events.ndjson"}
        with bundle.open("events.ndjson") as rows:
            return check_parts(parts, rows, keys, seal_key)


def check_parts(parts, rows, keys, seal_key):
    try:
        genesis = json.loads(parts["genesis.json"])
        origin, vkey, seal_vkey = genesis["origin"], genesis["vkey"], genesis.get("seal_vkey", "")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise Unreadable("genesis.json cannot be read")
    listed = vkey + "\n" + (seal_vkey + "\n" if seal_vkey else "")
    if parts["keys.txt"].decode(errors="replace") != listed or parts["policy.txt"].decode(errors="replace") != "log %s\nquorum none\n" % vkey:
        raise Tampered("keys.txt or policy.txt has other keys than genesis.json")
    pinned = seal_pinned = False
    for text in keys:
        if Key(text).name == origin + "/seal":
            seal_pinned = True
            if text.strip() != seal_vkey:
                raise Tampered("genesis.json names another key for the seals")
        else:
            pinned = True
            if text.strip() != vkey:
                raise Tampered("the checkpoint is of another log than this key")
    text, _ = open_note(parts["checkpoint"], Key(vkey), "the checkpoint")
    lines = text.split("\n")
    if len(lines) < 4 or lines[0] != origin or Key(vkey).name != origin:
        raise Tampered("the checkpoint is of another log")
    size, root = number(lines[1]), hash_of(lines[2])
    seals = check_seals(parts, origin, seal_vkey, parts["genesis.json"], seal_key)

    run = read_range(parts["range.txt"])
    first, end = run["first"], run["first"] + run["count"]
    if end > size:
        raise Tampered("the checkpoint is of %d rows" % size)
    if first == 0 and run["chain"] != sha256(parts["genesis.json"]):
        raise Tampered("the chain does not begin with the genesis record")
    tree, chain, withheld, last_withheld = Frontier(first, run["left"]), run["chain"], 0, -1
    by_size = {}
    for seal in seals:
        if seal["size"] > size:
            raise Tampered("the seal of %s speaks of more rows than the checkpoint" % seal["day"])
        by_size.setdefault(seal["size"], []).append(seal)

    def compare_seals():
        for seal in by_size.get(tree.size, []):
            if seal["root"] != tree.root() or seal["chain"] != chain:
                raise Tampered("the rows up to %s are not those that its seal speaks of" % seal["day"])

    compare_seals()
    for line in rows:
        if tree.size == end:
            raise Tampered("there are more rows than range.txt says")
        if not line.endswith(b"\n"):
            raise Tampered("the last row is cut off")
        line = line[:-1]
        if line.startswith(b"withheld "):
            leaf, withheld, last_withheld = hash_of(line[9:].decode(errors="replace")), withheld + 1, tree.size
        else:
            try:
                right = json.loads(line)["seq"] == tree.size
            except (ValueError, KeyError, TypeError):
                right = False
            if not right:
                raise Tampered("what stands in the place of row %d is not this row" % tree.size)
            leaf = sha256(b"\x00", line)
        chain = sha256(b"netaudit/row/v1\n", tree.size.to_bytes(8, "big"), chain, leaf)
        tree.add(leaf)
        compare_seals()
    if tree.size != end:
        raise Tampered("there are fewer rows than range.txt says")
    check_consistency(end, tree.root(), size, root, run["right"])
    if withheld and (not seals or seals[-1]["minimum"] <= last_withheld):
        raise Unreadable("%d rows are withheld, and no seal in the bundle says that retention took them" % withheld)

    not_checked = []
    if not pinned:
        not_checked.append("Whose log it is: the keys lie in the bundle itself.")
    if seals and not seal_pinned:
        not_checked.append("Whether the seals' key is the log's: it lies in the bundle itself.")
    if seals and seal_key is None:
        not_checked.append("Whether the seals were made on their days: the owner's seal key shows that.")
    not_checked.append("Whether the rows were true when they were written.")
    not_checked.append("Whether the log shows others the same: compare checkpoints with somebody else.")
    words = "rows %d to %d of %d in the log %s, root %s, %d daily seals, %d rows withheld" % (first, end - 1, size, origin, root.hex(), len(seals), withheld)
    return pinned, words, not_checked


def argument(text):
    if text.startswith("@"):
        with open(text[1:], encoding="utf-8") as f:
            text = f.read()
    return text


def main():
    parser = argparse.ArgumentParser(description="Checks a proof bundle of netaudit.", epilog="Exit status: 0 sound, 1 tampered, 2 cannot tell.")
    parser.add_argument("--key", action="append", default=[], help="public key of the log, or @FILE with keys")
    parser.add_argument("--seal-key", help="secret key of the log's first day (nsk1-...), or @FILE")
    parser.add_argument("bundle")
    options = parser.parse_args()
    try:
        keys = [key for text in options.key for key in argument(text).split()]
        seal_key = parse_seal_key(argument(options.seal_key)) if options.seal_key else None
        pinned, words, not_checked = check(options.bundle, keys, seal_key)
    except (Tampered, zipfile.BadZipFile) as problem:
        if isinstance(problem, zipfile.BadZipFile) and "CRC" not in str(problem):
            print("CANNOT TELL  %s" % problem)
            return CANNOT_TELL
        print("TAMPERED  %s" % problem)
        return TAMPERED
    except (Unreadable, OSError, EOFError, NotImplementedError, RuntimeError, zlib.error) as problem:
        print("CANNOT TELL  %s" % problem)
        return CANNOT_TELL
    print("%s  %s\n\nnot checked" % ("SOUND" if pinned else "CANNOT TELL", words))
    for line in not_checked:
        print("  - " + line)
    return SOUND if pinned else CANNOT_TELL


if __name__ == "__main__":
    sys.exit(main())
