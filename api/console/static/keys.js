// Keys on every page, and the dialog that lists them. They can be turned off there, because speech
// input may type letters that were not meant as keys (WCAG 2.1.4).
const SEQUENCE_MS = 1_500; // from "g" to the letter of the page
const OFF = "keys-off";

const button = document.getElementById("keys");
const pages = new Map(
  [...document.querySelectorAll(".bar nav a")].map((link) => [link.textContent.trim()[0].toLowerCase(), link]),
);
let goneAt = -Infinity; // when "g" was pressed, by the clock of the events: a busy page may see it late

const GENERAL = [
  [["/"], "Go to the filter"],
  [["j"], "Next row"],
  [["k"], "Previous row"],
  [["Enter"], "Open the row"],
  [["?"], "Show the keys"],
];

const dialog = document.createElement("dialog");
dialog.id = "keys-dialog";
dialog.setAttribute("aria-labelledby", "keys-title");
dialog.append(
  made("h2", { id: "keys-title", textContent: "Keys" }),
  listed([...[...pages].map(([letter, link]) => [["g", letter], link.textContent.trim()]), ...GENERAL]),
  made("p", {}, made("label", { className: "inline" },
    made("input", { type: "checkbox", id: "keys-on", checked: !localStorage.getItem(OFF) }), " Use these keys")),
  made("form", { method: "dialog" }, made("button", { className: "plain", textContent: "Close" })),
);
document.body.append(dialog);
document.getElementById("keys-on").addEventListener("change", (event) => {
  if (event.target.checked) localStorage.removeItem(OFF);
  else localStorage.setItem(OFF, "1");
});
if (button) {
  button.hidden = false;
  button.addEventListener("click", () => dialog.showModal());
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]") || localStorage.getItem(OFF)) return;
  if (event.target.closest("input, select, textarea, [contenteditable]")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (act(event.key, event.timeStamp)) event.preventDefault();
});

function act(key, pressedAt) {
  const isPage = pressedAt - goneAt < SEQUENCE_MS;
  goneAt = -Infinity;
  if (isPage && pages.has(key)) {
    location.assign(pages.get(key).href);
    return true;
  }
  switch (key) {
    case "g":
      goneAt = pressedAt;
      return true;
    case "?":
      dialog.showModal();
      return true;
    case "/":
      return focused(document.querySelector("form.filter :is(input, select)"));
    case "j":
      return moved(1);
    case "k":
      return moved(-1);
    default:
      return false;
  }
}

// To the link with class "open" of the next row; from outside the table to its first or last.
function moved(step) {
  const links = [...document.querySelectorAll("tbody a.open")];
  const row = document.activeElement?.closest("tbody tr");
  const at = links.findIndex((link) => link.closest("tr") === row);
  if (at < 0) return focused(links.at(step > 0 ? 0 : -1));
  return focused(links[at + step]);
}

function focused(element) {
  element?.focus();
  element?.scrollIntoView({ block: "nearest" });
  return Boolean(element);
}

function listed(keys) {
  const list = made("dl", { className: "keys" });
  for (const [pressed, words] of keys) {
    list.append(made("dt", {}, ...pressed.map((key) => made("kbd", { textContent: key }))), made("dd", { textContent: words }));
  }
  return list;
}

function made(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}
