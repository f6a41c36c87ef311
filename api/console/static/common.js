// On every page: dark or light, times in the reader's zone, keys.
import "./keys.js";
import { showTimes } from "./times.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

document.getElementById("theme")?.addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  root.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  document.dispatchEvent(new Event("themechange"));
});

// In a wide window the menu is part of the bar, and no popover.
matchMedia("(max-width: 48rem)").addEventListener("change", () => document.getElementById("menu")?.hidePopover?.());

showTimes(document);
