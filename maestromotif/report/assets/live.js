// Keeps the page of a run that goes on up to date: replaces the sections that its server has changed.
// It runs before the plots are drawn, so that it knows the sections as the server sent them.
"use strict";
(() => {
  const SECONDS = 5;
  const parts = (root) => [...root.querySelectorAll("#live, header .cards, main > section:not(#replay-section)")];
  const name = (part) => part.id || part.className;
  const known = new Map(parts(document).map((part) => [name(part), part.outerHTML]));
  let version = document.documentElement.dataset.version;

  // Details that somebody has opened stay open.
  function replace(old, part) {
    const open = new Set([...old.querySelectorAll("details[open] > summary")].map((one) => one.textContent));
    old.replaceWith(part);
    for (const summary of part.querySelectorAll("details > summary"))
      if (open.has(summary.textContent)) summary.parentElement.open = true;
    window.findPlots(part);
  }

  async function update() {
    const newest = await (await fetch("/version")).text();
    if (newest === version) return;
    const page = new DOMParser().parseFromString(await (await fetch("/")).text(), "text/html");
    const now = parts(page);
    // A new section, such as a stage that has finished, brings scripts with it.
    if (now.map(name).join() !== parts(document).map(name).join()) { location.reload(); return; }
    for (const part of now)
      if (part.outerHTML !== known.get(name(part))) {
        known.set(name(part), part.outerHTML);
        replace(parts(document).find((one) => name(one) === name(part)), part);
      }
    version = newest;
    document.documentElement.dataset.version = version;
  }

  setInterval(() => update().catch(() => { document.documentElement.dataset.gone = "yes"; }), 1000 * SECONDS);
})();
