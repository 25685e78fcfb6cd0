// Runs the built Worker on workerd, as miniflare sets it up, until standard input ends.
//
//   node gateway.mjs MODULES WORKER < {"bindings": {…}, "persist": "DIRECTORY", "beside": {…}}\n
//
// MODULES holds `node_modules`, WORKER what `cargo xtask worker build` has made. The first line of standard output says
// where it listens. What the Worker logs goes to standard error.
//
// To be measured, it is set beside another in the same process: `beside` is the path of that Worker's module and its
// bindings. The first two lines then say where each of them listens by itself, with nothing of miniflare's before it.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const [modules, worker] = process.argv.slice(2);
const require = createRequire(join(modules, "node_modules", "_"));
// miniflare brings an older one, which loses the books of a stream that its client resets.
process.env.MINIFLARE_WORKERD_PATH ??= require("workerd").default;
const { Log, LogLevel, Miniflare } = require("miniflare");

const lines = createInterface({ input: process.stdin });
const given = JSON.parse((await lines[Symbol.asyncIterator]().next()).value);

const shared = {
  compatibilityDate: "2026-07-30",
  compatibilityFlags: ["enable_request_signal"],
  ...(given.beside ? { unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] } : {}),
};
const weir = {
  ...shared,
  name: "weir",
  modulesRoot: worker,
  modules: [
    { type: "ESModule", path: join(worker, "index.js") },
    { type: "CompiledWasm", path: join(worker, "index_bg.wasm"), contents: readFileSync(join(worker, "index_bg.wasm")) },
  ],
  bindings: given.bindings ?? {},
  durableObjects: { DESKS: { className: "Desk", useSQLite: true } },
  kvNamespaces: given.kvNamespaces ?? [],
  queueProducers: given.queueProducers ?? {},
  queueConsumers: given.queueConsumers ?? {},
};
const beside = given.beside && {
  ...shared,
  name: "beside",
  modules: [{ type: "ESModule", path: given.beside.path }],
  modulesRoot: dirname(given.beside.path),
  bindings: given.beside.bindings,
};

const gateway = new Miniflare({
  host: "127.0.0.1",
  port: 0,
  workers: beside ? [weir, beside] : [weir],
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
const addresses = beside
  ? await Promise.all([weir, beside].map(({ name }) => gateway.unsafeGetDirectURL(name)))
  : [ready];
for (const { host } of addresses) process.stdout.write(`listening on http://${host}\n`);

process.stdin.on("close", async () => {
  await gateway.dispose();
  process.exit(0);
});
