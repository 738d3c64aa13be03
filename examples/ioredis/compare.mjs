// compare.mjs: three ways to send RATELIMIT.CHECK with ioredis to a cluster, by calls a second and
// by calls that reach a wrong node (MOVED). REDIS_URL names any node; its database is written to.
import { Cluster, Command } from "ioredis";

const cluster = new Cluster([process.env.REDIS_URL ?? "redis://127.0.0.1:6379"]);
cluster.defineCommand("ratelimitCheck", {
  numberOfKeys: 1,
  lua: 'return redis.pcall("RATELIMIT.CHECK", KEYS[1], unpack(ARGV))',
});

function check(redis, key, ...words) {
  const command = new Command("RATELIMIT.CHECK", [key, ...words], { replyEncoding: "utf8" });
  command.keys = [key];
  redis.sendCommand(command);
  return command.promise;
}

const pairs = [1000000, 60, 50000000, 3600];
const ways = {
  call: (key) => cluster.call("RATELIMIT.CHECK", key, ...pairs),
  Command: (key) => check(cluster, key, ...pairs),
  defineCommand: (key) => cluster.ratelimitCheck(key, ...pairs),
};
const keys = Array.from({ length: 300 }, (_, i) => `compare:${i}`);

async function movedReplies(node) {
  const info = await node.info("errorstats");
  return Number(/errorstat_MOVED:count=(\d+)/.exec(info)?.[1] ?? 0);
}
async function moved() {
  const counts = await Promise.all(cluster.nodes("master").map(movedReplies));
  return counts.reduce((sum, count) => sum + count, 0);
}

// Fifty calls at a time.
async function callsPerSecond(way, calls = 20000) {
  let begun = 0;
  const start = process.hrtime.bigint();
  const caller = async () => {
    while (begun < calls) await way(keys[begun++ % keys.length]);
  };
  await Promise.all(Array.from({ length: 50 }, caller));
  return Math.round(calls / (Number(process.hrtime.bigint() - start) / 1e9));
}

for (const way of Object.values(ways)) await callsPerSecond(way, 2000);
for (const [name, way] of Object.entries(ways)) {
  const before = await moved();
  await Promise.all(keys.map(way));
  const rates = [];
  const wrong = (await moved()) - before;
  for (let round = 0; round < 5; round++) rates.push(await callsPerSecond(way));
  rates.sort((a, b) => a - b);
  console.log(`${name}: ${rates[2]} calls/s (${rates[0]} to ${rates[4]}), MOVED ${wrong} of 300`);
}
cluster.disconnect();
