// Keeps the parts of a page with data-refreshed as fresh as the page itself would be, and counts
// the waits in between. The page is asked again every two seconds while somebody looks at it.
import { age, showTimes } from "./times.js";

const EVERY_MS = 2_000;

// Where a page with parts that take long has all of them.
const whole = document.querySelector("[data-whole]")?.dataset.whole;

function keyOf(element) {
  return element.getAttribute("href") ?? element.closest("[data-key]")?.dataset.key ?? null;
}

function replace(part, fresh) {
  const open = new Set([...part.querySelectorAll("details[open]")].map(keyOf));
  for (const details of fresh.querySelectorAll("details")) details.open = open.has(keyOf(details));
  showTimes(fresh);
  if (part.innerHTML === fresh.innerHTML) return; // what is selected or scrolled in it stays
  const focused = part.contains(document.activeElement) ? keyOf(document.activeElement) : null;
  part.replaceChildren(...fresh.childNodes);
  if (focused === null) return;
  [...part.querySelectorAll("a, button, summary")].find((each) => keyOf(each) === focused)?.focus();
}

export async function refresh() {
  const response = await fetch(whole ?? location.href);
  if (!response.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of document.querySelectorAll("[data-refreshed]")) {
    const fresh = page.getElementById(part.id);
    if (fresh) replace(part, fresh);
  }
}

export function count() {
  for (const element of document.querySelectorAll("[data-since]")) {
    const waited = (Date.now() - new Date(element.dataset.since)) / 1000;
    element.textContent = age(Math.max(0, waited));
  }
}

async function keep() {
  if (!document.hidden) await refresh().catch(() => {}); // the next round says whether it is back
  setTimeout(keep, EVERY_MS);
}

setInterval(count, 1_000);
setTimeout(keep, whole ? 0 : EVERY_MS);
