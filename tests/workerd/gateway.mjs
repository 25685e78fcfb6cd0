// Runs the built Worker on workerd, as miniflare sets it up, until standard input ends.
//
//   node gateway.mjs MODULES WORKER < {"bindings": {…}, "persist": "DIRECTORY"}\n
//
// MODULES holds `node_modules`, WORKER what `cargo xtask worker build` has made. The first line of standard output is
// the address. What the Worker logs goes to standard error.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [modules, worker] = process.argv.slice(2);
const require = createRequire(join(modules, "node_modules", "_"));
// miniflare brings an older one, which loses the books of a stream that its client resets.
process.env.MINIFLARE_WORKERD_PATH ??= require("workerd").default;
const { Log, LogLevel, Miniflare } = require("miniflare");

const lines = createInterface({ input: process.stdin });
const given = JSON.parse((await lines[Symbol.asyncIterator]().next()).value);

const gateway = new Miniflare({
  name: "weir",
  host: "127.0.0.1",
  port: 0,
  modulesRoot: worker,
  modules: [
    { type: "ESModule", path: join(worker, "index.js") },
    { type: "CompiledWasm", path: join(worker, "index_bg.wasm"), contents: readFileSync(join(worker, "index_bg.wasm")) },
  ],
  compatibilityDate: "2026-07-30",
  compatibilityFlags: ["enable_request_signal"],
  bindings: given.bindings ?? {},
  durableObjects: given.durableObjects ?? {},
  kvNamespaces: given.kvNamespaces ?? [],
  queueProducers: given.queueProducers ?? {},
  queueConsumers: given.queueConsumers ?? {},
  ...(given.persist ? { defaultPersistRoot: given.persist } : {}),
  // Without it miniflare fetches what Cloudflare would say of the request.
  cf: false,
  log: new Log(LogLevel.ERROR),
  handleRuntimeStdio: (out, err) => {
    out.pipe(process.stderr);
    err.pipe(process.stderr);
  },
});
const address = await gateway.ready;
process.stdout.write(`${address.host}\n`);

process.stdin.on("close", async () => {
  await gateway.dispose();
  process.exit(0);
});
