// Follows what becomes of the requests to each instance, and says in words what is wrong.

/** Sources that share one count among all instances. A known denial repeats an earlier answer. */
const SHARED = ["module", "script"];
const REPEATED = "known_denial";
/** An instance counts as well again after this many shared answers without any other. */
const CALM_ANSWERS = 10;

/** What one tick says of an instance; `null` if it says nothing. */
function stateIn(outcomes) {
  const names = Object.keys(outcomes).filter((name) => name !== REPEATED);
  if (names.length === 0) return null;
  if (names.every((name) => SHARED.includes(name))) return "shared";
  if (names.some((name) => SHARED.includes(name))) return "mixed";
  return ["unreachable", "undecided", "memory", "open", "local"].find((name) => names.includes(name));
}

export class Watch {
  /** By instance: its name, its state, and how many shared answers it gave since the last trouble. */
  #peers = [];

  /** Takes a tick, and returns the changes: a list of texts. */
  take({ peers }) {
    const before = this.#peers;
    const wereAll = (state) => before.length > 0 && before.every((peer) => peer.state === state);
    this.#peers = peers.map((peer, i) => follow(before[i], peer));
    const changed = this.#peers.filter((peer, i) => peer.state !== before[i]?.state && peer.state);
    if (this.#areAll("local") || this.#areAll("open")) return wereAll(this.#peers[0].state) ? [] : ["Redis gone"];
    return changed.flatMap((peer) => change(peer, before[this.#peers.indexOf(peer)]?.state));
  }

  #areAll(state) {
    return this.#peers.every((peer) => peer.state === state);
  }

  /** By name, what is wrong with an instance. */
  get troubles() {
    const words = { unreachable: "does not answer", undecided: "does not decide", local: "decides alone", open: "allows all" };
    return new Map(this.#peers.map(({ name, state }) => [name, words[state]]).filter(([, words]) => words));
  }

  /** What is wrong, in sentences; empty if nothing is. */
  get text() {
    const named = (state) => this.#peers.filter((peer) => peer.state === state).map((peer) => peer.name);
    const sentences = Object.keys(SENTENCES).map((state) => {
      const names = named(state);
      if (names.length === 0) return "";
      return names.length === this.#peers.length && names.length > 1 ? SENTENCES[state].all : SENTENCES[state].some(names);
    });
    return sentences.filter(Boolean).join(" ");
  }
}

const list = (names) => (names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names[0]);
/** The verb for one or for several. */
const verb = (names, one, several) => `${list(names)} ${names.length === 1 ? one : several}`;

const SENTENCES = {
  unreachable: {
    all: "No instance answers.",
    some: (names) => `${verb(names, "does", "do")} not answer.`,
  },
  undecided: {
    all: "No instance decides: Redis does not answer, and ON_REDIS_FAILURE is closed.",
    some: (names) => `${verb(names, "answers", "answer")} without a decision.`,
  },
  memory: {
    all: "No Redis (BACKEND=memory): every instance counts in its own memory.",
    some: (names) => `No Redis (BACKEND=memory): ${verb(names, "counts", "count")} in its own memory.`,
  },
  open: {
    all: "Redis does not answer: every instance allows every request, and counts none.",
    some: (names) => `${verb(names, "gets", "get")} no answer of Redis, and ${names.length === 1 ? "allows" : "allow"} every request.`,
  },
  local: {
    all: "Redis does not answer: every instance decides alone, by its share of the limit.",
    some: (names) => `${verb(names, "gets", "get")} no answer of Redis, and ${names.length === 1 ? "decides" : "decide"} alone.`,
  },
};

function follow(before, { name, outcomes }) {
  const found = stateIn(outcomes);
  const answers = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  const last = before?.state ?? null;
  if (found === null) return { name, state: last, calm: before?.calm ?? 0 };
  if (found === "mixed") return { name, state: last, calm: 0 };
  if (found !== "shared") return { name, state: found, calm: 0 };
  const calm = (before?.calm ?? 0) + answers;
  const isWell = last === null || last === "shared" || calm >= CALM_ANSWERS;
  return { name, state: isWell ? "shared" : last, calm };
}

function change({ name, state }, before) {
  if (state === "unreachable") return [`${name} gone`];
  if (state === "shared") return before === null || before === undefined ? [] : [before === "unreachable" ? `${name} back` : `${name} has Redis`];
  return state === "memory" ? [] : [`${name} without Redis`];
}
