// Keys for those who leave the mouse alone; "?" shows them. Everything that a key does is also a link or a button.
const places = { r: "/", l: "/log", m: "/modules", d: "/destinations", t: "/traffic", c: "/coverage", v: "/verify" };
const help = document.querySelector("[data-keys-help]");
let going = -Infinity; // until when a letter after "g" names a page, in the time of events: milliseconds since the page began

/** The links that j and k walk through: one for each row of the page's tables. */
const rowLinks = () => [...document.querySelectorAll("main tbody tr")].map((row) => row.querySelector("a")).filter((link) => link?.checkVisibility());

function step(by) {
  const links = rowLinks();
  const row = document.activeElement?.closest?.("main tbody tr");
  const at = row ? links.findIndex((link) => row.contains(link)) : by > 0 ? -1 : links.length;
  const link = links[Math.max(0, Math.min(links.length - 1, at + by))];
  link?.focus({ preventScroll: true });
  link?.closest("tr").scrollIntoView({ block: "nearest" });
}

const click = (selector) => document.querySelector(selector)?.click();

const keys = {
  j: () => step(1),
  k: () => step(-1),
  ArrowLeft: () => click('a[rel="prev"]'),
  ArrowRight: () => click('a[rel="next"]'),
  n: () => click("[data-announce] a"),
  "/": () => document.querySelector("[data-search]")?.select(),
  "?": () => help?.showModal(),
  g: (event) => { going = event.timeStamp + 1500; },
  Escape: () => document.activeElement?.blur?.(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help?.open) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const place = event.timeStamp < going ? places[event.key] : undefined; // when it was pressed, however late a busy page hears of it
  going = -Infinity;
  if (place && help) location.href = place; // whoever is logged in has the help
  else if (keys[event.key]) keys[event.key](event);
  else return;
  if (event.key !== "Escape") event.preventDefault();
});

const button = document.querySelector("[data-keys]");
if (button && help) {
  button.hidden = false;
  button.addEventListener("click", () => help.showModal());
}
