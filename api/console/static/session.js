// The session's page: follows the stream, swaps the page's content in place, and sends commands.
import { follow, post } from "./api.js";
import { askToHangUp } from "./hang_up.js";
import { showTimes } from "./times.js";

const REDRAW_AFTER_MS = 150; // records come in bursts: one redraw for each
const SHARE = 2; // of the time that a redraw took, before the next one
let wanted = 0; // the last swap asked for; an earlier one that comes later is dropped
let target = location.href; // the page that the reader wants, which may still be on its way
let timer = null; // to the next redraw, or the end of the pause after one
let isDue = false; // a record came since the last redraw began
let isNewStep = false; // the next page that is shown has a history entry of its own, for Back
let refusal = ""; // why the ladder of the last swap could not be read

const page = () => document.getElementById("session");
const isPast = () => new URL(target).searchParams.has("as_of");

// The same page from the server: its URL is its state, so there is no second way to draw it.
async function swap(url, { remember = false } = {}) {
  const number = ++wanted;
  target = url;
  const response = await fetch(url, { headers: { accept: "text/html" } });
  if (response.redirected) return location.assign(url);
  const html = await response.text();
  if (number !== wanted) return undefined;
  const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("session");
  if (!fresh) return location.assign(url);
  const old = page();
  const box = old.querySelector(".ladder-box");
  if (box && !fresh.querySelector(".ladder-box")) {
    const refused = fresh.querySelector("[role=alert]");
    if (refused?.dataset.status === "401") return location.assign(url); // to the form, and back
    say((refusal = refused?.textContent.trim() ?? "The rest of this page could not be read."));
    return undefined; // what was read before stays
  }
  const kept = { left: box?.scrollLeft ?? 0, top: box?.scrollTop ?? 0, focus: document.activeElement?.id };
  const typed = old.querySelector("#to")?.value;
  const leg = old.querySelector("#leg")?.value;
  const said = old.querySelector("[data-said]");
  const isOpen = [...old.querySelectorAll("details")].map((each) => each.open);
  showTimes(fresh);
  const shown = replaced(old, fresh);
  if (url !== location.href) history[isNewStep ? "pushState" : "replaceState"](null, "", url);
  isNewStep = false;
  const now = shown.querySelector(".ladder-box");
  if (now) now.scrollTo(kept.left, kept.top);
  if (typed && shown.querySelector("#to")) shown.querySelector("#to").value = typed;
  const choice = shown.querySelector("#leg");
  if (choice && [...choice.options].some((each) => each.value === leg)) choice.value = leg;
  if (said.textContent !== refusal) shown.querySelector("[data-said]").textContent = said.textContent;
  shown.querySelectorAll("details").forEach((each, place) => (each.open = isOpen[place] ?? false));
  if (kept.focus) document.getElementById(kept.focus)?.focus();
  // Where the record is a sheet over the page, its row must not be below it.
  if (remember && matchMedia("(max-width: 75rem)").matches) {
    shown.querySelector(".row.chosen")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  showState();
  return undefined;
}

// A slider that is taken away is no longer held, so its part of the page stays until it is let go.
function replaced(old, fresh) {
  const text = fresh.querySelector("#as-of-text");
  const held = isHeld && text && old.querySelector(".ladder-head");
  if (!held) {
    old.replaceWith(fresh);
    return fresh;
  }
  held.querySelector("#as-of-text").replaceWith(text.cloneNode(true));
  const parts = [...fresh.childNodes];
  const place = parts.indexOf(text.closest(".ladder-head"));
  for (const each of [...old.childNodes]) if (each !== held) each.remove();
  held.before(...parts.slice(0, place));
  held.after(...parts.slice(place + 1));
  return old;
}

let state = "";
function showState(next = state) {
  state = next;
  const element = document.querySelector("[data-live]");
  if (!element) return;
  // An ended call is followed too, for what comes late, but it is not live.
  const shown = isPast() || page().dataset.status === "ended" ? "" : state;
  element.dataset.state = shown;
  element.textContent = { live: "live", lost: "reconnecting" }[shown] ?? "";
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-swap], a[data-record]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const href = link.getAttribute("href");
  if (!href) return;
  event.preventDefault();
  isNewStep = true;
  swap(new URL(href, location.href).href, { remember: true });
});

addEventListener("popstate", () => {
  isNewStep = false;
  swap(location.href).catch(() => location.reload());
});

// A row with more text than fits says all of it below, while the pointer or the focus is on it.
for (const type of ["pointerover", "focusin"]) {
  document.addEventListener(type, (event) => {
    const caption = document.querySelector("[data-caption]");
    const row = event.target.closest(".row[data-cut]");
    if (!caption || event.target === caption) return;
    caption.hidden = !row;
    caption.textContent = row?.querySelector("title").textContent ?? "";
  });
}

document.addEventListener("keydown", (event) => {
  const close = document.querySelector("#record .record-head a");
  if (event.key === "Escape" && close && !document.querySelector("dialog[open]")) close.click();
});

// Moving the slider is one step, from where it was taken to where it is let go.
let isHeld = false; // by a pointer or a key
let isMoving = false;
for (const type of ["pointerdown", "keydown"]) {
  document.addEventListener(type, (event) => { isHeld ||= event.target.id === "as-of"; });
}
for (const type of ["pointerup", "pointercancel", "keyup", "blur"]) {
  addEventListener(type, () => {
    isHeld = false;
    if (isMoving) swap(target, { remember: true });
    isMoving = false;
  });
}

document.addEventListener("input", (event) => {
  if (event.target.id !== "as-of") return;
  isNewStep ||= !isMoving;
  isMoving = isHeld;
  const positions = event.target.dataset.positions.split(",");
  const place = Number(event.target.value);
  event.target.setAttribute("aria-valuetext", `record ${place} of ${positions.length}`);
  const url = new URL(location.href);
  if (place === positions.length) url.searchParams.delete("as_of");
  else url.searchParams.set("as_of", positions[place - 1]);
  swap(url.href, { remember: true });
});

document.addEventListener("click", (event) => {
  const form = event.target.closest("[data-hangup]")?.closest("form");
  if (form) askToHangUp(form.leg.selectedOptions[0].textContent, [form.leg.value]);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-transfer]");
  if (!button) return;
  const form = button.closest("form");
  const to = form.to.value.trim();
  if (!to) return form.to.focus();
  say("transfer: sending…");
  button.disabled = true;
  try {
    await post(`/v2/calls/${encodeURIComponent(form.leg.value)}/actions/transfer`, { to });
    say("transfer: the carrier accepted it.");
  } catch (error) {
    say(`transfer failed: ${error.message}`);
  }
  button.disabled = false;
  return undefined;
});

// The form goes when the call is over; what became of the command stays.
function say(text) {
  for (const element of document.querySelectorAll("[data-said]")) element.textContent = text;
}

// The dialog is outside of what a swap replaces: it stays while the call goes on.
const dialog = document.getElementById("flow-test");
const code = dialog.querySelector("pre");
const result = dialog.querySelector("[role=status]");

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-flow-test]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  const response = await fetch(link.href);
  if (!response.ok) return location.assign(link.href);
  code.textContent = await response.text();
  const download = dialog.querySelector("[data-download]");
  download.href = link.href;
  download.download = /filename="([^"]+)"/.exec(response.headers.get("content-disposition"))?.[1] ?? "";
  dialog.showModal();
  return copyCode();
});

async function copyCode() {
  try {
    await navigator.clipboard.writeText(code.textContent);
    result.textContent = "Copied.";
  } catch {
    // No permission, or the page is not from localhost and has no TLS.
    getSelection().selectAllChildren(code);
    result.textContent = "The browser does not allow copying. The code is selected: copy it by key.";
  }
}

dialog.querySelector("[data-copy]").addEventListener("click", copyCode);
dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-png]");
  if (!link) return;
  event.preventDefault();
  const image = new Image();
  image.src = link.href;
  await image.decode();
  const scale = 2; // sharp on a dense screen and in a report
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width * scale, image.height * scale];
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.drawImage(image, 0, 0);
  const saved = document.createElement("a");
  saved.href = canvas.toDataURL("image/png");
  saved.download = link.download;
  saved.click();
});

// On a phone the ladder is drawn as wide as its place. The server knows that from a cookie, as the
// URL is for every screen; the first time the page is drawn once more.
const narrow = matchMedia("(max-width: 40rem)");

function fit() {
  const box = page().querySelector(".ladder-box");
  if (!box) return; // the ladder could not be read
  const wanted = narrow.matches ? String(box.clientWidth) : "";
  if (box.dataset.width === wanted) return;
  const age = wanted ? 31_536_000 : 0;
  document.cookie = `offhook_ladder_width=${wanted}; path=/console; samesite=lax; max-age=${age}`;
  if (document.cookie.includes("offhook_ladder_width") === Boolean(wanted)) swap(target);
}

let resized = null;
addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(fit, 200);
});
fit();

follow(`/sessions/${encodeURIComponent(page().dataset.session)}/stream?last_event_id=${page().dataset.seq}`, {
  onState: showState,
  onRecord() {
    isDue = true;
    timer ??= setTimeout(redraw, REDRAW_AFTER_MS);
  },
});

// One request at a time, and a pause after each, so that a slow API is spared.
async function redraw() {
  const began = performance.now();
  isDue = false;
  if (!isPast()) await swap(target).catch(() => {}); // the next record asks again
  const pause = Math.max(REDRAW_AFTER_MS, SHARE * (performance.now() - began));
  timer = setTimeout(() => {
    if (isDue) redraw();
    else timer = null;
  }, pause);
}
