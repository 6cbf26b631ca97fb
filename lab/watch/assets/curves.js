// SPDX-License-Identifier: Apache-2.0
// The curves of a watched trial, which grow while virtual time passes.
"use strict";
(function () {
  const HEIGHT = 150, AXIS_WIDTH = 54;
  // How much of the past is kept, in seconds, as in samples.py; and how much is forgotten at a time.
  const KEPT = 15 * 60, FORGOTTEN_AT_A_TIME = 60;

  // A custom property that is light-dark() has to be resolved by an element.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  function colour(name) {
    probe.style.color = "var(" + name + ")";
    return getComputedStyle(probe).color;
  }

  // One chart.  Each of `series` has a name, the custom property of its colour, and perhaps a dash.
  function Chart(place, title, unit, series) {
    const figure = document.createElement("div");
    figure.className = "chart";
    figure.setAttribute("role", "img");
    const head = document.createElement("div");
    head.className = "chart-head";
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = title + " ";
    const soft = document.createElement("span");
    soft.textContent = unit;
    name.append(soft);
    const values = document.createElement("span");
    values.className = "values";
    head.append(name, values);
    figure.append(head);
    place.append(figure);

    let data = [[], ...series.map(() => [])];
    let range = [0, 1], marks = [];

    function drawMarks(plot) {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.strokeStyle = colour("--strong-line");
      ctx.lineWidth = uPlot.pxRatio;
      ctx.setLineDash([3 * uPlot.pxRatio, 3 * uPlot.pxRatio]);
      for (const mark of marks) {
        const at = plot.valToPos(mark, "x", true);
        if (at < bbox.left || at > bbox.left + bbox.width) continue;
        ctx.beginPath();
        ctx.moveTo(at, bbox.top);
        ctx.lineTo(at, bbox.top + bbox.height);
        ctx.stroke();
      }
      ctx.restore();
    }

    const axis = { stroke: () => colour("--soft"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false },
      font: "12px system-ui, sans-serif" };
    const plot = new uPlot({
      width: figure.clientWidth || 600, height: HEIGHT, legend: { show: false }, padding: [6, 18, 0, 0],
      cursor: { sync: { key: "lecture" }, drag: { x: false, y: false }, points: { show: false } },
      scales: {
        x: { time: false, range: () => range },
        y: { range: (_plot, low, high) => [low < 0 ? low * 1.08 : 0, high > 0 ? high * 1.08 : low < 0 ? 0 : 1] },
      },
      axes: [{ ...axis, size: 26, values: (_plot, ticks) => ticks.map((tick) => tick + " s") }, { ...axis, size: AXIS_WIDTH, values: (_plot, ticks) => ticks.map(onAxis) }],
      series: [{}, ...series.map((one) => ({
        label: one.name, stroke: () => colour(one.colour), width: one.dash ? 1 : 1.6, dash: one.dash, spanGaps: true, points: { show: false },
      }))],
      hooks: { draw: [drawMarks], setCursor: [showValues] },
    }, data, figure);

    function showValues() {
      const at = plot.cursor.idx;
      values.textContent = at === null || at === undefined || plot.cursor.left < 0 ? "" :
        data[0][at].toFixed(2) + " s   " + series.map((one, number) => one.name + " " + shown(data[number + 1][at])).join("   ");
    }

    function describe() {
      const last = series.map((one, number) => one.name + " " + shown(latest(number))).join(", ");
      figure.setAttribute("aria-label", title + " in " + unit + " over time; the latest values: " + (last || "none"));
    }

    function latest(number) {
      const column = data[number + 1];
      for (let at = column.length - 1; at >= Math.max(0, column.length - 200); at--) if (column[at] !== null) return column[at];
      return null;
    }

    const resized = new ResizeObserver(() => plot.setSize({ width: figure.clientWidth, height: HEIGHT }));
    resized.observe(figure);
    const redraw = () => plot.redraw();
    document.addEventListener("lab-theme", redraw);
    describe();

    return {
      clear() { data = [[], ...series.map(() => [])]; },
      add(points) {
        for (const time of points.t) data[0].push(time / 1000);
        points.v.forEach((column, number) => { for (const value of column) data[number + 1].push(value); });
        const times = data[0], last = times[times.length - 1];
        if (times[0] < last - KEPT - FORGOTTEN_AT_A_TIME) {
          const first = times.findIndex((time) => time >= last - KEPT);
          data = data.map((column) => column.slice(first));
        }
      },
      draw(newRange, newMarks) { range = newRange; marks = newMarks; plot.setData(data); },
      describe: describe,
      latest: latest,
      remove() {
        resized.disconnect();
        document.removeEventListener("lab-theme", redraw);
        plot.destroy();
        figure.remove();
      },
    };
  }

  // Long numbers have a prefix, for which there is room: 1500000 is 1.5M.
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
  function onAxis(value) {
    return Math.abs(value) >= 1e5 ? compact.format(value) : value.toLocaleString("en");
  }

  function shown(value) {
    if (value === null || value === undefined) return "–";
    return Number(value) >= 100 ? Number(value).toFixed(0) : Number(value).toFixed(1);
  }

  window.labCurves = { Chart: Chart, shown: shown };
})();
