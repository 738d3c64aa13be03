// check.mjs key [cost]: 5 calls a minute and 50 an hour, with the Node client ioredis.
import { Cluster, Command, Redis } from "ioredis";

const url = process.env.REDIS_URL ?? "redis://127.0.0.1:6379";
// A check that may have been counted must not be sent twice: no retries.
const options = { connectTimeout: 1000, commandTimeout: 1000, maxRetriesPerRequest: 0 };
const clusterOptions = {
  redisOptions: options,
  retryDelayOnFailover: 0,
  clusterRetryStrategy: () => null, // a service leaves this out, and so reconnects
};
// For a cluster: REDIS_CLUSTER=1, and the URL of any of its nodes.
const redis = process.env.REDIS_CLUSTER
  ? new Cluster([url], clusterOptions)
  : new Redis(url, options);
redis.on("error", () => {}); // the call below fails too, and tells

// ioredis knows where the key is in its built-in commands only, so this command says it.
function check(redis, key, ...words) {
  const command = new Command("RATELIMIT.CHECK", [key, ...words], { replyEncoding: "utf8" });
  command.keys = [key];
  redis.sendCommand(command);
  return command.promise;
}

const [key, cost = "1"] = process.argv.slice(2);
try {
  const reply = await check(redis, key, 5, 60, 50, 3600, "COST", cost);
  const [allowed, limit, remaining, retryAfterMs] = reply; // more may follow
  if (allowed) console.log(`allowed, ${remaining} remaining`);
  else if (retryAfterMs === -1) console.log("denied, can never pass");
  else console.log(`denied, retry in ${retryAfterMs} ms`);
} catch (error) {
  console.error(`unchecked: ${error.message}`); // let it pass or deny it: your choice
  process.exitCode = 1;
}
redis.disconnect();
