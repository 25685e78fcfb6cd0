// Answers that are given again: to the SDK a kept one is the one it was made from, whichever way it is asked for.
// And calls that must not be made twice.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import OpenAI from "openai";

import { all, connect, refusal, say, text } from "./gateway.mjs";

const { sdk, sent } = connect();

/** A prompt that nobody has asked about. */
const prompt = () => `What is ${randomUUID()}?`;

/** The answer as the SDK parses it, streams to their end, and what `x-cache` said. */
async function told(promise) {
  const { data, response } = await promise.withResponse();
  const answer = data[Symbol.asyncIterator] ? await all(data) : data;
  return { answer, cache: response.headers.get("x-cache") };
}

const chat = (content, more = {}, options = {}) =>
  sdk.chat.completions.create({ model: "kept", messages: say(content), ...more }, options);

/** Asks twice: the second answer must be the first one, and kept. */
async function twice(ask) {
  const miss = await told(ask());
  const hit = await told(ask());
  assert.deepEqual([miss.cache, hit.cache], ["MISS", "HIT"]);
  assert.deepEqual(hit.answer, miss.answer);
  return miss.answer;
}

test("a kept chat is the one it was", async () => {
  const content = prompt();
  const answer = await twice(() => chat(content));
  assert.ok(answer.usage.total_tokens > 0);
});

test("a kept stream is the one it was", async () => {
  const content = prompt();
  const chunks = await twice(() => chat(content, { stream: true }));
  assert.ok(chunks.length > 3);
});

for (const first of ["whole", "streamed"]) {
  test(`a chat that was ${first} is kept in both forms`, async () => {
    const content = prompt();
    const ask = { whole: {}, streamed: { stream: true, stream_options: { include_usage: true } } };
    const second = first === "whole" ? "streamed" : "whole";
    const answers = {};
    for (const [form, cache] of [[first, "MISS"], [second, "HIT"]]) {
      const { answer, ...given } = await told(chat(content, ask[form]));
      assert.equal(given.cache, cache, form);
      answers[form] = answer;
    }
    const { whole, streamed } = answers;
    assert.equal(text(streamed), whole.choices[0].message.content);
    assert.ok(streamed.every((chunk) => chunk.id === whole.id && chunk.created === whole.created));
    assert.deepEqual(streamed.at(-1).usage, whole.usage);
  });
}

test("the stream helper puts a kept chat together", async () => {
  const content = prompt();
  const whole = await chat(content);
  const { response } = await chat(content, { stream: true }).withResponse();
  assert.equal(response.headers.get("x-cache"), "HIT");
  const helped = await sdk.chat.completions.stream({ model: "kept", messages: say(content) }).finalChatCompletion();
  assert.equal(helped.id, whole.id);
  assert.equal(helped.choices[0].message.content, whole.choices[0].message.content);
  assert.equal(helped.choices[0].finish_reason, whole.choices[0].finish_reason);
});

test("a kept response is the one it was, in both forms", async () => {
  const asked = { model: "kept", input: prompt() };
  const whole = await twice(() => sdk.responses.create(asked));
  const { answer: events, cache } = await told(sdk.responses.create({ ...asked, stream: true }));
  assert.equal(cache, "HIT");
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, at) => at));
  assert.equal(events.at(-1).type, "response.completed");
  assert.equal(events.at(-1).response.id, whole.id);
  assert.deepEqual(events.at(-1).response.output, whole.output);
  assert.deepEqual(events.at(-1).response.usage, whole.usage);
  const helped = await sdk.responses.stream(asked).finalResponse();
  assert.equal(helped.output_text, whole.output_text);
});

test("a response that was streamed is kept whole", async () => {
  const asked = { model: "kept", input: prompt() };
  const events = await twice(() => sdk.responses.create({ ...asked, stream: true }));
  const { answer, cache } = await told(sdk.responses.create(asked));
  assert.equal(cache, "HIT");
  assert.deepEqual(answer.output, events.at(-1).response.output);
});

test("kept embeddings are the same vectors", async () => {
  const asked = { model: "kept-embedding", input: [prompt(), "two"] };
  const { data } = await twice(() => sdk.embeddings.create(asked));
  assert.equal(data.length, 2);
});

test("parallel calls with one idempotency key are one", async () => {
  const content = prompt();
  const ask = () =>
    sdk.chat.completions.create(
      { model: "sim-latency-200ms", messages: say(content) },
      { idempotencyKey: content, headers: { "Idempotency-Key": content } },
    );
  const answers = await Promise.all(Array.from({ length: 10 }, ask));
  for (const answer of answers) assert.deepEqual(answer, answers[0]);
  const { data, response } = await ask().withResponse();
  assert.deepEqual(data, answers[0]);
  assert.equal(response.headers.get("idempotent-replayed"), "true");
});

test("an idempotency key for another request is a conflict that is not tried again", async () => {
  const key = prompt();
  const options = { headers: { "Idempotency-Key": key }, maxRetries: 2 };
  await chat(key, { model: "sim" }, options);
  const before = sent.length;
  const error = await refusal(chat("Another", { model: "sim" }, options));
  assert.ok(error instanceof OpenAI.ConflictError);
  assert.equal(error.code, "idempotency_conflict");
  assert.equal(sent.length - before, 1);
});

test("who is turned away comes back by itself and is answered", async () => {
  const ask = (options) => chat("Hello", { model: "narrow" }, options);
  const answers = await Promise.all(Array.from({ length: 3 }, () => ask({ maxRetries: 12 })));
  assert.ok(answers.every((answer) => answer.choices.length === 1));
});
