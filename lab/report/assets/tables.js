// SPDX-License-Identifier: Apache-2.0
// Tables of class "data": headings sort their column, and a field above long tables filters the rows.
"use strict";
(function () {
  const LONG = 8;
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  // Units as experiments have them; others, such as "%" and "bdp", are compared with themselves alone.
  const UNITS = [
    [/^([kmgt]?)bit(?:\/s)?$/i, "rate", { "": 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 }],
    [/^(n|u|µ|m|)s$/, "time", { "": 1, n: 1e-9, u: 1e-6, "µ": 1e-6, m: 1e-3 }],
    [/^(min|h)$/, "time", { min: 60, h: 3600 }],
    [/^(|k|M|G|Ki|Mi|Gi)B$/, "size", { "": 1, k: 1e3, M: 1e6, G: 1e9, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 }],
  ];

  // The text of a cell without what is in smaller print, such as a confidence interval.
  function text(cell) {
    const copy = cell.cloneNode(true);
    for (const small of copy.querySelectorAll(".spread")) small.remove();
    return copy.textContent.trim().replace(/\s+/g, " ");
  }

  // The quantity that a text is, such as "40 ms", "1,024", "0.5%", "−3", "10mbit" or "4bdp"; or null.
  function quantity(value) {
    const found = /^([+\-−<]?)\s*(\d[\d,]*\.?\d*(?:e[+-]?\d+)?)\s*([^\d\s]*)$/i.exec(value);
    if (!found) return null;
    const size = parseFloat(found[2].replace(/,/g, "")) * (found[1] === "-" || found[1] === "−" ? -1 : 1);
    for (const [pattern, dimension, factors] of UNITS) {
      const unit = pattern.exec(found[3]);
      if (unit) return { dimension: dimension, size: size * factors[dimension === "rate" ? unit[1].toLowerCase() : unit[1]] };
    }
    return { dimension: found[3], size: size };
  }

  function isMissing(value) {
    return value === "" || value === "–" || value === "-";
  }

  function order(rows, column) {
    const texts = new Map(rows.map((row) => [row, row.cells[column] ? text(row.cells[column]) : ""]));
    const present = [...texts.values()].filter((value) => !isMissing(value));
    const dimensions = new Set(present.map((value) => quantity(value)?.dimension));
    const numeric = dimensions.size === 1 && !dimensions.has(undefined);
    const compare = numeric ? (a, b) => quantity(a).size - quantity(b).size : collator.compare;
    return function (one, other, direction) {
      const a = texts.get(one), b = texts.get(other);
      // What is missing comes last, whatever the direction.
      if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
      return direction * compare(a, b);
    };
  }

  function sortable(table) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach(function (heading, column) {
      if (heading.hasAttribute("data-plain")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort by this column";
      const unit = heading.querySelector(".unit");
      while (heading.firstChild && heading.firstChild !== unit) button.append(heading.firstChild);
      heading.prepend(button);
      heading.setAttribute("aria-sort", "none");
      button.addEventListener("click", function () {
        // Ascending, descending, and then the order of the experiment again.
        const next = { none: "ascending", ascending: "descending", descending: "none" }[heading.getAttribute("aria-sort")];
        for (const other of headings) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
        heading.setAttribute("aria-sort", next);
        table.classList.toggle("sorted", next !== "none");
        const rows = [...original];
        if (next !== "none") {
          const compare = order(original, column), direction = next === "ascending" ? 1 : -1;
          rows.sort((one, other) => compare(one, other, direction));
        }
        body.append(...rows);
      });
    });
  }

  function filterable(table, number_) {
    const rows = [...table.tBodies[0].rows];
    if (rows.length <= LONG) return;
    const box = document.createElement("div");
    box.className = "filter";
    const label = document.createElement("label");
    label.htmlFor = "filter-" + number_;
    label.textContent = "Filter";
    const field = document.createElement("input");
    field.type = "search";
    field.id = label.htmlFor;
    field.placeholder = "words in a row";
    const count = document.createElement("span");
    count.setAttribute("role", "status");
    box.append(label, field, count);
    table.closest(".scroll").before(box);
    field.addEventListener("input", function () {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const content = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => content.includes(word));
        shown += !row.hidden;
      }
      count.textContent = words.length ? shown + " of " + rows.length + " rows" : "";
    });
  }

  [...document.querySelectorAll("table.data")].forEach(function (table, number_) {
    sortable(table);
    filterable(table, number_);
  });
})();
