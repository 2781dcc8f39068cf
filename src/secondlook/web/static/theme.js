// Runs before the page is drawn, so that a chosen theme does not flash. "" follows the system.
"use strict";
(() => {
  const KEY = "secondlook-theme";
  const kept = () => { try { return localStorage.getItem(KEY) || ""; } catch { return ""; } };
  const show = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  };
  show(kept());
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const isDark = () => getComputedStyle(document.documentElement).colorScheme.includes("dark");
    const name = () => {
      const words = isDark() ? "Light colours" : "Dark colours";
      button.setAttribute("aria-label", words);
      button.title = words;
      button.textContent = isDark() ? "☀" : "☾";
    };
    button.hidden = false;
    name();
    button.addEventListener("click", () => {
      const next = isDark() ? "light" : "dark";
      const ofSystem = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      try {
        if (next === ofSystem) localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, next);
      } catch { /* private windows keep nothing */ }
      show(next === ofSystem ? "" : next);
      name();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  });
})();
