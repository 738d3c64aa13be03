// check.mjs key [cost]: 5 calls a minute and 50 an hour, with the Node client redis.
import { createClient, createCluster } from "redis";

const url = process.env.REDIS_URL ?? "redis://127.0.0.1:6379";
const options = {
  disableOfflineQueue: true, // while the server is away, fail at once
  // A service leaves out reconnectStrategy, and so reconnects.
  socket: { connectTimeout: 1000, reconnectStrategy: false },
};
// For a cluster: REDIS_CLUSTER=1, and the URL of any of its nodes.
const cluster = Boolean(process.env.REDIS_CLUSTER);
const client = cluster
  ? createCluster({ rootNodes: [{ url }], defaults: options })
  : createClient({ url, ...options });
client.on("error", () => {}); // the call below fails too, and tells
// The client has no deadline for a call that was sent.
const deadline = (ms) =>
  new Promise((_, no) => setTimeout(no, ms, new Error("no answer in time")).unref());

const [key, cost = "1"] = process.argv.slice(2);
const words = ["RATELIMIT.CHECK", key, "5", "60", "50", "3600", "COST", cost];
try {
  await Promise.race([client.connect(), deadline(1000)]);
  // In a cluster the key leads to its node; false: the command writes.
  const sent = cluster ? client.sendCommand(key, false, words) : client.sendCommand(words);
  const reply = await Promise.race([sent, deadline(1000)]);
  const [allowed, limit, remaining, retryAfterMs] = reply; // more may follow
  if (allowed) console.log(`allowed, ${remaining} remaining`);
  else if (retryAfterMs === -1) console.log("denied, can never pass");
  else console.log(`denied, retry in ${retryAfterMs} ms`);
} catch (error) {
  console.error(`unchecked: ${error.message}`); // let it pass or deny it: your choice
  process.exitCode = 1;
}
client.destroy();
