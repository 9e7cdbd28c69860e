// Checks proof bundles and inclusion proofs of netaudit in the browser: nothing leaves it. The same checks are in netaudit-verify (Go, package ledger/proof) and in verify_bundle.py; the same
// test bundles keep the three equal.
//
//   leaf of a row        SHA-256(0x00 | row)                                      RFC 6962 section 2.1
//   node                 SHA-256(0x01 | left | right)
//   row hash of row n    SHA-256("netaudit/row/v1\n" | n as 8 bytes | row hash of n-1 | leaf); before row 0: SHA-256(genesis.json)
//   signatures           Ed25519 over the note's text                             c2sp.org/signed-note, RFC 8032
//   key of a day         HKDF-Expand(key of the day before, "netaudit/seal/evolve/v1")   RFC 5869

/** Everything could be read, and does not fit. Any other error means: nothing can be said. */
export class Tampered extends Error {}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

function join(...parts) {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));
const equal = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);
const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

function base64(text) {
  let bytes;
  try {
    bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  } catch {
    throw new Tampered("a text in base64 was changed");
  }
  if (btoa(String.fromCharCode(...bytes)) !== text) throw new Tampered("a text in base64 was changed");
  return bytes;
}

function hashOf(text) {
  const bytes = base64(text);
  if (bytes.length !== 32) throw new Tampered("a hash has 32 bytes");
  return bytes;
}

function number(text) {
  if (!/^(0|[1-9][0-9]{0,15})$/.test(text) || !Number.isSafeInteger(Number(text))) throw new Tampered(`"${text}" is no number`);
  return Number(text);
}

function lines(bytes, what) {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new Tampered(`${what} is not text`);
  }
}

// ---- notes -----------------------------------------------------------------------------------------------------------

/** A verifier key: name+hash+base64(0x01 | public key). */
export async function parseKey(vkey) {
  const [name, hash, ...rest] = vkey.trim().split("+");
  let data;
  try {
    data = base64(rest.join("+"));
  } catch {
    throw new Error(`That is no verifier key: ${vkey}`);
  }
  if (data.length !== 33 || data[0] !== 1 || hex((await sha256(encoder.encode(`${name}\n`), data)).slice(0, 4)) !== hash) {
    throw new Error(`That is no Ed25519 verifier key: ${vkey}`);
  }
  const key = await crypto.subtle.importKey("raw", data.slice(1), { name: "Ed25519" }, false, ["verify"]);
  return { name, hash, key, vkey: vkey.trim() };
}

/** The text of a note that is signed by the key, and its other signatures. */
async function openNote(bytes, key, what) {
  const whole = lines(bytes, what);
  const cut = whole.lastIndexOf("\n\n");
  if (cut < 0 || !whole.endsWith("\n")) throw new Tampered(`${what} is no signed note`);
  const text = whole.slice(0, cut + 1);
  const others = [];
  let signed = false;
  for (const line of whole.slice(cut + 2, -1).split("\n")) {
    const [dash, name, signature, more] = line.split(" ");
    if (dash !== "\u2014" || signature === undefined || more !== undefined) throw new Tampered(`${what} has a malformed signature`);
    const data = base64(signature);
    if (name === key.name && hex(data.slice(0, 4)) === key.hash) {
      if (!(await crypto.subtle.verify({ name: "Ed25519" }, key.key, data.slice(4), encoder.encode(text)))) {
        throw new Tampered(`the signature of ${what} is wrong`);
      }
      signed = true;
    } else {
      others.push({ name, id: data.slice(0, 4), signature: data.slice(4) });
    }
  }
  if (!signed) throw new Tampered(`${what} is not signed by this key`);
  return { text, others };
}

async function openCheckpoint(bytes, key) {
  const { text } = await openNote(bytes, key, "the checkpoint");
  const line = text.split("\n");
  if (line.length < 4 || line[0] !== key.name) throw new Tampered("the checkpoint is of another log");
  return { origin: line[0], size: number(line[1]), root: hashOf(line[2]) };
}

// ---- the tree --------------------------------------------------------------------------------------------------------

const node = (left, right) => sha256(Uint8Array.of(1), left, right);
const leafHash = (row) => sha256(Uint8Array.of(0), row);
const half = (n) => Math.floor(n / 2); // shifts have 32 bits only

/** The right edge of a growing tree: the roots of the perfect subtrees that its size is made of, the largest first. */
class Frontier {
  constructor(size, roots) {
    let ones = 0;
    for (let n = size; n > 0; n = half(n)) ones += n % 2;
    if (ones !== roots.length) throw new Tampered(`${roots.length} hashes cannot cover ${size} rows`);
    this.size = size;
    this.roots = roots.slice();
  }

  async add(leaf) {
    this.roots.push(leaf);
    for (let n = this.size; n % 2 === 1; n = half(n)) {
      const right = this.roots.pop();
      this.roots.push(await node(this.roots.pop(), right));
    }
    this.size++;
  }

  async root() {
    if (this.roots.length === 0) return sha256();
    let root = this.roots[this.roots.length - 1];
    for (let i = this.roots.length - 2; i >= 0; i--) root = await node(this.roots[i], root);
    return root;
  }
}

/** RFC 9162 section 2.1.4.2. */
async function checkConsistency(oldSize, oldRoot, newSize, newRoot, hashes) {
  if (oldSize === newSize) {
    if (hashes.length || !equal(oldRoot, newRoot)) throw new Tampered("the rows do not hash to the checkpoint's root");
    return;
  }
  const path = hashes.slice();
  let power = oldSize;
  while (power % 2 === 0) power = half(power);
  if (power === 1) path.unshift(oldRoot);
  if (!path.length) throw new Tampered("the hashes that lead to the checkpoint are missing");
  let first = oldSize - 1;
  let second = newSize - 1;
  while (first % 2 === 1) [first, second] = [half(first), half(second)];
  let before = path[0];
  let after = path[0];
  for (const h of path.slice(1)) {
    if (second === 0) throw new Tampered("there are too many hashes");
    if (first % 2 === 1 || first === second) {
      before = await node(h, before);
      after = await node(h, after);
      while (first % 2 === 0 && first > 0) [first, second] = [half(first), half(second)];
    } else {
      after = await node(after, h);
    }
    [first, second] = [half(first), half(second)];
  }
  if (second !== 0 || !equal(before, oldRoot) || !equal(after, newRoot)) throw new Tampered("these are not the rows that the checkpoint speaks of");
}

/** RFC 9162 section 2.1.3.2. Returns the hashes on the way from the leaf to the root. */
async function checkInclusion(index, size, leaf, root, hashes) {
  if (index >= size) throw new Tampered(`row ${index} is not among the checkpoint's ${size} rows`);
  let at = index;
  let last = size - 1;
  let hash = leaf;
  const way = [leaf];
  for (const h of hashes) {
    if (last === 0) throw new Tampered("there are too many hashes");
    if (at % 2 === 1 || at === last) {
      hash = await node(h, hash);
      while (at % 2 === 0 && at > 0) [at, last] = [half(at), half(last)];
    } else {
      hash = await node(hash, h);
    }
    [at, last] = [half(at), half(last)];
    way.push(hash);
  }
  if (last !== 0 || !equal(hash, root)) throw new Tampered(`this is not what the log holds as row ${index}`);
  return way;
}

/** Checks a C2SP tlog-proof of one row; returns {origin, index, size, way}: way are the hashes from the leaf to the tree head, in hex. */
export async function checkProof(row, proof, vkey) {
  const whole = lines(proof, "the proof");
  const cut = whole.indexOf("\n\n");
  const [header, index, ...hashes] = whole.slice(0, cut).split("\n");
  if (cut < 0 || header !== "c2sp.org/tlog-proof@v1" || !index.startsWith("index ")) throw new Error("That is no C2SP tlog-proof.");
  const checkpoint = await openCheckpoint(encoder.encode(whole.slice(cut + 2)), await parseKey(vkey));
  const at = number(index.slice(6));
  const way = await checkInclusion(at, checkpoint.size, await leafHash(row), checkpoint.root, hashes.map(hashOf));
  return { origin: checkpoint.origin, index: at, size: checkpoint.size, way: way.map(hex) };
}

// ---- seals -----------------------------------------------------------------------------------------------------------

async function hmac(key, data) {
  const k = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", k, data));
}

const expand = (key, label) => hmac(key, join(encoder.encode(label), Uint8Array.of(1)));

/** Reads the key of a log's first day: nsk1 and 56 letters and digits. */
export async function parseSealKey(text) {
  const compact = text.toLowerCase().replace(/[\s-]/g, "");
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  if (!/^nsk1[a-z2-7]{56}$/.test(compact)) throw new Error("That is no seal key: it has 14 groups of four after nsk1.");
  const bytes = [];
  let bits = 0;
  let value = 0;
  for (const c of compact.slice(4)) {
    value = (value << 5) | alphabet.indexOf(c);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((value >> bits) & 255);
      value &= (1 << bits) - 1;
    }
  }
  const key = Uint8Array.from(bytes.slice(0, 32));
  if (!equal((await sha256(key)).slice(0, 3), Uint8Array.from(bytes.slice(32)))) throw new Error("The seal key has a slip: its check sum does not fit.");
  return key;
}

const sealFields = ["epoch", "day", "size", "root", "chain", "rows", "first", "last", "minimum", "previous"];

async function readSeal(bytes, key, dayKey, where) {
  const { text, others } = await openNote(bytes, key, where);
  const line = text.slice(0, -1).split("\n");
  if (![12, 13].includes(line.length) || line[0] !== "netaudit/seal/v1" || (line.length === 13 && line[12] !== "late")) throw new Tampered(`${where} is no seal`);
  const seal = { origin: line[1] };
  sealFields.forEach((name, i) => {
    if (!line[i + 2].startsWith(`${name} `)) throw new Tampered(`${where} is no seal`);
    seal[name] = line[i + 2].slice(name.length + 1);
  });
  for (const name of ["epoch", "size", "rows", "minimum"]) seal[name] = number(seal[name]);
  for (const name of ["root", "chain", "previous"]) seal[name] = hashOf(seal[name]);
  const mac = `${seal.origin}/seal-mac`;
  const id = (await sha256(encoder.encode(`${mac}\n`), Uint8Array.of(255), encoder.encode("netaudit/seal/mac/v1"))).slice(0, 4);
  const code = others.find((o) => o.name === mac && equal(o.id, id));
  if (!code) throw new Tampered(`${where} has no authentication code`);
  if (dayKey && !equal(code.signature, await hmac(await expand(dayKey, "netaudit/seal/mac/v1"), encoder.encode(text)))) {
    throw new Tampered(`${where} was not made with that day's key`);
  }
  if (key.name !== `${seal.origin}/seal`) throw new Tampered(`${where} is of another log`);
  return seal;
}

const dayAfter = (day) => new Date(Date.parse(`${day}T00:00:00Z`) + 86400000).toISOString().slice(0, 10);

async function checkSeals(parts, origin, vkey, genesis, firstKey) {
  const seals = [];
  let before = genesis;
  let dayKey = firstKey;
  const names = [...parts.keys()].filter((n) => n.startsWith("seals/")).sort();
  if (names.length && !vkey) throw new Tampered("there are seals, and no key for them");
  const key = names.length ? await parseKey(vkey) : null;
  for (const name of names) {
    const seal = await readSeal(parts.get(name), key, dayKey, name);
    const previous = seals[seals.length - 1];
    if (name !== `seals/${seal.day}` || seal.origin !== origin || !/^\d{4}-\d\d-\d\d$/.test(seal.day)) throw new Tampered(`${name} does not belong there`);
    const linked = equal(seal.previous, await sha256(before));
    if (!previous && (seal.epoch !== 0 || !linked)) throw new Tampered(`${name} is not the log's first seal: earlier ones are missing`);
    if (previous && (seal.epoch !== previous.epoch + 1 || seal.day !== dayAfter(previous.day) || !linked || seal.size < previous.size ||
        seal.rows !== seal.size - previous.size || seal.minimum < previous.minimum)) {
      throw new Tampered(`${name} does not follow from the seal before`);
    }
    seals.push(seal);
    before = parts.get(name);
    if (dayKey) dayKey = await expand(dayKey, "netaudit/seal/evolve/v1");
  }
  return seals;
}

// ---- the zip file ----------------------------------------------------------------------------------------------------

const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let c = 0xffffffff;
  for (const b of bytes) c = crcTable[(c ^ b) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

async function inflate(bytes) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer());
}

/** Reads a zip file (APPNOTE.TXT section 4.3) into a map from name to bytes. */
async function unzip(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw new Error("That is no zip file, or not the whole of it.");
  const files = new Map();
  let at = view.getUint32(end + 16, true);
  for (let n = view.getUint16(end + 10, true); n > 0; n--) {
    if (view.getUint32(at, true) !== 0x02014b50) throw new Error("The zip file's directory cannot be read.");
    const [method, crc, packed, size] = [view.getUint16(at + 10, true), view.getUint32(at + 16, true), view.getUint32(at + 20, true), view.getUint32(at + 24, true)];
    const [nameLength, extra, comment, local] = [view.getUint16(at + 28, true), view.getUint16(at + 30, true), view.getUint16(at + 32, true), view.getUint32(at + 42, true)];
    const name = lines(bytes.subarray(at + 46, at + 46 + nameLength), "a file's name");
    if (files.has(name)) throw new Tampered(`the file "${name}" is in the bundle twice`);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const content = bytes.subarray(start, start + packed);
    if (method !== 0 && method !== 8) throw new Error(`The file "${name}" is packed in a way that is not known here.`);
    const text = method === 8 ? await inflate(content) : content;
    if (text.length !== size || crc32(text) !== crc) throw new Tampered(`${name} was changed`);
    files.set(name, text);
    at += 46 + nameLength + extra + comment;
  }
  return files;
}

// ---- the bundle ------------------------------------------------------------------------------------------------------

const known = ["README.txt", "genesis.json", "keys.txt", "policy.txt", "checkpoint", "range.txt"];

function readRange(bytes) {
  const line = lines(bytes, "range.txt").split("\n");
  const bad = new Error("range.txt is not in the form of netaudit/bundle/v1");
  const value = (i, name) => {
    if (line[i] === undefined || !line[i].startsWith(`${name} `)) throw bad;
    return line[i].slice(name.length + 1);
  };
  if (line[0] !== "netaudit/bundle/v1") throw bad;
  try {
    const run = { first: number(value(1, "first")), count: number(value(2, "count")), chain: hashOf(value(3, "chain")) };
    let at = 4;
    for (const name of ["left", "right"]) {
      const n = number(value(at, name));
      run[name] = line.slice(at + 1, at + 1 + n).map(hashOf);
      if (run[name].length !== n) throw bad;
      at += 1 + n;
    }
    if (line.length !== at + 1 || line[at] !== "" || run.count === 0) throw bad;
    return run;
  } catch (problem) {
    throw new Error(`range.txt: ${problem.message}`);
  }
}

/**
 * Checks a bundle. keys are verifier keys that the caller trusts; sealKey is nsk1-… or "". progress(done, total) is called now and then.
 * Returns {origin, first, count, size, root, withheld, seals, pinned, notChecked}; throws Tampered, or another error when nothing can be said.
 */
export async function checkBundle(bytes, keys, sealKey, progress = () => {}) {
  const firstKey = sealKey ? await parseSealKey(sealKey) : null;
  const parts = await unzip(bytes);
  for (const name of parts.keys()) {
    if (!known.includes(name) && name !== "events.ndjson" && !name.startsWith("seals/")) throw new Tampered(`the file "${name}" does not belong into a bundle`);
  }
  for (const name of [...known, "events.ndjson"]) {
    if (!parts.has(name)) throw new Error(`The bundle has no ${name}.`);
  }
  const genesis = parts.get("genesis.json");
  const { origin, vkey, seal_vkey: sealVkey = "" } = JSON.parse(lines(genesis, "genesis.json"));
  if (lines(parts.get("keys.txt"), "keys.txt") !== `${vkey}\n${sealVkey ? `${sealVkey}\n` : ""}` || lines(parts.get("policy.txt"), "policy.txt") !== `log ${vkey}\nquorum none\n`) {
    throw new Tampered("keys.txt or policy.txt has other keys than genesis.json");
  }
  let pinned = false;
  let sealPinned = false;
  for (const text of keys) {
    const key = await parseKey(text);
    if (key.name === `${origin}/seal`) {
      sealPinned = true;
      if (key.vkey !== sealVkey) throw new Tampered("genesis.json names another key for the seals");
    } else {
      pinned = true;
      if (key.vkey !== vkey) throw new Tampered("the checkpoint is of another log than this key");
    }
  }
  const checkpoint = await openCheckpoint(parts.get("checkpoint"), await parseKey(vkey));
  if (checkpoint.origin !== origin) throw new Tampered("genesis.json is of another log");
  const seals = await checkSeals(parts, origin, sealVkey, genesis, firstKey);
  const walked = await walk(parts, checkpoint, seals, genesis, progress);

  const notChecked = [];
  if (!pinned) notChecked.push("Whose log it is: the keys lie in the bundle itself.");
  if (seals.length && !sealPinned) notChecked.push("Whether the seals' key is the log's: it lies in the bundle itself.");
  if (seals.length && !firstKey) notChecked.push("Whether the seals were made on their days: the owner's seal key shows that.");
  notChecked.push("Whether the rows were true when they were written.", "Whether the log shows others the same: compare checkpoints with somebody else.");
  return { origin, size: checkpoint.size, root: hex(checkpoint.root), seals: seals.length, pinned, notChecked, ...walked };
}

async function walk(parts, checkpoint, seals, genesis, progress) {
  const run = readRange(parts.get("range.txt"));
  const end = run.first + run.count;
  if (end > checkpoint.size) throw new Tampered(`the checkpoint is of ${checkpoint.size} rows`);
  if (run.first === 0 && !equal(run.chain, await sha256(genesis))) throw new Tampered("the chain does not begin with the genesis record");
  const tree = new Frontier(run.first, run.left);
  let { chain } = run;
  let withheld = 0;
  let lastWithheld = -1;
  const compareSeals = async () => {
    for (const s of seals) {
      if (s.size > checkpoint.size) throw new Tampered(`the seal of ${s.day} speaks of more rows than the checkpoint`);
      if (s.size === tree.size && (!equal(s.chain, chain) || !equal(s.root, await tree.root()))) throw new Tampered(`the rows up to ${s.day} are not those that its seal speaks of`);
    }
  };
  await compareSeals();
  const text = parts.get("events.ndjson");
  const mark = encoder.encode("withheld ");
  for (let at = 0; at < text.length; ) {
    const stop = text.indexOf(10, at);
    if (stop < 0) throw new Tampered("the last row is cut off");
    const line = text.subarray(at, stop);
    at = stop + 1;
    if (tree.size === end) throw new Tampered("there are more rows than range.txt says");
    let leaf;
    if (equal(line.subarray(0, mark.length), mark)) {
      leaf = hashOf(lines(line.subarray(mark.length), "a withheld row"));
      withheld++;
      lastWithheld = tree.size;
    } else {
      let seq;
      try {
        ({ seq } = JSON.parse(decoder.decode(line)));
      } catch {
        // the comparison below says it
      }
      if (seq !== tree.size) throw new Tampered(`what stands in the place of row ${tree.size} is not this row`);
      leaf = await leafHash(line);
    }
    const place = new DataView(new ArrayBuffer(8));
    place.setBigUint64(0, BigInt(tree.size));
    chain = await sha256(encoder.encode("netaudit/row/v1\n"), new Uint8Array(place.buffer), chain, leaf);
    await tree.add(leaf);
    await compareSeals();
    if (tree.size % 256 === 0) progress(tree.size - run.first, run.count);
  }
  if (tree.size !== end) throw new Tampered("there are fewer rows than range.txt says");
  await checkConsistency(end, await tree.root(), checkpoint.size, checkpoint.root, run.right);
  if (withheld && (!seals.length || seals[seals.length - 1].minimum <= lastWithheld)) {
    throw new Error(`${withheld} rows are withheld, and no seal in the bundle says that retention took them.`);
  }
  return { first: run.first, count: run.count, withheld };
}
