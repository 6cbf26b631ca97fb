// SPDX-License-Identifier: Apache-2.0
// Buttons that copy a command, boxes that scroll by keyboard, and details that open when a link leads to them.
"use strict";
(function () {
  function copy(block) {
    const text = block.textContent.trim();
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    // Some browsers have no clipboard for files: copy the selection instead.
    const selection = window.getSelection();
    selection.selectAllChildren(block);
    const done = document.execCommand("copy");
    selection.removeAllRanges();
    return done ? Promise.resolve() : Promise.reject(new Error("not copied"));
  }

  for (const box of document.querySelectorAll(".command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Copy";
    const block = box.querySelector("pre");
    button.addEventListener("click", function () {
      copy(block).then(() => "Copied", () => "Select and copy by hand").then(function (said) {
        button.textContent = said;
        window.setTimeout(() => { button.textContent = "Copy"; }, 2000);
      });
    });
    box.append(button);
  }

  // A box that scrolls must be reachable for those who have no mouse.
  function reachable() {
    for (const box of document.querySelectorAll(".scroll, .paper, pre")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }
  window.addEventListener("resize", reachable);
  document.addEventListener("toggle", reachable, true);
  window.addEventListener("load", reachable);

  function open() {
    let place = location.hash.length > 1 ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
    for (; place; place = place.parentElement) if (place.tagName === "DETAILS") place.open = true;
  }
  window.addEventListener("hashchange", open);
  open();
})();
