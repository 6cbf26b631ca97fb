// SPDX-License-Identifier: Apache-2.0
// Light and dark: as the system has it, unless the reader has chosen.  This runs before the page is drawn.
"use strict";
(function () {
  const root = document.documentElement;
  const KEY = "lab-theme";
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  function remembered() {
    // In a file, some browsers have no storage, and reading it is an error.
    try { return localStorage.getItem(KEY); } catch (_error) { return null; }
  }
  function remember(theme) {
    try { localStorage.setItem(KEY, theme); } catch (_error) { /* The choice lasts until the page is closed. */ }
  }
  function current() {
    return root.dataset.theme || (system.matches ? "dark" : "light");
  }
  const before = remembered();
  if (before === "dark" || before === "light") root.dataset.theme = before;

  document.addEventListener("DOMContentLoaded", function () {
    const button = document.getElementById("theme");
    function show() {
      button.textContent = current() === "dark" ? "Light" : "Dark";
      button.setAttribute("aria-label", "Switch to " + button.textContent.toLowerCase() + " colours");
      document.dispatchEvent(new Event("lab-theme"));
    }
    button.hidden = false;
    button.addEventListener("click", function () {
      root.dataset.theme = current() === "dark" ? "light" : "dark";
      remember(root.dataset.theme);
      show();
    });
    system.addEventListener("change", show);
    show();
  });
})();
