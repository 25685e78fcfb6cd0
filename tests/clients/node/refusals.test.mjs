// Errors: each is the class of the SDK that a program catches, with the code it looks at.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { all, connect, connectAzure, refusal, restrictedKey, say, text } from "./gateway.mjs";

const { sdk, sent } = connect();
const chatWith = (client, model, more = {}) =>
  client.chat.completions.create({ model, messages: say("Say something."), ...more });
const chat = (model, more) => chatWith(sdk, model, more);

test("a wrong key is an authentication error that does not repeat it", async () => {
  const wrong = "sk-weir-this-key-was-never-given-to-anyone";
  const error = await refusal(chatWith(connect({ apiKey: wrong }).sdk, "gpt-4o"));
  assert.ok(error instanceof OpenAI.AuthenticationError, error);
  assert.equal(error.code, "invalid_api_key");
  assert.ok(!JSON.stringify([error.message, error.error]).includes(wrong));
});

test("no key is an authentication error", async () => {
  const keyless = connect();
  const asked = keyless.sdk.chat.completions.create(
    { model: "gpt-4o", messages: say("Hello") },
    { headers: { authorization: null } },
  );
  const error = await refusal(asked);
  assert.ok(error instanceof OpenAI.AuthenticationError, error);
  assert.ok(!keyless.sent.at(-1).headers.has("authorization"));
});

test("an unknown and a forbidden model are refused alike", async () => {
  const restricted = connect({ apiKey: restrictedKey }).sdk;
  const refused = [["no-such-model", sdk], ["sim", restricted]];
  for (const [model, client] of refused) {
    const error = await refusal(chatWith(client, model));
    assert.ok(error instanceof OpenAI.NotFoundError, error);
    assert.equal(error.code, "model_not_found");
    assert.equal(error.error.message, `The model \`${model}\` does not exist or you do not have access to it.`);
  }
  assert.ok((await chatWith(restricted, "gpt-4o")).choices.length);
});

for (const wrong of [{ model: 7 }, { model: "" }, { messages: "hello" }, { stream: "yes" }]) {
  test(`a body with ${JSON.stringify(wrong)} is a bad request`, async () => {
    const body = { model: "gpt-4o", messages: say("Hello"), ...wrong };
    const error = await refusal(sdk.post("/chat/completions", { body }));
    assert.ok(error instanceof OpenAI.BadRequestError, error);
    assert.equal(error.type, "invalid_request_error");
    for (const name of ["message", "type", "param", "code"]) assert.ok(name in error.error, name);
  });
}

test("a rate limit says when to come back", async () => {
  const error = await refusal(chat("sim-status-429-retry-after-1s"));
  assert.ok(error instanceof OpenAI.RateLimitError, error);
  assert.equal(error.code, "rate_limit_exceeded");
  const seconds = Number(error.headers.get("retry-after"));
  assert.ok(seconds >= 1 && seconds <= 60, `retry-after: ${seconds}`);
});

test("the SDK does not repeat what the gateway has tried", async () => {
  const eager = connect({ maxRetries: 2 });
  const error = await refusal(chatWith(eager.sdk, "sim-status-500"));
  assert.ok(error instanceof OpenAI.InternalServerError, error);
  assert.equal(error.headers.get("x-should-retry"), "false");
  assert.equal(eager.sent.length, 1);
});

test("the gateway gets past a failure by itself", async () => {
  const before = sent.length;
  assert.ok((await chat("sim-flaky-1")).choices.length);
  assert.ok(text(await all(chat("sim-flaky-1-pace-1ms", { stream: true }))));
  assert.equal(sent.length - before, 2);
});

for (const fault of ["cut-5", "reset-5", "malformed-5", "midway-error-5", "no-done"]) {
  test(`a stream with ${fault} never ends like a whole one`, async () => {
    const stream = await chat(`sim-pace-1ms-${fault}`, { stream: true });
    const chunks = [];
    const error = await refusal((async () => {
      for await (const chunk of stream) chunks.push(chunk);
    })());
    assert.ok(text(chunks));
    assert.equal(error.constructor, OpenAI.APIError, `an error event, not ${error}`);
    for (const name of ["message", "type", "param", "code"]) assert.ok(name in error.error, name);
  });
}

test("the Azure client is served", async () => {
  const azure = connectAzure();
  assert.ok((await chatWith(azure.sdk, "gpt-4o")).choices[0].message.content);
  const [{ url, headers }] = azure.sent;
  assert.equal(url.pathname, "/openai/deployments/gpt-4o/chat/completions");
  assert.ok(headers.has("api-key") && !headers.has("authorization"));
  assert.ok(text(await all(chatWith(azure.sdk, "gpt-4o", { stream: true }))));
});

test("the Azure client with a wrong key is refused", async () => {
  const error = await refusal(chatWith(connectAzure({ apiKey: "sk-wrong" }).sdk, "gpt-4o"));
  assert.ok(error instanceof OpenAI.AuthenticationError, error);
  assert.equal(error.code, "invalid_api_key");
});
