// The second view: what the service does now, by the counters of its instances.

const EVERY_MS = 1000;
const $ = (id) => document.getElementById(id);
let timer = null;
/** By address, the names that instances have told, for when they are gone. */
const names = new Map();

/** Keeps the view current until `stop` is called. */
export function start() {
  stop();
  refresh();
  timer = setInterval(() => document.hidden || refresh(), EVERY_MS);
}

export function stop() {
  clearInterval(timer);
  timer = null;
}

/** The instances as the service tells them: {address, now}. Throws if it does not answer. */
export async function instances() {
  const answer = await fetch("/dashboard/now");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const { instances: all } = await answer.json();
  for (const { address, now } of all) if (now) names.set(address, now.instance);
  return all;
}

async function refresh() {
  try {
    const all = await instances();
    const up = all.map(({ now }) => now).filter(Boolean);
    showInstances(all);
    showPolicies(sum(up.flatMap((now) => now.policies), ({ name, limit }) => `${name} ${limit}`, ["allowed", "denied", "failed"]));
    showDenied(sum(up.flatMap((now) => now.denied_most), ({ key }) => key, ["count"]));
    $("now-lost").hidden = true;
  } catch {
    $("now-lost").hidden = false;
  }
}

/** Adds up the named counts of all items with the same key. */
function sum(items, keyOf, counts) {
  const sums = new Map();
  for (const item of items) {
    const found = sums.get(keyOf(item));
    if (!found) sums.set(keyOf(item), { ...item });
    else for (const count of counts) found[count] += item[count];
  }
  return [...sums.values()];
}

function showInstances(all) {
  const rows = all.map(({ address, now }) => {
    if (!now) return [names.get(address) ?? address, "does not answer", "–", "–"];
    const total = (outcome) => now.policies.reduce((sum, policy) => sum + policy[outcome], 0);
    return [now.instance, backend(now.backend), total("allowed"), total("denied")];
  });
  const isWell = ({ now }) => now?.backend.is_up;
  fill("now-instances", rows, (i) => (isWell(all[i]) ? "" : "wrong"));
}

/** `127.0.0.1:6379 decides`, or why not and what decides instead. */
function backend({ name, is_up, why, meanwhile }) {
  return is_up ? `${name} decides` : `${name} does not decide (${why}): ${meanwhile}`;
}

function showPolicies(policies) {
  const texts = ({ name, requests, limit, allowed, denied, failed }) =>
    [name, requests ?? "/v1/check", limit ?? "of each call", allowed, denied, failed];
  fill("now-policies", policies.map(texts));
}

function showDenied(keys) {
  const most = keys.sort((a, b) => b.count - a.count).slice(0, 10);
  fill("now-denied", most.map(({ key, count }) => [key, count]));
  $("now-denied-empty").hidden = most.length > 0;
}

function fill(id, rows, classOf = () => "") {
  const heads = $(id).tHead.rows[0].cells;
  const made = rows.map((texts, i) => {
    const row = document.createElement("tr");
    row.className = classOf(i);
    row.append(...texts.map((text, column) => {
      const cell = document.createElement(column === 0 ? "th" : "td");
      if (column === 0) cell.scope = "row";
      cell.className = heads[column].className;
      cell.textContent = text;
      return cell;
    }));
    return row;
  });
  $(id).tBodies[0].replaceChildren(...made);
}
