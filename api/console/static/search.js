// The search page: times in the reader's zone, and a click anywhere in a row opens its session.
import { here } from "./times.js";

const form = document.querySelector("form.search");
const times = [...form.querySelectorAll('input[type="datetime-local"]')];

// The server has them in UTC, which is what the page shows without scripts.
const two = (number) => String(number).padStart(2, "0");
for (const input of times) {
  input.labels[0].querySelector(".zone").textContent = "your time";
  if (!input.value) continue;
  const at = new Date(`${input.value}Z`);
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
  input.value = `${day}T${[at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":")}`;
}

// Today is the reader's own, unless the page was searched with another time zone: UTC, if its URL has none.
const { last, tz } = form.elements;
const today = last.querySelector("[value=today]");
tz.value ||= today.defaultSelected ? "UTC" : here;
if (tz.value === here) today.textContent = "Today, your time";

// An empty filter is no part of the URL.
form.addEventListener("formdata", ({ formData }) => {
  if (last.value !== "today") formData.delete("tz");
  for (const { name, value } of times) if (value) formData.set(name, new Date(value).toISOString());
  for (const [name, value] of [...formData]) if (!value.trim()) formData.delete(name);
});

document.getElementById("rows")?.addEventListener("click", (event) => {
  if (event.target.closest("a") || !getSelection().isCollapsed) return;
  event.target.closest("tr")?.querySelector("a.open")?.click();
});
