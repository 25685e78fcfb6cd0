// Runs the built Worker on workerd, as miniflare sets it up, until standard input ends.
//
//   node gateway.mjs MODULES WORKER < {"bindings": {…}, …}\n
//
// MODULES holds `node_modules`, WORKER what `cargo xtask worker build` has made. The first line of standard output says
// where it listens. What the Worker logs goes to standard error. Beside `bindings` may be given:
//
//   kv       names of KV namespaces
//   usage    true: a queue of usage, whose dead letters are logged
//   desks    the source of a module whose class `Desk` stands in for the objects; it has them as `REAL`
//   persist  a directory that outlives it
//
// Each further line asks for one thing and is answered by one line:
//
//   {"put": [NAMESPACE, KEY, TEXT]}   {"list": NAMESPACE}   {"send": MESSAGE}   {"tick": true}   {"forget": true}
//
// To be measured, it is set beside others in the same process: `beside` is a list, for each the path of its module, its
// bindings, and `desks`, whether it has objects of its own class `Desk`. The first lines then say where each of them
// listens by itself, Weir before the others, with nothing of miniflare's before it.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const [modules, worker] = process.argv.slice(2);
const require = createRequire(join(modules, "node_modules", "_"));
// miniflare brings an older one, which loses the books of a stream that its client resets.
process.env.MINIFLARE_WORKERD_PATH ??= require("workerd").default;
const { Log, LogLevel, Miniflare } = require("miniflare");

// miniflare removes its own behind its end, for which there is no time.
const folder = mkdtempSync(join(tmpdir(), "weir-workerd-"));
process.env.TMPDIR = folder;
process.on("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const given = JSON.parse((await lines.next()).value);
const kv = given.kv ?? [];

const shared = {
  compatibilityDate: "2026-07-30",
  compatibilityFlags: ["enable_request_signal"],
  ...(given.beside ? { unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] } : {}),
};
const desks = { className: "Desk", useSQLite: true };
const weir = {
  ...shared,
  name: "weir",
  modulesRoot: worker,
  modules: [
    { type: "ESModule", path: join(worker, "index.js") },
    { type: "CompiledWasm", path: join(worker, "index_bg.wasm"), contents: readFileSync(join(worker, "index_bg.wasm")) },
  ],
  bindings: given.bindings ?? {},
  durableObjects: given.desks ? { DESKS: { className: "Desk", scriptName: "desks" }, OWN: desks } : { DESKS: desks },
  kvNamespaces: kv,
  ...(given.usage
    ? {
        queueProducers: { USAGE: "usage" },
        queueConsumers: { usage: { maxBatchTimeout: 0, maxRetries: 1, deadLetterQueue: "dead" } },
      }
    : {}),
};
const workers = [weir];
if (given.desks) {
  workers.push({
    ...shared,
    name: "desks",
    modules: [{ type: "ESModule", path: "desks.mjs", contents: `${given.desks}\nexport default {};` }],
    durableObjects: { OWN: { className: "Desk" }, REAL: { ...desks, scriptName: "weir" } },
  });
}
if (given.usage) {
  const buried = `export default {
    async queue(batch) { for (const { body } of batch.messages) console.log("a dead letter: " + JSON.stringify(body)); },
  };`;
  workers.push({
    ...shared,
    name: "dead",
    modules: [{ type: "ESModule", path: "dead.mjs", contents: buried }],
    queueConsumers: { dead: { maxBatchTimeout: 0 } },
  });
}
for (const [at, { path, bindings, desks: hasDesks }] of (given.beside ?? []).entries()) {
  workers.push({
    ...shared,
    name: `beside${at}`,
    modules: [{ type: "ESModule", path }],
    modulesRoot: dirname(path),
    bindings,
    durableObjects: hasDesks ? { DESKS: desks } : {},
  });
}

const gateway = new Miniflare({
  host: "127.0.0.1",
  port: 0,
  workers,
  ...(given.persist ? { defaultPersistRoot: given.persist } : {}),
  // Without it miniflare fetches what Cloudflare would say of the request.
  cf: false,
  log: new Log(LogLevel.ERROR),
  handleRuntimeStdio: (out, err) => {
    out.pipe(process.stderr);
    err.pipe(process.stderr);
  },
});
const ready = await gateway.ready;
const addresses = given.beside
  ? await Promise.all(workers.map(({ name }) => gateway.unsafeGetDirectURL(name)))
  : [ready];
for (const { host } of addresses) process.stdout.write(`listening on http://${host}\n`);

async function done({ put, list, send, tick, forget }) {
  if (put) await (await gateway.getKVNamespace(put[0], "weir")).put(put[1], put[2]);
  if (list) return (await (await gateway.getKVNamespace(list, "weir")).list()).keys.map(({ name }) => name);
  if (send) await (await gateway.getQueueProducer("USAGE", "weir")).send(send);
  if (tick) await (await gateway.getWorker("weir")).scheduled({ cron: "* * * * *" });
  // Another data centre: the same everything, but for what is near.
  if (forget) for (const url of await kept()) await (await gateway.getCaches()).default.delete(url);
  return null;
}

/** The near cache has what KV has, by the same keys. */
async function kept() {
  const { keys } = await (await gateway.getKVNamespace("CACHE", "weir")).list();
  return keys.map(({ name }) => `https://cache.weir.invalid/${name}`);
}

for await (const line of lines) {
  const answer = await done(JSON.parse(line)).catch((fault) => ({ fault: String(fault) }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await gateway.dispose();
process.exit(0);
