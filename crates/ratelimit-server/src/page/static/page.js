// The form, the stream of events, and what they show. The service simulates; this page only watches.
import { SHOWN_MS, drawRates, drawUsage } from "./chart.js";
import * as now from "./now.js";
import { open } from "./stream.js";
import { Watch } from "./watch.js";

const TRAFFIC = {
  steady: "Calls at equal intervals.",
  bursty: "Every two seconds, the calls of two seconds at once.",
  boundary: "As many calls as the limit just before the edge of the window, and again just after it.",
};
const PRESETS = {
  boundary: { algorithms: ["fixed", "sliding"], limit: 10, window: "5s", burst: "", traffic: "boundary", clients: 3, rate: 3, seconds: 40 },
  bucket: { algorithms: ["fixed", "bucket"], limit: 10, window: "10s", burst: 20, traffic: "steady", clients: 2, rate: 4, seconds: 45 },
  shared: { algorithms: ["fixed"], limit: 20, window: "5s", burst: "", traffic: "bursty", clients: 4, rate: 5, seconds: 45 },
};
const LOG_ROWS = 100;

/** Charts then move once a second, not at each tick. */
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const $ = (id) => document.getElementById(id);
const form = $("form");
let closeStream = null;
let run = null;

// --- the form -----------------------------------------------------------------------------------

/** What starts the simulation. The service validates it, so what is no number is sent as it is. */
function parameters() {
  const data = new FormData(form);
  const sent = { algorithms: data.getAll("algorithms") };
  for (const name of ["limit", "window", "burst", "traffic", "clients", "rate", "seconds"]) {
    const text = (data.get(name) ?? "").trim();
    const isNumber = !["window", "traffic"].includes(name) && /^(0|[1-9]\d{0,15})$/.test(text);
    if (text !== "") sent[name] = isNumber ? Number(text) : text;
  }
  if (!sent.algorithms.includes("bucket")) delete sent.burst;
  return sent;
}

/** Fields that have no effect with this choice cannot be edited. */
function adapt() {
  const data = new FormData(form);
  form.elements.burst.disabled = !data.getAll("algorithms").includes("bucket");
  // Read-only, so that it is still sent: the service asks for it in every case.
  form.elements.rate.readOnly = data.get("traffic") === "boundary";
  form.elements.rate.closest("label").classList.toggle("unused", form.elements.rate.readOnly);
  form.elements.burst.closest("label").classList.toggle("unused", form.elements.burst.disabled);
  $("traffic-hint").textContent = TRAFFIC[data.get("traffic")];
  if (!run?.name) preview();
}

function fill(preset) {
  for (const [name, value] of Object.entries(preset)) {
    const field = form.elements[name];
    if (name === "algorithms") for (const box of field) box.checked = value.includes(box.value);
    else field.value = value;
  }
  adapt();
}

function showError({ field, detail }) {
  clearError();
  $("error").textContent = detail;
  $("error").hidden = false;
  const control = form.elements[field];
  const first = control?.[0] ?? control;
  first?.setAttribute?.("aria-invalid", "true");
  first?.focus?.();
}

function clearError() {
  $("error").hidden = true;
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
}

// --- the stream ---------------------------------------------------------------------------------

function start() {
  stop();
  clearError();
  showState("running", "Starting …");
  closeStream = open(parameters(), {
    start: begin,
    tick: take,
    end: () => finish("Finished"),
    lost: () => showState("lost", "The service does not answer. Trying again …"),
    refused: (problem) => {
      stop();
      showError(problem);
      showState("idle", "Not started");
    },
  });
  $("start").textContent = "Stop";
}

function stop() {
  closeStream?.();
  closeStream = null;
  $("start").textContent = "Start";
}

function finish(how) {
  stop();
  if (run) drawSoon();
  const totals = run?.series.map(({ title, allowed, denied }) => `${title}: ${allowed} allowed, ${denied} denied`);
  showState("idle", [how, ...(totals ?? [])].join(". "));
}

/** A run that goes on after a lost connection keeps its results. */
function begin(started) {
  if (run?.name === started.run) {
    mark(run.now, "Running again");
    return showState("running", "Running again");
  }
  prepare(started);
  $("welcome").hidden = true;
  $("instances").replaceChildren();
  showState("running", "Running");
}

/** Panels without results, for a simulation that is about to run, or could. */
function prepare({ algorithms, clients, limit, burst, window_ms, seconds, run: name }) {
  run = { name, limit, burst, window_ms, seconds, now: 0, drawn_ms: 0, watch: new Watch(), marks: [], instances: new Map(), left_out: 0 };
  $("panels").replaceChildren();
  $("log").tBodies[0].replaceChildren();
  $("log-empty").hidden = false;
  $("log-more").textContent = "";
  $("moments").replaceChildren();
  $("trouble").hidden = true;
  $("progress").style.inlineSize = "0";
  run.series = algorithms.map((algorithm) => panel(algorithm, clients));
  drawSoon();
}

/** Before the first simulation, the panels follow the form, as far as its values are numbers. */
function preview() {
  const { algorithms, limit, burst, clients, seconds } = parameters();
  const most = typeof limit === "number" ? limit : 10;
  const shown = Math.min(20, typeof clients === "number" ? clients : 1);
  prepare({ algorithms, limit: most, burst: burst ?? most, clients: shown, window_ms: windowMs(), seconds });
}

/** The window of the form in milliseconds; any number where the form has none. */
function windowMs() {
  const [, count, unit] = /^(\d+)(ms|s|m|h|d)?$/.exec(form.elements.window.value.trim()) ?? [0, 10, "s"];
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  return Math.max(1, count * units[unit ?? "s"]);
}

function take(tick) {
  run.now = tick.at_ms;
  run.series.forEach((series, i) => takeSeries(series, tick.series[i]));
  for (const [name, count] of Object.entries(tick.instances))
    run.instances.set(name, (run.instances.get(name) ?? 0) + count);
  $("progress").style.inlineSize = `${Math.min(100, tick.at_ms / run.seconds / 10)}%`;
  watch(tick);
  logTick(tick);
  showInstances();
  if (!calm.matches || tick.at_ms - run.drawn_ms >= 1000) drawSoon();
}

function takeSeries(series, { allowed, denied, clients }) {
  series.allowed += allowed;
  series.denied += denied;
  const highest = (field) => Math.max(...clients.map((client) => client[field]));
  series.most = Math.max(series.most, highest("most_in_window"));
  series.ticks.push({ at_ms: run.now, allowed, denied, used: highest("in_window") });
  while (series.ticks[0].at_ms < run.now - SHOWN_MS) series.ticks.shift();
  series.clients = clients;
}

/** Shows what is wrong, and marks the moments at which it began and ended. */
function watch(tick) {
  const wasTroubled = run.watch.text !== "";
  for (const text of run.watch.take(tick)) mark(tick.at_ms, text);
  const { text } = run.watch;
  if ($("trouble").textContent !== text) $("trouble").textContent = text;
  $("trouble").hidden = text === "";
  if (wasTroubled && text === "") showState("running", "All is well again: one count for all instances");
}

/** Marks a moment on the charts, and lists it. */
function mark(at_ms, text) {
  run.marks.push({ at_ms, text });
  $("moments").append(Object.assign(document.createElement("li"), { textContent: `${seconds(at_ms, 1)}: ${text}` }));
}

function showState(kind, text) {
  const state = $("state");
  if (state.textContent === text) return;
  state.textContent = text;
  state.dataset.kind = kind;
}

// --- the results ------------------------------------------------------------------------------

function panel(algorithm, clients) {
  const box = [...form.elements.algorithms].find((one) => one.value === algorithm);
  const title = box.parentElement.textContent.trim();
  const element = $("panel").content.firstElementChild.cloneNode(true);
  element.dataset.algorithm = algorithm;
  element.querySelector("h2").textContent = title;
  element.querySelector(".about").textContent = box.dataset.about;
  element.querySelector("[data-figure=permitted]").textContent = `Rate, of ${number((run.limit * 1000) / run.window_ms)}/s`;
  element.querySelector("[data-figure=bound]").textContent = boundText(algorithm);
  const rows = Array.from({ length: clients }, (_, i) => clientRow(i + 1));
  element.querySelector("tbody").append(...rows);
  $("panels").append(element);
  return { algorithm, title, element, rows, ticks: [], clients: [], allowed: 0, denied: 0, most: 0 };
}

function clientRow(number) {
  const row = document.createElement("tr");
  row.append(cell(`${number}`, "th"), ...["–", "–", "–", "–"].map((text) => cell(text)));
  row.cells[1].className = "remaining";
  return row;
}

function cell(text, kind = "td") {
  const made = document.createElement(kind);
  if (kind === "th") made.scope = "row";
  made.textContent = text;
  return made;
}

function drawSoon() {
  run.drawn_ms = run.now;
  requestAnimationFrame(draw);
}

/** All panels have one scale, so that their charts can be compared. */
function draw() {
  const highest = (field) => Math.max(0, ...run.series.flatMap(({ ticks }) => ticks.map((tick) => tick[field])));
  const rates = { up: highest("allowed"), down: highest("denied") };
  const used = Math.max(highest("used"), ...run.series.map(bound));
  const { now, marks } = run;
  for (const series of run.series) {
    const show = (name, text) => { series.element.querySelector(`[data-figure=${name}]`).textContent = text; };
    show("allowed", series.allowed);
    show("denied", series.denied);
    show("most", `${series.most} of ${bound(series)}`);
    show("verdict", run.name ? verdict(series) : "");
    series.element.classList.toggle("over", series.most > bound(series));
    drawRates(series.element.querySelector(".rates"), series.ticks, { now, scale: rates, marks });
    drawUsage(series.element.querySelector(".usage"), series.ticks, { now, scale: used, bound: bound(series), marks });
    series.clients.forEach((client, i) => showClient(series.rows[i], client, capacity(series)));
  }
}

/** The most that the algorithm means to allow within one window: a bucket also what refills in it. */
function bound({ algorithm }) {
  return algorithm === "bucket" ? run.burst + run.limit : run.limit;
}

function boundText(algorithm) {
  return algorithm === "bucket" ? `the burst and one refill, ${run.burst} + ${run.limit}` : `the limit of ${run.limit}`;
}

/** The most that can be allowed at once. */
function capacity({ algorithm }) {
  return algorithm === "bucket" ? run.burst : run.limit;
}

function verdict({ algorithm, most }) {
  const within = `within ${duration(run.window_ms)}`;
  const limit = bound({ algorithm });
  if (most > limit) return `${calls(most)} allowed ${within}: ${(most / limit).toFixed(1)} times the limit.`;
  if (algorithm !== "bucket") return `Never more than the limit of ${limit} ${within}.`;
  return `Never more ${within} than the burst of ${run.burst} and the ${run.limit} that refill.`;
}

function calls(count) {
  return count === 1 ? "1 call" : `${count} calls`;
}

function showClient(row, { remaining, reset_after_ms, in_window, instance }, most) {
  const rate = (in_window * 1000) / run.window_ms;
  const texts = [remaining ?? "–", duration(reset_after_ms), `${number(rate)}/s`, instance];
  texts.forEach((text, i) => { row.cells[i + 1].textContent = text; });
  const share = Math.min(1, (remaining ?? 0) / Math.max(1, most));
  row.cells[1].style.setProperty("--share", `${share * 100}%`);
}

function showInstances() {
  if (run.instances.size === 0) return;
  const total = [...run.instances.values()].reduce((sum, count) => sum + count, 0);
  const { troubles } = run.watch;
  const items = [...run.instances].sort().map(([name, count]) =>
    instanceItem(name, troubles.get(name) ?? "", calls(count), count / total));
  $("instances").replaceChildren(...items);
}

/** Before the first simulation: the instances, and whether Redis decides for them. */
async function showIdleInstances() {
  const all = await now.instances().catch(() => []);
  if (run.name || all.length === 0) return;
  const state = (told) => (!told ? "does not answer" : told.backend.is_up ? "ready" : "without Redis");
  $("instances").replaceChildren(...all.map(({ address, now: told }) =>
    instanceItem(told?.instance ?? address, "", state(told), 0)));
}

function instanceItem(name, trouble, text, share) {
  const item = document.createElement("li");
  item.dataset.instance = name;
  item.append(...[name, trouble, text].map((part) => Object.assign(document.createElement("span"), { textContent: part })));
  item.children[1].className = "trouble";
  item.style.setProperty("--share", `${share * 100}%`);
  return item;
}

function logTick(tick) {
  const denials = tick.series.flatMap((series, i) => series.denials.map((one) => ({ ...one, title: run.series[i].title })));
  const body = $("log").tBodies[0];
  for (const { at_ms, title, client, retry_after_ms, instance } of denials.sort((a, b) => a.at_ms - b.at_ms)) {
    const row = document.createElement("tr");
    const wait = retry_after_ms < 0 ? "for ever" : duration(retry_after_ms);
    row.append(...[seconds(at_ms, 2), title, client + 1, wait, instance].map((text) => cell(text)));
    body.prepend(row);
  }
  while (body.rows.length > LOG_ROWS) body.lastElementChild.remove();
  run.left_out += tick.series.reduce((sum, series) => sum + series.denials_left_out, 0);
  if (body.rows.length > 0) $("log-empty").hidden = true;
  if (run.left_out > 0) $("log-more").textContent = run.left_out === 1 ? "1 more is not listed." : `${run.left_out} more are not listed.`;
}

/** Two or three significant digits. */
function number(value) {
  return `${+value.toPrecision(value < 10 ? 2 : 3)}`;
}

function seconds(ms, digits) {
  return `${(ms / 1000).toFixed(digits)} s`;
}

function duration(ms) {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 120_000) return `${+(ms / 1000).toFixed(1)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}

// --- begin --------------------------------------------------------------------------------------

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (closeStream) finish("Stopped");
  else start();
});
form.addEventListener("input", adapt);
for (const button of document.querySelectorAll("[data-preset]")) {
  button.addEventListener("click", () => {
    fill(PRESETS[button.dataset.preset]);
    start();
    if (matchMedia("(max-width: 60rem)").matches) $("results").scrollIntoView();
  });
}
window.addEventListener("pagehide", stop);
window.addEventListener("resize", () => drawSoon());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawSoon());

/** The view that the address names: #now, or the simulation. */
function showView() {
  const isNow = location.hash === "#now";
  $("simulation").hidden = isNow;
  $("now").hidden = !isNow;
  for (const link of document.querySelectorAll("nav a")) {
    if ((link.hash === "#now") === isNow) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (isNow) return now.start();
  now.stop();
  if (run) drawSoon();
}
window.addEventListener("hashchange", showView);
adapt();
showView();
showIdleInstances();
