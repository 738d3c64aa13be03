// A simulation as a stream of events. An EventSource opens a stream by GET, which any page of another
// site can do as well; this stream is opened by a POST of JSON, which such a page cannot do.

const RETRY_MS = 1000;

/**
 * Starts a simulation and calls `on.start`, `on.tick` and `on.end` with what its events hold. After a
 * lost connection, `on.lost` is called, and the simulation goes on where it was. `on.refused` is called
 * with the service's problem, if it has one. Returns a function that ends the stream.
 */
export function open(parameters, on) {
  const stop = new AbortController();
  follow(parameters, on, stop.signal);
  return () => stop.abort();
}

async function follow(parameters, on, signal) {
  let lastId = "";
  while (!signal.aborted) {
    for await (const { name, id, data } of received(parameters, lastId, signal)) {
      if (signal.aborted) return;
      lastId = id || lastId;
      on[name](JSON.parse(data));
      if (name === "end" || name === "refused") return;
    }
    if (signal.aborted) return;
    on.lost();
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** The events of one connection, until it is lost. A problem of the service is an event `refused`. */
async function* received(parameters, lastId, signal) {
  try {
    const answer = await post(parameters, lastId, signal);
    const isProblem = answer.headers.get("content-type") === "application/problem+json";
    if (isProblem) yield { name: "refused", data: await answer.text() };
    else if (answer.ok) yield* eventsOf(answer.body);
  } catch {
    // No answer, or its end came too early: as if the stream had ended.
  }
}

function post(parameters, lastId, signal) {
  const headers = { "Content-Type": "application/json" };
  if (lastId) headers["Last-Event-ID"] = lastId;
  return fetch("/dashboard/simulation", { method: "POST", headers, body: JSON.stringify(parameters), signal });
}

/** The events of a body, in the form that this service writes: `event`, `id` and `data`, one line each. */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const field = (name) => block.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      yield { name: field("event"), id: field("id"), data: field("data") };
    }
  }
}
