// On every page: dark or light, times in the reader's zone, ids to copy, keys.
import "./keys.js";
import { showTimes } from "./times.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;
const chosenTheme = () => /(?:^|; )offhook_theme=(dark|light)(?:;|$)/.exec(document.cookie)?.[1];

function chooseTheme(theme) {
  document.cookie = `offhook_theme=${theme}; path=/console; samesite=lax; max-age=31536000`;
  showTheme();
}

function showTheme() {
  const theme = chosenTheme();
  if (!theme || theme === root.dataset.theme) return;
  root.dataset.theme = theme;
  document.dispatchEvent(new Event("themechange"));
}

document.getElementById("theme")?.addEventListener("click", () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  chooseTheme(isDark ? "light" : "dark");
});

// A page that the browser kept, as for Back, has the colours that were chosen when it was sent.
addEventListener("pageshow", showTheme);
showTheme();
try {
  // Earlier versions kept the choice here.
  const earlier = localStorage.getItem("theme");
  localStorage.removeItem("theme");
  if (["dark", "light"].includes(earlier) && !chosenTheme()) chooseTheme(earlier);
} catch {
  // The browser keeps nothing for this page.
}

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
