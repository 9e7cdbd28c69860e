// The parts of the Verify and Record pages that check proofs in the browser. Without JavaScript the pages say how to check on the command line.
import { checkBundle, checkProof, Tampered } from "./bundle.js";
import { said, t } from "./words.js";

/** Shows a result: a word, a sentence, and what was not checked. Text only, never markup. */
function say(out, kind, word, sentence, notChecked = []) {
  out.className = `verdict ${kind}`;
  const head = document.createElement("p");
  const strong = document.createElement("b");
  strong.textContent = word;
  head.append(strong, ` ${sentence}`);
  out.replaceChildren(head);
  if (notChecked.length) {
    const list = document.createElement("ul");
    for (const line of notChecked) {
      const item = document.createElement("li");
      item.textContent = said(line);
      list.append(item);
    }
    const title = document.createElement("p");
    title.textContent = t("Not checked:");
    out.append(title, list);
  }
  out.hidden = false;
}

function sayProblem(out, problem) {
  const message = said(problem.message);
  if (problem instanceof Tampered) say(out, "bad", t("Tampered."), `${message[0].toUpperCase()}${message.slice(1)}.`);
  else say(out, "warn", t("Cannot tell."), message);
}

const drop = document.querySelector("[data-bundle]");
if (drop) {
  drop.hidden = false;
  const form = drop.querySelector("form");
  const out = drop.querySelector("output");
  const check = async (file) => {
    if (!globalThis.crypto?.subtle) {
      say(out, "warn", t("Cannot tell."), t("Browsers check signatures only on pages from this computer or over HTTPS. Use netaudit-verify or verify_bundle.py."));
      return;
    }
    say(out, "", t("Checking"), file.name);
    try {
      const keys = form.elements.keys.value.split(/\s+/).filter(Boolean);
      const bytes = new Uint8Array(await file.arrayBuffer());
      const b = await checkBundle(bytes, keys, form.elements.seal.value.trim(), (done, total) => say(out, "", t("Checking"), t("{done} of {total} rows", { done, total })));
      const rows = b.count === 1 ? t("Row {n}", { n: b.first }) : t("Rows {first} to {last}", { first: b.first, last: b.first + b.count - 1 });
      const withheld = b.withheld ? t(", {n} rows withheld by retention", { n: b.withheld }) : "";
      const sentence = `${t("{rows} of {size} in the log {origin}, {seals} daily seals", { rows, size: b.size, origin: b.origin, seals: b.seals })}${withheld}.`;
      say(out, b.pinned ? "good" : "warn", b.pinned ? t("Sound.") : t("Fits together; whose log it is cannot be told without a key."), sentence, b.notChecked);
    } catch (problem) {
      sayProblem(out, problem);
    }
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.elements.file.addEventListener("change", (event) => event.target.files[0] && check(event.target.files[0]));
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) check(event.dataTransfer.files[0]);
  });
}

// The Record page has the proof in its text, and draws it: the nodes that the browser finds right are marked one after the other.
const proofOut = document.querySelector("[data-proof]");
if (proofOut && globalThis.crypto?.subtle) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "primary";
  button.dataset.checkProof = "";
  button.textContent = t("Check it in this browser");
  document.querySelector(".actions-row").append(button); // at the end: nothing that is there moves
  button.addEventListener("click", async () => {
    const nodes = [...document.querySelectorAll("svg.proof .node")];
    for (const node of nodes) node.classList.remove("proved");
    try {
      const answer = await fetch(proofOut.dataset.proof);
      if (!answer.ok) throw new Error(t("The server answers {status}.", { status: answer.status }));
      const row = new Uint8Array(await answer.arrayBuffer());
      const proof = new TextEncoder().encode(document.querySelector("[data-proof-text]").textContent);
      const v = await checkProof(row, proof, proofOut.dataset.key);
      nodes.forEach((node, i) => node.classList.toggle("proved", node.dataset.hash === v.way[i]));
      say(proofOut, "good", t("Sound."), t("This row is number {n} of {size}: {hashes} hashes lead from it to the signed tree head.", { n: v.index, size: v.size, hashes: v.way.length - 1 }));
    } catch (problem) {
      sayProblem(proofOut, problem);
    }
  });
}
