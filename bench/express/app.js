// A rate-limited program as many articles build it: Express with its defaults, node-redis, and the
// script that counts with GET, SET ... EX and INCR. It gives the same replies to `GET /` as
// ratelimit-server. It is one process, as Express is by default. Nothing slows it down: it writes
// no log, runs the script by its digest, and has one connection to Redis, which sends calls of the
// same moment together.
// usage: NODE_ENV=production PORT= REDIS_PORT= RATE_LIMIT= TIME_WINDOW= KEY_PREFIX= SCRIPT=file node app.js
import { readFileSync } from 'node:fs';
import express from 'express';
import { createClient } from 'redis';

const { PORT, REDIS_PORT, RATE_LIMIT, TIME_WINDOW, KEY_PREFIX, SCRIPT } = process.env;

const client = createClient({ socket: { host: '127.0.0.1', port: Number(REDIS_PORT) } });
client.on('error', (error) => {
  console.error(error);
  process.exit(1);
});
await client.connect();
const script = await client.scriptLoad(readFileSync(SCRIPT, 'utf8'));

const limited = async (request, response, next) => {
  const call = { keys: [KEY_PREFIX + request.ip], arguments: [RATE_LIMIT, TIME_WINDOW] };
  if ((await client.evalSha(script, call)) === 1) return next();
  response.status(429).json({ message: 'Too many requests. Please try again later.' });
};

const app = express();
app.get('/', limited, (request, response) => {
  response.type('text/plain').send('Welcome to the Rate Limited API!');
});
app.listen(Number(PORT), '127.0.0.1', (error) => {
  if (error) throw error;
});
