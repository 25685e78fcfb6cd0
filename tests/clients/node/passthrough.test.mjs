// Models, and paths that the gateway passes on. The simulated provider answers a path it does not know with an
// account of what reached it.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import OpenAI, { toFile } from "openai";

import { all, apiKey, connect, refusal, restrictedKey, say } from "./gateway.mjs";

const { sdk } = connect();

test("models are listed and retrieved", async () => {
  const models = await all(sdk.models.list());
  const ids = models.map((model) => model.id);
  assert.ok(ids.includes("gpt-4o") && ids.includes("text-embedding-3-small"), ids);
  assert.ok(models.every((model) => model.object === "model" && Number.isInteger(model.created)));
  assert.equal((await sdk.models.retrieve("gpt-4o")).id, "gpt-4o");
});

test("an unknown model is not found", async () => {
  const error = await refusal(sdk.models.retrieve("no-such-model"));
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.equal(error.code, "model_not_found");
});

test("a key sees only what it may call", async () => {
  const { sdk: restricted } = connect({ apiKey: restrictedKey });
  const ids = (await all(restricted.models.list())).map((model) => model.id);
  assert.ok(ids.includes("gpt-4o"));
  assert.ok(ids.every((id) => id.startsWith("gpt-")), ids);
});

test("a response is answered whole and streamed", async () => {
  const ask = (more = {}) => sdk.responses.create({ model: "gpt-4o", input: "Say something.", ...more });
  const whole = await ask();
  assert.equal(whole.status, "completed");
  assert.ok(whole.output_text);
  const events = await all(ask({ stream: true }));
  assert.equal(events.at(0).type, "response.created");
  assert.equal(events.at(-1).type, "response.completed");
  const deltas = events.filter((event) => event.type === "response.output_text.delta");
  assert.equal(deltas.map((event) => event.delta).join(""), whole.output_text);
});

test("an upload goes through", async () => {
  const content = Buffer.alloc(256 * 1024, "line\n");
  const echo = await sdk.files.create({ file: await toFile(content, "data.jsonl"), purpose: "batch" });
  assert.equal(echo.object, "sim.echo");
  assert.equal(`${echo.method} ${echo.path}`, "POST /v1/files");
  assert.match(echo.content_type, /^multipart\/form-data; boundary=/);
  assert.ok(echo.body_bytes > content.length);
});

test("bytes arrive as they were sent", async () => {
  const body = Buffer.alloc(1 << 20, Buffer.from(Array.from({ length: 251 }, (_, byte) => byte)));
  const echo = await sdk.post("/uploads/upload_1/parts", {
    body,
    headers: { "content-type": "application/octet-stream" },
  });
  assert.equal(echo.body_bytes, body.length);
  assert.equal(echo.body_sha256, createHash("sha256").update(body).digest("hex"));
});

test("files are listed and deleted", async () => {
  const listed = await (await sdk.files.list({ limit: 3, order: "asc" }).asResponse()).json();
  assert.equal(`${listed.method} ${listed.path}`, "GET /v1/files");
  assert.deepEqual(new Set(listed.query.split("&")), new Set(["limit=3", "order=asc"]));
  const deleted = await sdk.files.delete("file-1");
  assert.equal(`${deleted.method} ${deleted.path}`, "DELETE /v1/files/file-1");
  assert.ok(!JSON.stringify([listed, deleted]).includes(apiKey));
});

test("answers carry the headers that support asks for", async () => {
  const asked = sdk.chat.completions.create({ model: "gpt-4o", messages: say("Hello") });
  const { data, response, request_id: id } = await asked.withResponse();
  assert.match(id, /^req_[0-9a-f]{32}$/);
  assert.equal(data._request_id, id);
  assert.match(response.headers.get("openai-processing-ms"), /^\d+$/);
});
