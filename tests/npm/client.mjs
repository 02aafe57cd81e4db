// What a producer's npm client does with the local Redis front: node client.mjs SCENARIO URL TOKEN.
// Prints {"result": what the client returned, "paths": the requests that it made}.

import { Redis } from "@upstash/redis";

const [scenario, url, token] = process.argv.slice(2);
const paths = [];
const send = globalThis.fetch;
globalThis.fetch = (target, options) => {
  paths.push(new URL(target).pathname);
  return send(target, options);
};

const redis = new Redis({ url, token, retry: false });
const one = { user_id: "u1", content_id: "c1" };
const two = { user_id: "u2", content_id: "c2" };

const scenarios = {
  object: () => redis.lpush("list", one),
  text: () => redis.lpush("list", JSON.stringify(one)),
  "double text": () => redis.lpush("list", JSON.stringify(JSON.stringify(one))),
  array: () => redis.lpush("list", [one, two]),
  several: () => redis.lpush("list", one, two),
  date: () => redis.lpush("list", new Date(0)),
  null: () => redis.lpush("list", null),
  "not a number": () => redis.lpush("list", { value: NaN }),
  "large integer": () => redis.lpush("list", { value: 9007199254740993 }),
  "lone surrogate": () => redis.lpush("list", { user_id: "\ud83d" }),
  "bare lone surrogate": () => redis.lpush("list", "\ud83d"),

  "auto-pipelining": () => Promise.all([redis.set("a", "1"), redis.incr("a"), redis.incr("a")]),
  pipeline: () => redis.pipeline().set("a", { b: [1, "é", null] }).get("a").llen("none").exec(),
  multi: () => redis.multi().lpush("list", 1, 2).lpop("list").exec(),
  "failing multi": () => redis.multi().set("a", "1").lpush("a", "2").exec({ keepErrors: true }),
  eval: () => redis.eval("return {KEYS[1], ARGV[1], 7, false}", ["key"], ["argument"]),
  range: () => redis.rpush("list", "OK", "é", 5).then(() => redis.lrange("list", 0, -1)),
  error: () => redis.set("a", "text").then(() => redis.lpush("a", 1)).catch((error) => error.message),
};

const result = await scenarios[scenario]().catch((error) => ({ rejected: error.message }));
console.log(JSON.stringify({ result, paths }));
