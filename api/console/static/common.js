// On every page: dark or light, times in the reader's zone, ids to copy, keys.
import "./keys.js";
import { showTimes } from "./times.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

document.getElementById("theme")?.addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  root.dataset.theme = isDark ? "light" : "dark";
  document.cookie = `offhook_theme=${root.dataset.theme}; path=/console; samesite=lax; max-age=31536000`;
  document.dispatchEvent(new Event("themechange"));
});

// In a wide window the menu is part of the bar, and no popover.
matchMedia("(max-width: 48rem)").addEventListener("change", () => document.getElementById("menu")?.hidePopover?.());

// An id that is shown short is copied whole.
document.addEventListener("click", async (event) => {
  const id = event.target.closest("[data-copied]");
  if (!id) return;
  const code = id.querySelector("code");
  const short = code.textContent;
  try {
    await navigator.clipboard.writeText(id.dataset.copied);
    code.textContent = "copied";
    setTimeout(() => { code.textContent = short; }, 1_000);
  } catch {
    // No permission, or the page is not from localhost and has no TLS: it is selected, to copy by key.
    code.textContent = id.dataset.copied;
    getSelection().selectAllChildren(code);
  }
});

// What an abbreviation or a heading means is shown to the mouse by its title, to keys and fingers like this.
for (const each of document.querySelectorAll("abbr[title]")) each.tabIndex = 0;
document.addEventListener("click", (event) => event.target.closest("abbr[title]")?.focus());

// What is refused after the title was sent has another one.
const title = document.querySelector("h1[data-title]");
if (title) document.title = `${title.textContent} · Offhook`;

showTimes(document);
