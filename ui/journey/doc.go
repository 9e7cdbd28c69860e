// Package journey walks through the pages in a real Chromium, as people do: the worried administrator, the auditor, the stranger, the newcomer, the one who has no mouse, the one who has no JavaScript. It has tests only;
// make screenshots uses them too.
package journey
