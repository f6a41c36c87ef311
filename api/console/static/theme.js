// Before the first paint, so that a page does not flash in the other colours: not a module.
(() => {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
})();
