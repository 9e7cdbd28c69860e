// Small conveniences; every page works without them.
"use strict";

// A click anywhere on a row of the log opens it; text can still be selected.
document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-href]");
  if (row && !event.target.closest("a") && !String(getSelection())) location.href = row.dataset.href;
});

// Keys: arrows go to the neighbouring row or page, "/" to the search.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const link = { ArrowLeft: 'a[rel="prev"]', ArrowRight: 'a[rel="next"]' }[event.key];
  const target = link ? document.querySelector(link) : event.key === "/" ? document.querySelector("[data-search]") : null;
  if (!target) return;
  event.preventDefault();
  link ? target.click() : target.focus();
});

// The Trust Report renews itself while somebody looks at it. Focus and scrolling stay where they are.
const live = document.querySelector("[data-refresh]");
if (live) {
  setInterval(async () => {
    if (document.hidden || String(getSelection()) || live.contains(document.activeElement)) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("[data-refresh]");
      if (fresh) live.replaceChildren(...fresh.childNodes);
    } catch {
      // netaudit is away for a moment; the next round tries again
    }
  }, 1000 * Number(live.dataset.refresh));
}
