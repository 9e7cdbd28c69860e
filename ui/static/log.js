// The Audit Log announces rows that came meanwhile. What is read never moves: they are shown when the reader asks for them.
import { t } from "./words.js";

const found = document.querySelector("[data-log]");
const announce = document.querySelector("[data-announce]");
const every = 3000; // milliseconds
let news = 0;

/** Where to ask, and from which row on. */
let address = found.dataset.news && new URL(found.dataset.news, location.href);

async function ask() {
  if (document.hidden || !address) return;
  try {
    const answer = await fetch(address);
    if (!answer.ok || answer.redirected) return;
    const { count: more, after } = await answer.json();
    address.searchParams.set("after", after);
    if (more === 0) return;
    news += more;
    const link = document.createElement("a");
    link.className = "button";
    link.href = location.href;
    link.textContent = news === 1 ? t("1 new row") : t("{n} new rows", { n: news });
    link.addEventListener("click", (event) => {
      event.preventDefault();
      show();
    });
    announce.replaceChildren(link);
  } catch {
    // netaudit is away for a moment; the next round tries again
  }
}

/** Puts the newest page in the place of this one, and the focus on the first new row. */
async function show() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) {
    location.reload();
    return;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("[data-log]");
  const seen = new Set([...found.querySelectorAll("tr[data-href]")].map((row) => row.dataset.href));
  for (const row of fresh.querySelectorAll("tr[data-href]")) row.classList.toggle("new", !seen.has(row.dataset.href));
  found.replaceChildren(...fresh.childNodes);
  document.querySelector("[data-size]").replaceChildren(...page.querySelector("[data-size]").childNodes);
  address = new URL(fresh.dataset.news, location.href);
  news = 0;
  announce.replaceChildren();
  found.querySelector("tbody a")?.focus({ preventScroll: true });
  scrollTo({ top: 0 });
}

setInterval(ask, every);
