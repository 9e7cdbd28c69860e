// The parts of the Verify and Record pages that check proofs in the browser. Without JavaScript the pages say how to check on the command line.
import { checkBundle, checkProof, Tampered } from "./bundle.js";

const count = (n) => n.toLocaleString("en");

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
      item.textContent = line;
      list.append(item);
    }
    const title = document.createElement("p");
    title.textContent = "Not checked:";
    out.append(title, list);
  }
  out.hidden = false;
}

function sayProblem(out, problem) {
  if (problem instanceof Tampered) say(out, "bad", "Tampered.", `${problem.message[0].toUpperCase()}${problem.message.slice(1)}.`);
  else say(out, "warn", "Cannot tell.", problem.message);
}

const drop = document.querySelector("[data-bundle]");
if (drop) {
  drop.hidden = false;
  const form = drop.querySelector("form");
  const out = drop.querySelector("output");
  const check = async (file) => {
    if (!globalThis.crypto?.subtle) {
      say(out, "warn", "Cannot tell.", "Browsers check signatures only on pages from this computer or over HTTPS. Use netaudit-verify or verify_bundle.py.");
      return;
    }
    say(out, "", "Checking", file.name);
    try {
      const keys = form.elements.keys.value.split(/\s+/).filter(Boolean);
      const bytes = new Uint8Array(await file.arrayBuffer());
      const b = await checkBundle(bytes, keys, form.elements.seal.value.trim(), (done, total) => say(out, "", "Checking", `${count(done)} of ${count(total)} rows`));
      const rows = b.count === 1 ? `Row ${count(b.first)}` : `Rows ${count(b.first)} to ${count(b.first + b.count - 1)}`;
      const sentence = `${rows} of ${count(b.size)} in the log ${b.origin}, ${count(b.seals)} daily seals${b.withheld ? `, ${count(b.withheld)} rows withheld by retention` : ""}.`;
      say(out, b.pinned ? "good" : "warn", b.pinned ? "Sound." : "Fits together; whose log it is cannot be told without a key.", sentence, b.notChecked);
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

const proofOut = document.querySelector("[data-proof]");
if (proofOut && globalThis.crypto?.subtle) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Check it in this browser";
  proofOut.before(button);
  button.addEventListener("click", async () => {
    const { proof, row, key } = proofOut.dataset;
    try {
      const [p, r] = await Promise.all([proof, row].map(async (url) => {
        const answer = await fetch(url);
        if (!answer.ok) throw new Error(`The server answers ${answer.status}.`);
        return new Uint8Array(await answer.arrayBuffer());
      }));
      const v = await checkProof(r, p, key);
      say(proofOut, "good", "Sound.", `This row is number ${count(v.index)} of ${count(v.size)}: ${v.hashes} hashes lead from it to the signed tree head.`);
    } catch (problem) {
      sayProblem(proofOut, problem);
    }
  });
}
