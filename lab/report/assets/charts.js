// SPDX-License-Identifier: Apache-2.0
// Curves over time with common axes: drag to zoom, point to read values.
"use strict";
(function () {
  const box = document.getElementById("explorer");
  if (!box) return;
  const given = JSON.parse(document.getElementById("chart-data").textContent);
  const END = given.end, TICK = given.tick;
  const HEIGHT = 180, AXIS_WIDTH = 58, LEAST_RANGE = END / 2000;
  const select = box.querySelector("select"), keys = box.querySelector(".keys"), range = box.querySelector(".range");
  const place = box.querySelector(".charts");
  const hidden = new Set();
  let view = null, charts = [];
  let shown = [0, END];

  // A custom property that is light-dark() has to be resolved by an element.
  const probe = document.createElement("span");
  probe.hidden = true;
  box.append(probe);
  function colour(name) {
    probe.style.color = "var(" + name + ")";
    return getComputedStyle(probe).color;
  }
  // Black lines could not be seen on a dark page.
  function visible(hex) {
    return hex === "#000000" ? colour("--ink") : hex;
  }
  function seconds(value) {
    const digits = shown[1] - shown[0] < 0.5 ? 4 : shown[1] - shown[0] < 5 ? 3 : 2;
    return value.toFixed(digits) + " s";
  }

  // --- the data ----------------------------------------------------------------------------------------------

  function decoded(line) {
    let tick = 0;
    return { ...line, x: line.x.map((difference) => (tick += difference)) };
  }

  // All lines of a chart at the times at which any of them has a point: what uPlot draws.
  function aligned(lines) {
    const last = Math.round(END / TICK);
    const all = new Set([0, last]);
    for (const line of lines) for (const tick of line.x) all.add(tick);
    const ticks = Float64Array.from(all).sort();
    return [Array.from(ticks, (tick) => tick * TICK), ...lines.map((line) => filled(line, ticks))];
  }

  function filled(line, ticks) {
    let next = 0;
    return Array.from(ticks, function (tick) {
      while (next < line.x.length && line.x[next] < tick) next++;
      return valueAt(line, tick, next);
    });
  }

  // The value of a line at a tick: what holds at that time, or what is on the way from point to point; null outside.
  // The point *next* is the first one that is not before the tick.
  function valueAt({ x, y, step }, tick, next) {
    if (next === x.length) return null;
    if (x[next] === tick) return y[next];
    if (next === 0) return null;
    if (step === "before") return y[next];
    if (step === "after") return y[next - 1];
    return y[next - 1] + (y[next] - y[next - 1]) * (tick - x[next - 1]) / (x[next] - x[next - 1]);
  }

  function nextPoint(x, tick) {
    let low = 0, high = x.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (x[middle] < tick) low = middle + 1; else high = middle;
    }
    return low;
  }

  // --- marks: packets that were sent again, and packets that were dropped -------------------------------------

  const SYMBOLS = { fast: "\u25bc", timeout: "\u2715", tlp: "\u271a", drop: "\u25cb" };
  const OTHER_SYMBOL = "\u25cf", LEAST_GAP = 5;

  // The marks of a view, each with the line of the window that it belongs to.
  function marked(lines) {
    return view.marks.map(function (marks) {
      const line = lines.find((one) => !one.minor && one.series === marks.series && one.name === marks.name);
      return { ...decoded(marks), line: line };
    }).filter((marks) => marks.line && marks.x.length);
  }

  function drawMarks(plot, chart) {
    const { ctx, bbox } = plot, ratio = uPlot.pxRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    for (const { line, x, symbol, series } of chart.marks) {
      if (hidden.has(series)) continue;
      const isDrop = symbol === "drop";
      ctx.font = (isDrop ? 10 : 9) * ratio + "px system-ui, sans-serif";
      ctx.fillStyle = isDrop ? colour("--ink") : visible(view.series[series].colours[chart.kind.id]);
      let last = -Infinity;
      for (const tick of x) {
        const at = plot.valToPos(tick * TICK, "x", true);
        if (at < bbox.left || at > bbox.left + bbox.width || at - last < LEAST_GAP * ratio) continue;
        // The window that the event left.
        const height = valueAt(line, tick + 1, nextPoint(line.x, tick + 1));
        if (height === null) continue;
        last = at;
        ctx.fillText(SYMBOLS[symbol] || OTHER_SYMBOL, at, plot.valToPos(height, "y", true) - (isDrop ? 0 : 6 * ratio));
      }
    }
    ctx.restore();
  }

  // How many marks of each kind are under the pointer.
  function marksAt(chart, at) {
    const reach = chart.plot.posToVal(LEAST_GAP, "x") - chart.plot.posToVal(0, "x");
    const counts = new Map();
    for (const { x, label, series } of chart.marks) {
      if (hidden.has(series)) continue;
      const number = nextPoint(x, (at + reach) / TICK) - nextPoint(x, (at - reach) / TICK);
      if (number) counts.set(label, (counts.get(label) || 0) + number);
    }
    return counts;
  }

  function markKeys(marks) {
    const keys = new Map(marks.map((one) => [one.label, SYMBOLS[one.symbol] || OTHER_SYMBOL]));
    return [...keys].map(([label, symbol]) => symbol + " " + label).join("  ");
  }

  // --- one chart ---------------------------------------------------------------------------------------------

  function drawn(line, kind) {
    const width = line.minor || line.series === null ? 1 : 1.5;
    const series = line.series === null ? null : view.series[line.series];
    const hex = series ? series.colours[kind.id] : given.grey;
    let dash = kind.id === "goodput" && series ? series.dash : [];
    if (line.minor) dash = [1, 2];
    if (!series && kind.id !== "queue") dash = [4, 3];
    return {
      label: line.name,
      stroke: () => series ? visible(hex) : colour("--soft"),
      width: width,
      dash: dash.map((part) => part * width),
      cap: "butt",
      paths: line.step === "none" ? uPlot.paths.linear() : uPlot.paths.stepped({ align: line.step === "after" ? 1 : -1 }),
      points: { show: false },
      spanGaps: false,
    };
  }

  function shadeUnmeasured(plot) {
    const { left, top, width, height } = plot.bbox;
    plot.ctx.save();
    plot.ctx.beginPath();
    plot.ctx.rect(left, top, width, height);
    plot.ctx.clip();
    plot.ctx.fillStyle = colour("--raised");
    for (const [from, to] of view.unmeasured) {
      const start = plot.valToPos(from, "x", true), end = plot.valToPos(to, "x", true);
      plot.ctx.fillRect(start, top, end - start, height);
    }
    plot.ctx.restore();
  }

  function say(chart) {
    const { plot, lines, kind, values } = chart;
    values.replaceChildren();
    if (!(plot.cursor.left >= 0)) return;
    const at = plot.posToVal(plot.cursor.left, "x");
    const time = document.createElement("span");
    time.textContent = seconds(at);
    values.append(time);
    const groups = new Map();
    lines.forEach(function (line) {
      const value = valueAt(line, at / TICK, nextPoint(line.x, at / TICK));
      if (value === null || line.series === null && kind.id !== "queue" || hidden.has(line.series)) return;
      const name = line.series === null ? line.name : view.series[line.series].label;
      const group = groups.get(name) || { line: line, main: [], minor: [] };
      group[line.minor ? "minor" : "main"].push(value);
      groups.set(name, group);
    });
    for (const [name, group] of groups) values.append(value(name, group, kind));
    for (const [label, number] of marksAt(chart, at)) {
      const item = document.createElement("span");
      item.textContent = number + " \u00d7 " + label;
      values.append(item);
    }
  }

  function value(name, group, kind) {
    const item = document.createElement("span");
    const swatch = document.createElement("i");
    swatch.className = "swatch";
    swatch.style.setProperty("--swatch", group.line.series === null ? "var(--soft)" : visible(view.series[group.line.series].colours[kind.id]));
    const all = [...group.main].sort((a, b) => a - b).map((one) => one.toFixed(kind.digits));
    const text = all.length > 3 ? all[0] + " to " + all[all.length - 1] : all.join(", ");
    const threshold = group.minor.length === 1 ? " (ssthresh " + group.minor[0].toFixed(0) + ")" : "";
    item.append(swatch, name + " " + text + threshold);
    return item;
  }

  function made(kind, isLast) {
    const lines = view.lines.filter((line) => line.chart === kind.id).map(decoded);
    const element = document.createElement("div");
    element.className = "chart";
    element.tabIndex = 0;
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", kind.title + " over time. Arrow keys move along the time, plus and minus zoom, Escape shows all.");
    const head = document.createElement("div");
    head.className = "chart-head";
    const name = document.createElement("div");
    name.className = "name";
    name.textContent = kind.title + " ";
    const unit = document.createElement("span");
    unit.textContent = kind.unit;
    name.append(unit);
    const marks = kind.id === "cwnd" ? marked(lines) : [];
    if (marks.length) {
      const keys = document.createElement("span");
      keys.className = "marks";
      keys.textContent = markKeys(marks);
      name.append(keys);
    }
    const values = document.createElement("div");
    values.className = "values";
    head.append(name, values);
    const canvas = document.createElement("div");
    element.append(head, canvas);
    place.append(element);
    const chart = { kind, lines, marks, element, values, plot: null };
    chart.plot = new uPlot(options(chart, isLast), aligned(lines), canvas);
    element.addEventListener("keydown", (event) => pressed(event, chart));
    element.addEventListener("focus", () => values.setAttribute("aria-live", "polite"));
    element.addEventListener("blur", () => values.removeAttribute("aria-live"));
    return chart;
  }

  function options(chart, isLast) {
    const axis = { stroke: () => colour("--soft"), font: "12px system-ui, sans-serif",
      grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false } };
    return {
      width: Math.max(240, place.clientWidth),
      height: HEIGHT + (isLast ? 20 : 0),
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, dist: 4 }, sync: { key: "lab" } },
      scales: {
        x: { time: false, range: (_plot, from, to) => [from ?? 0, to ?? END] },
        y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.06 : 1] },
      },
      axes: [
        { ...axis, size: isLast ? 42 : 26, label: isLast ? "Time (s)" : undefined, labelSize: 16, labelGap: 0, labelFont: "12px system-ui, sans-serif" },
        { ...axis, size: AXIS_WIDTH, values: (_plot, splits) => splits.map((one) => one === null ? "" : one.toLocaleString("en")) },
      ],
      series: [{}, ...chart.lines.map((line) => drawn(line, chart.kind))],
      hooks: {
        drawClear: [shadeUnmeasured],
        draw: [(plot) => drawMarks(plot, chart)],
        setCursor: [() => say(chart)],
        setScale: [(plot, key) => { if (key === "x") zoomed(plot); }],
      },
    };
  }

  // --- zoom --------------------------------------------------------------------------------------------------

  function zoomed(plot) {
    const { min, max } = plot.scales.x;
    if (min === shown[0] && max === shown[1]) return;
    zoom(min, max);
  }

  function zoom(from, to) {
    const width = Math.min(END, Math.max(LEAST_RANGE, to - from));
    const start = Math.min(Math.max(0, from), END - width);
    shown = [start, start + width];
    for (const { plot } of charts) {
      if (plot.scales.x.min !== shown[0] || plot.scales.x.max !== shown[1]) plot.setScale("x", { min: shown[0], max: shown[1] });
    }
    range.textContent = seconds(shown[0]).replace(" s", "") + " to " + seconds(shown[1]);
  }

  function zoomBy(factor, middle) {
    const at = middle ?? (shown[0] + shown[1]) / 2;
    zoom(at - (at - shown[0]) * factor, at + (shown[1] - at) * factor);
  }

  function pressed(event, { plot }) {
    const width = shown[1] - shown[0];
    const at = plot.cursor.left >= 0 ? plot.posToVal(plot.cursor.left, "x") : (shown[0] + shown[1]) / 2;
    const step = width / 100 * (event.key === "ArrowLeft" ? -1 : 1);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") zoomBy(0.5, at);
    else if (event.key === "-") zoomBy(2, at);
    else if (event.key === "Escape" || event.key === "0") zoom(0, END);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      if (event.shiftKey) zoom(shown[0] + 10 * step, shown[1] + 10 * step);
      const to = event.shiftKey ? at + 10 * step : Math.min(Math.max(at + step, shown[0]), shown[1]);
      plot.setCursor({ left: plot.valToPos(to, "x"), top: 10 });
    } else return;
    event.preventDefault();
  }

  // --- the controls ------------------------------------------------------------------------------------------

  function toggle(number, key) {
    if (hidden.has(number)) hidden.delete(number); else hidden.add(number);
    key.setAttribute("aria-pressed", String(!hidden.has(number)));
    for (const { plot, lines } of charts) {
      lines.forEach((line, at) => { if (line.series === number) plot.setSeries(at + 1, { show: !hidden.has(number) }); });
    }
  }

  function show(number) {
    for (const { plot } of charts) plot.destroy();
    charts = [];
    place.replaceChildren();
    keys.replaceChildren();
    hidden.clear();
    view = given.views[number];
    view.series.forEach(function (series, at) {
      const key = document.createElement("button");
      key.type = "button";
      key.className = "key";
      key.title = "Trial " + series.trial + ". Press to hide or show it.";
      key.setAttribute("aria-pressed", "true");
      const swatch = document.createElement("i");
      swatch.className = "swatch";
      swatch.style.setProperty("--swatch", visible(series.colours.cwnd));
      key.append(swatch, series.label);
      key.addEventListener("click", () => toggle(at, key));
      keys.append(key);
    });
    const kinds = given.charts.filter((kind) => view.lines.some((line) => line.chart === kind.id));
    charts = kinds.map((kind, at) => made(kind, at === kinds.length - 1));
    zoom(...shown);
  }

  box.hidden = false;
  given.views.forEach(function (one, number) {
    const option = document.createElement("option");
    option.value = String(number);
    option.textContent = one.title || "all flows";
    select.append(option);
  });
  select.closest("label").hidden = given.views.length < 2;
  select.addEventListener("change", () => show(Number(select.value)));
  box.querySelector("[data-zoom=in]").addEventListener("click", () => zoomBy(0.5));
  box.querySelector("[data-zoom=out]").addEventListener("click", () => zoomBy(2));
  box.querySelector("[data-zoom=all]").addEventListener("click", () => zoom(0, END));
  new ResizeObserver(function () {
    for (const { plot } of charts) {
      const width = Math.max(240, place.clientWidth);
      if (plot.width !== width) plot.setSize({ width: width, height: plot.height });
    }
  }).observe(place);
  document.addEventListener("lab-theme", function () {
    view.series.forEach((series, at) => keys.children[at].firstChild.style.setProperty("--swatch", visible(series.colours.cwnd)));
    for (const { plot } of charts) plot.redraw(false);
  });
  show(0);
})();
