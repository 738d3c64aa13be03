// check.mjs key [cost]: 5 calls a minute, with the Node client ioredis.
import { Redis } from "ioredis";

const redis = new Redis(process.env.REDIS_URL ?? "redis://127.0.0.1:6379", {
  connectTimeout: 1000,
  commandTimeout: 1000,
  maxRetriesPerRequest: 0, // never send a check twice: it may have been counted
});
redis.on("error", () => {}); // the call below fails too, and tells

const [key, cost = "1"] = process.argv.slice(2);
try {
  const reply = await redis.call("RATELIMIT.CHECK", key, 5, 60, "COST", cost);
  const [allowed, limit, remaining, retryAfterMs] = reply;
  if (allowed) console.log(`allowed, ${remaining} remaining`);
  else if (retryAfterMs === -1) console.log("denied, can never pass");
  else console.log(`denied, retry in ${retryAfterMs} ms`);
} catch (error) {
  console.error(`unchecked: ${error.message}`); // let it pass or deny it: your choice
  process.exitCode = 1;
}
redis.disconnect();
