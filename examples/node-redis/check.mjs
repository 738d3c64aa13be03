// check.mjs key [cost]: 5 calls a minute, with the Node client redis.
import { createClient } from "redis";

const client = createClient({
  url: process.env.REDIS_URL ?? "redis://127.0.0.1:6379",
  disableOfflineQueue: true, // while the server is away, fail at once
  // A service leaves out reconnectStrategy, and so reconnects.
  socket: { connectTimeout: 1000, reconnectStrategy: false },
});
client.on("error", () => {}); // the call below fails too, and tells
// The client has no deadline for a call that was sent.
const deadline = (ms) =>
  new Promise((_, no) => setTimeout(no, ms, new Error("no answer in time")).unref());

const [key, cost = "1"] = process.argv.slice(2);
try {
  await Promise.race([client.connect(), deadline(1000)]);
  const check = client.sendCommand(["RATELIMIT.CHECK", key, "5", "60", "COST", cost]);
  const [allowed, limit, remaining, retryAfterMs] = await Promise.race([check, deadline(1000)]);
  if (allowed) console.log(`allowed, ${remaining} remaining`);
  else if (retryAfterMs === -1) console.log("denied, can never pass");
  else console.log(`denied, retry in ${retryAfterMs} ms`);
} catch (error) {
  console.error(`unchecked: ${error.message}`); // let it pass or deny it: your choice
  process.exitCode = 1;
}
client.destroy();
