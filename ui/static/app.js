// Small conveniences; every page works without them.
import "./keys.js";

// A click anywhere on a row of the log opens it; text can still be selected.
document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-href]");
  if (row && !event.target.closest("a") && !String(getSelection())) location.href = row.dataset.href;
});

// The Trust Report is a document too: the button appears only where it can do something.
const print = document.querySelector("[data-print]");
if (print) print.hidden = false;
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-print]")) globalThis.print();
});

// What takes a while says so.
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-busy]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  link.textContent = link.dataset.busy;
  link.setAttribute("aria-busy", "true");
});

// The Trust Report renews itself while somebody looks at it. Focus and scrolling stay where they are.
const live = document.querySelector("[data-refresh]");
if (live?.dataset.refresh) {
  setInterval(async () => {
    if (document.hidden || String(getSelection()) || live.contains(document.activeElement)) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("[data-refresh]");
      if (!fresh) return;
      const open = [...live.querySelectorAll("details")].map((d) => d.open);
      live.replaceChildren(...fresh.childNodes);
      live.querySelectorAll("details").forEach((d, i) => { d.open = open[i] ?? d.open; });
      live.querySelectorAll("[data-print]").forEach((b) => { b.hidden = false; });
    } catch {
      // netaudit is away for a moment; the next round tries again
    }
  }, 1000 * Number(live.dataset.refresh));
}
