// The live page: follows the stream, and asks for what changed, at most a few times a second.
import { follow } from "./api.js";
import { askToHangUp } from "./hang_up.js";
import { age, showTimes } from "./times.js";

const REFRESH_MS = 250; // from one request to the next
const SHARE = 2; // and this many times as long as the last one took, so that a slow API is spared
const QUIET_MS = 5_000; // rates and lag change without records

const now = document.getElementById("now");
const rows = document.getElementById("rows");
const stream = document.getElementById("stream");
const query = now.dataset.query;
let clockAheadMs = Date.now() - Date.parse(now.dataset.now);

// ---- what changed
let isAsking = false;
let isDue = false;
let notBefore = 0;
let timer = 0;

function changed() {
  isDue = true;
  if (isAsking || document.hidden) return;
  clearTimeout(timer);
  timer = setTimeout(refresh, Math.max(0, notBefore - performance.now()));
}

async function refresh() {
  if (isAsking) return;
  isAsking = true;
  isDue = false;
  const began = performance.now();
  try {
    const response = await fetch(`/console/live/now?${query}`, { redirect: "manual" });
    if (response.type === "opaqueredirect") location.reload(); // to the form for signing in
    else if (response.ok) show(await response.text());
  } catch {
    // The network is away; the stream says so, and the next record or timer asks again.
  }
  const took = performance.now() - began;
  notBefore = began + Math.max(REFRESH_MS, SHARE * took);
  isAsking = false;
  if (isDue) changed();
  else timer = setTimeout(refresh, QUIET_MS);
}

function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  clockAheadMs = Date.now() - Date.parse(fresh.getElementById("now").dataset.now);
  showTimes(fresh);
  for (const id of ["tiles", "failures", "pages"]) {
    const old = document.getElementById(id);
    const next = [...fresh.getElementById(id).children];
    next.forEach((each, at) => {
      if (!old.children[at]) old.append(each);
      else if (!old.children[at].isEqualNode(each)) replaced(old.children[at], each);
    });
    while (old.children.length > next.length) old.lastElementChild.remove();
  }
  showRows([...fresh.getElementById("rows").rows]);
  isWhole = true;
  tick();
}

let isWhole = false; // the page comes with the first rows only

// Rows have their session as key: one that is the same stays, of a changed one its cells change.
function showRows(next) {
  const wanted = new Set(next.map((row) => row.id));
  for (const row of [...rows.rows]) if (!wanted.has(row.id)) row.remove();
  let place = rows.firstElementChild;
  for (const row of next) {
    const old = document.getElementById(row.id);
    if (!old) {
      if (isWhole) row.classList.add("fresh");
      rows.insertBefore(row, place);
      continue;
    }
    if (old === place) place = place.nextElementSibling;
    else rows.insertBefore(old, place);
    if (old.dataset.version === row.dataset.version) continue;
    old.dataset.version = row.dataset.version;
    [...row.cells].forEach((cell, at) => {
      if (old.cells[at] && !old.cells[at].isEqualNode(cell)) replaced(old.cells[at], cell);
    });
  }
}

// The focus stays where it was.
function replaced(old, next) {
  const within = (element) => [element, ...element.querySelectorAll("a, button")];
  const focused = within(old).indexOf(document.activeElement);
  old.replaceWith(next);
  if (focused >= 0) within(next)[focused]?.focus();
}

// ---- ages
function tick() {
  const at = Date.now() - clockAheadMs;
  for (const row of rows.rows) {
    let isLate = false;
    for (const each of row.querySelectorAll("[data-since]")) {
      const seconds = Math.max(0, (at - Date.parse(each.dataset.since)) / 1000);
      const text = age(seconds);
      if (each.textContent !== text) each.textContent = text;
      if (each.dataset.expected && seconds > Number(each.dataset.expected)) isLate = true;
    }
    row.classList.toggle("late", isLate);
  }
}
setInterval(tick, 1_000);

// ---- hanging up
rows.addEventListener("click", (event) => {
  const button = event.target.closest("button.hangup");
  if (!button) return;
  const legs = button.dataset.legs.split(" ");
  const counted = legs.length === 1 ? "1 leg" : `${legs.length} legs`;
  askToHangUp(`${button.dataset.call} (${counted} up)`, legs);
});

// ---- the stream
// Once the page is painted: following it takes a connection and a first refresh.
requestAnimationFrame(() => setTimeout(() => {
  follow("/sessions/stream", {
    onRecord: changed,
    onState: (state) => {
      stream.hidden = false;
      stream.className = `chip ${state === "live" ? "active" : "late"}`;
      stream.textContent = state === "live" ? "connected" : "reconnecting";
      changed(); // what came in between
    },
  });
}));
document.addEventListener("visibilitychange", () => { if (!document.hidden) changed(); });
document.getElementById("status").addEventListener("change", (event) => event.target.form.requestSubmit());
// An empty filter is no part of the URL.
document.querySelector("form.filter").addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
});
