// The form, the stream of events, and what they show. The service simulates; this page only watches.
import { TICKS_SHOWN, drawRates, drawUsage } from "./chart.js";
import { open } from "./stream.js";

const TRAFFIC = {
  steady: "Calls at equal intervals.",
  bursty: "Every two seconds, the calls of two seconds at once.",
  boundary: "As many calls as the limit just before the edge of the window, and again just after it.",
};
const PRESETS = {
  boundary: { algorithms: ["fixed", "sliding"], limit: 10, window: "5s", burst: "", traffic: "boundary", clients: 3, rate: 3, seconds: 40 },
  bucket: { algorithms: ["fixed", "bucket"], limit: 10, window: "10s", burst: 20, traffic: "steady", clients: 2, rate: 4, seconds: 45 },
  shared: { algorithms: ["sliding"], limit: 20, window: "10s", burst: "", traffic: "bursty", clients: 4, rate: 4, seconds: 45 },
};
/** Sources that share one count among all instances, or repeat an earlier answer of such a source. */
const SHARED_SOURCES = ["module", "script", "known_denial"];
/** The trouble is over after this many ticks in a row without trouble. */
const CALM_TICKS = 10;
const LOG_ROWS = 100;

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
  $("traffic-hint").textContent = TRAFFIC[data.get("traffic")];
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
  const totals = run?.series.map(({ title, allowed, denied }) => `${title}: ${allowed} allowed, ${denied} denied`);
  showState("idle", [how, ...(totals ?? [])].join(". "));
}

/** A run that goes on after a lost connection keeps its results. */
function begin({ algorithms, clients, limit, burst, window_ms, run: name }) {
  if (run?.name === name) return showState("running", "Running again");
  const seconds = Number(form.elements.seconds.value);
  run = { name, limit, burst, window_ms, seconds, calm: 0, troubled: false, instances: new Map(), left_out: 0 };
  $("panels").replaceChildren();
  $("log").tBodies[0].replaceChildren();
  $("log-empty").hidden = false;
  $("log-more").textContent = "";
  $("trouble").hidden = true;
  run.series = algorithms.map((algorithm) => panel(algorithm, clients));
  showState("running", "Running");
}

function take(tick) {
  run.series.forEach((series, i) => takeSeries(series, tick.series[i]));
  for (const [name, count] of Object.entries(tick.instances))
    run.instances.set(name, (run.instances.get(name) ?? 0) + count);
  $("progress").style.inlineSize = `${Math.min(100, tick.at_ms / run.seconds / 10)}%`;
  watch(tick);
  logTick(tick);
  showInstances();
  requestAnimationFrame(draw);
}

function takeSeries(series, { allowed, denied, clients }) {
  series.allowed += allowed;
  series.denied += denied;
  const highest = (field) => Math.max(...clients.map((client) => client[field]));
  series.most = Math.max(series.most, highest("most_in_window"));
  series.ticks.push({ allowed, denied, used: highest("in_window") });
  if (series.ticks.length > TICKS_SHOWN) series.ticks.shift();
  series.clients = clients;
}

/** Shows when answers do not come from the shared count, and when they do again. */
function watch({ sources, failed }) {
  const alone = Object.keys(sources).filter((name) => !SHARED_SOURCES.includes(name));
  const isTroubled = failed > 0 || alone.length > 0;
  run.calm = isTroubled ? 0 : run.calm + Object.keys(sources).length;
  if (isTroubled) {
    run.troubled = true;
    $("trouble").textContent = trouble(alone, failed);
    $("trouble").hidden = false;
  } else if (run.troubled && run.calm >= CALM_TICKS) {
    run.troubled = false;
    $("trouble").hidden = true;
    showState("running", "Redis answers again: one count for all instances");
  }
}

function trouble(alone, failed) {
  if (alone.includes("memory")) return "No Redis (BACKEND=memory): every instance counts in its own memory.";
  if (alone.includes("open")) return "Redis does not answer. Until it does, every request is allowed and not counted.";
  if (alone.length > 0) return "Redis does not answer. Until it does, every instance decides alone, by its share of the limit.";
  return `No decision for ${failed} requests: Redis or an instance does not answer.`;
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
  const rows = Array.from({ length: clients }, (_, i) => clientRow(i + 1));
  element.querySelector("tbody").append(...rows);
  $("panels").append(element);
  return { algorithm, title, element, rows, ticks: [], clients: [], allowed: 0, denied: 0, most: 0 };
}

function clientRow(number) {
  const row = document.createElement("tr");
  row.append(cell(`${number}`, "th"), cell(""), cell(""), cell(""), cell(""));
  row.cells[1].className = "remaining";
  return row;
}

function cell(text, kind = "td") {
  const made = document.createElement(kind);
  if (kind === "th") made.scope = "row";
  made.textContent = text;
  return made;
}

function draw() {
  for (const series of run.series) {
    const show = (name, text) => { series.element.querySelector(`[data-figure=${name}]`).textContent = text; };
    show("allowed", series.allowed);
    show("denied", series.denied);
    show("most", `${series.most} of ${run.limit}`);
    show("verdict", verdict(series));
    series.element.classList.toggle("over", series.most > run.limit);
    drawRates(series.element.querySelector(".rates"), series.ticks);
    drawUsage(series.element.querySelector(".usage"), series.ticks, run.limit);
    series.clients.forEach((client, i) => showClient(series.rows[i], client, capacity(series)));
  }
}

/** The most that can be allowed at once. */
function capacity({ algorithm }) {
  return algorithm === "bucket" ? run.burst : run.limit;
}

function verdict({ algorithm, most }) {
  const within = `within ${duration(run.window_ms)}`;
  if (algorithm === "bucket" && most > run.limit)
    return `${most} allowed ${within}: the bucket’s ${run.burst}, and what has refilled since.`;
  if (most <= run.limit) return `Never more than the limit of ${run.limit} ${within}.`;
  return `${most} allowed ${within}: ${(most / run.limit).toFixed(1)} times the limit.`;
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
  const items = [...run.instances].sort().map(([name, count]) => {
    const item = document.createElement("li");
    item.dataset.instance = name;
    item.append(...[name, `${count}`].map((text) => Object.assign(document.createElement("span"), { textContent: text })));
    item.style.setProperty("--share", `${(count / total) * 100}%`);
    return item;
  });
  $("instances").replaceChildren(...items);
}

function logTick(tick) {
  const denials = tick.series.flatMap((series, i) => series.denials.map((one) => ({ ...one, title: run.series[i].title })));
  const body = $("log").tBodies[0];
  for (const { at_ms, title, client, retry_after_ms, instance } of denials.sort((a, b) => a.at_ms - b.at_ms)) {
    const row = document.createElement("tr");
    const wait = retry_after_ms < 0 ? "for ever" : duration(retry_after_ms);
    row.append(...[`${(at_ms / 1000).toFixed(2)} s`, title, client + 1, wait, instance].map((text) => cell(text)));
    body.prepend(row);
  }
  while (body.rows.length > LOG_ROWS) body.lastElementChild.remove();
  run.left_out += tick.series.reduce((sum, series) => sum + series.denials_left_out, 0);
  if (body.rows.length > 0) $("log-empty").hidden = true;
  if (run.left_out > 0) $("log-more").textContent = `${run.left_out} more are not listed.`;
}

/** Two or three significant digits. */
function number(value) {
  return `${+value.toPrecision(value < 10 ? 2 : 3)}`;
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
window.addEventListener("resize", () => run && requestAnimationFrame(draw));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => run && requestAnimationFrame(draw));
adapt();
