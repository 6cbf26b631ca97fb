// SPDX-License-Identifier: Apache-2.0
// The page of `lab watch`: shows what the server sends, and sends what the user asks for.
"use strict";
(function () {
  const given = JSON.parse(document.getElementById("watch-data").textContent);
  const { Chart, shown } = window.labCurves;
  const byId = (id) => document.getElementById(id);
  const play = byId("play"), pace = byId("pace"), span = byId("span"), status = byId("status"), now = byId("now");
  const LEAST_WAIT_MS = 80;

  for (const swatch of document.querySelectorAll("[data-colour]")) swatch.style.setProperty("--swatch", "var(" + swatch.dataset.colour + ")");

  const flows = given.flows.map((flow) => ({ name: flow.name, colour: flow.colour }));
  const windows = given.windows.map((number) => flows[number]);
  const queues = given.queues.map((name, number) => ({ name: name, colour: "--curve-" + (number + 5) % 8 }));
  const place = byId("charts");
  const charts = {
    cwnd: new Chart(place, "Congestion window", "segments", windows),
    rtt: new Chart(place, "Smoothed RTT", "ms", windows),
    goodput: new Chart(place, "Goodput", "Mbit/s", flows),
    queue: new Chart(place, "Queue", "packets", [{ name: "limit", colour: "--soft", dash: [4, 3] }, ...queues]),
  };

  // The charts of what an algorithm records with lab_trace come when its values do, and belong to one trial.
  const OWN = "own:";
  function chartOf(name) {
    if (!(name in charts)) charts[name] = new Chart(place, name.slice(OWN.length), "lab_trace", windows);
    return charts[name];
  }
  function removeOwn() {
    for (const name of Object.keys(charts)) if (name.startsWith(OWN)) { charts[name].remove(); delete charts[name]; }
  }

  let state = { phase: "preparing", playing: false, now_ms: 0, done: [], positions: [], lost: [] }, trial = null, doneText = "";
  const held = new Set();  // Sliders that the user is moving, which the server must not move back.

  // --- what the server sends ---------------------------------------------------------------------------------

  function take(update) {
    if (update.whole || update.trial !== trial) { removeOwn(); for (const chart of Object.values(charts)) chart.clear(); }
    trial = update.trial;
    state = update;
    for (const [name, points] of Object.entries(update.points)) chartOf(name).add(points);
    byId("more-names").hidden = !update.more_names;
    draw();
    showState();
  }

  function draw() {
    const until = Math.max(state.now_ms / 1000, 1), wanted = span.value === "" ? until : Number(span.value);
    const range = [Math.max(0, until - wanted), Math.max(until, Math.min(wanted, given.duration_ms / 1000))];
    const marks = state.done.map((one) => one[0] / 1000);
    for (const chart of Object.values(charts)) chart.draw(range, marks);
  }

  function showState() {
    const isOver = state.phase === "ended" || state.phase === "failed";
    now.textContent = (state.now_ms / 1000).toFixed(1);
    play.disabled = isOver || state.phase === "preparing";
    play.textContent = state.playing ? "Pause" : "Play";
    say(state.message || (state.playing ? "Running." : "Paused."), state.phase === "failed");
    byId("real").textContent = state.real_pace === null ? "" : "now " + state.real_pace.toFixed(2) + " ×";
    for (const slider of document.querySelectorAll("input[type=range]")) {
      slider.disabled = isOver;
      if (!held.has(slider)) show(slider, state.positions[sideOf(slider)][slider.dataset.quantity]);
    }
    showDone();
    showTable();
  }

  let wrong = 0;
  function say(text, isWrong) {
    if (Date.now() < wrong) return;
    if (status.textContent !== text) status.textContent = text;
    status.classList.toggle("wrong", Boolean(isWrong));
  }

  function complain(text) {
    wrong = 0;
    say(text, true);
    wrong = Date.now() + 6000;
  }

  function showDone() {
    const text = JSON.stringify(state.done);
    if (text === doneText) return;
    doneText = text;
    byId("done").replaceChildren(...state.done.map(function ([at, name, quantity, label]) {
      const item = document.createElement("li");
      item.textContent = (at / 1000).toFixed(1) + " s: " + name + ", " + quantity + " " + label;
      return item;
    }));
    byId("nothing").hidden = state.done.length > 0;
    byId("done").lastElementChild?.scrollIntoView({ block: "nearest" });
  }

  function showTable() {
    document.querySelectorAll(".values-now tbody tr").forEach(function (row, number) {
      const own = given.windows.indexOf(number);
      const values = [
        own < 0 ? null : charts.cwnd.latest(own), own < 0 ? null : charts.rtt.latest(own), charts.goodput.latest(number),
      ].map(shown);
      values.push(String(state.lost[given.numbers[number]] || 0));
      values.forEach((value, column) => { row.cells[column + 1].textContent = value; });
    });
  }
  setInterval(() => Object.values(charts).forEach((chart) => chart.describe()), 1000);

  const events = new EventSource("events");
  events.onmessage = (message) => take(JSON.parse(message.data));
  events.addEventListener("end", function () { events.close(); gone(); });
  events.onerror = function () { if (events.readyState === EventSource.CLOSED) gone(); else say("The connection to lab watch is lost.", true); };
  function gone() {
    wrong = 0;
    say("lab watch has ended.", true);
    for (const control of document.querySelectorAll("button:not(#theme), input, .choices #pace")) control.disabled = true;
  }

  // --- what the user asks for --------------------------------------------------------------------------------

  async function ask(what, wish) {
    try {
      const answer = await fetch(what, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish || {}) });
      const found = await answer.json();
      if (found.error) complain(found.error);
      return found;
    } catch (_error) {
      complain("lab watch does not answer.");
      return { error: true };
    }
  }

  const chosenPace = () => pace.value === "" ? null : Number(pace.value);
  play.addEventListener("click", () => state.playing ? ask("pause") : ask("play", { pace: chosenPace() }));
  pace.addEventListener("change", () => ask("play", { pace: chosenPace(), go: state.playing }));
  span.addEventListener("change", draw);
  document.addEventListener("keydown", function (event) {
    const isElsewhere = !event.target.closest("button, select, summary, a, input");
    if (event.key === " " && isElsewhere && !play.disabled) { event.preventDefault(); play.click(); }
  });
  byId("again").addEventListener("click", () => { byId("saved").replaceChildren(); ask("again"); });
  byId("save").addEventListener("click", async function () {
    const found = await ask("save");
    if (found.error) return;
    const text = document.createElement("p"), command = document.createElement("pre"), file = document.createElement("pre");
    text.textContent = "Saved. This repeats it:";
    command.textContent = "lab run " + (/^[\w.\/-]+$/.test(found.path) ? found.path : "'" + found.path.replaceAll("'", "'\\''") + "'");
    file.textContent = found.text;
    file.tabIndex = 0;
    byId("saved").replaceChildren(text, command, file);
  });

  function sideOf(slider) { return Number(slider.closest(".side").dataset.side); }
  function optionsOf(slider) {
    return given.sides[sideOf(slider)].sliders.find((one) => one.quantity === slider.dataset.quantity).options;
  }
  function show(slider, position) {
    if (Number(slider.value) !== position) slider.value = position;
    const label = optionsOf(slider)[position];
    slider.parentElement.querySelector("output").textContent = label;
    slider.setAttribute("aria-valuetext", label);
  }

  // While a slider moves, its newest position is sent again and again, but not more often than the page is updated.
  for (const slider of document.querySelectorAll("input[type=range]")) {
    let waiting = null, sent = Number.NaN;
    async function send() {
      const position = Number(slider.value);
      if (position !== sent) {
        sent = position;
        await ask("change", { side: sideOf(slider), quantity: slider.dataset.quantity, option: position });
      }
      waiting = Number(slider.value) === sent ? null : setTimeout(send, LEAST_WAIT_MS);
      if (waiting === null) { held.delete(slider); sent = Number.NaN; }
    }
    slider.addEventListener("input", function () {
      held.add(slider);
      show(slider, Number(slider.value));
      if (waiting === null) waiting = setTimeout(send, 0);
    });
  }
})();
