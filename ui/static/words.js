// What scripts say, in the page's language. English stands where it is said and is the key of the catalogue's other languages.
const { lang } = document.documentElement;
const texts = lang === "en" ? {} : await load();

async function load() {
  try {
    const answer = await fetch(`/words/${lang}.json`);
    return answer.ok ? await answer.json() : {};
  } catch {
    return {}; // English is better than nothing
  }
}

/** A number with its groups of three apart, as everywhere on the pages. */
export const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** Says an English text in the page's language; {name} is replaced by the value of that name. */
export function t(english, values = {}) {
  return (texts[english] ?? english).replace(/\{([a-z]+)\}/g, (all, name) => (typeof values[name] === "number" ? count(values[name]) : (values[name] ?? all)));
}

// What the verifier says is English with its values already in place: its translation is found by the look of the text.
const shapes = Object.keys(texts).filter((english) => english.includes("{")).map((english) => ({
  english,
  names: [...english.matchAll(/\{([a-z]+)\}/g)].map((m) => m[1]),
  shape: new RegExp(`^${english.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{[a-z]+\}/g, "(.+?)")}$`, "s"),
}));

/** Translates what a verifier said. What the catalogue does not have stays as it is. */
export function said(english) {
  if (texts[english]) return texts[english];
  for (const { english: key, names, shape } of shapes) {
    const m = english.length < 2000 && shape.exec(english);
    if (m) return t(key, Object.fromEntries(names.map((name, i) => [name, said(m[i + 1])])));
  }
  return english;
}
