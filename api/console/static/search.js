// The search page: times in the reader's zone, and a click anywhere in a row opens its session.
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

// An empty filter is no part of the URL.
form.addEventListener("formdata", ({ formData }) => {
  for (const { name, value } of times) if (value) formData.set(name, new Date(value).toISOString());
  for (const [name, value] of [...formData]) if (!value.trim()) formData.delete(name);
});

document.getElementById("rows")?.addEventListener("click", (event) => {
  if (event.target.closest("a") || !getSelection().isCollapsed) return;
  event.target.closest("tr")?.querySelector("a.open")?.click();
});
