// Chat completions, whole and streamed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { all, connect, say, text } from "./gateway.mjs";

const { sdk } = connect();
const chat = (more = {}) =>
  sdk.chat.completions.create({ model: "sim-pace-1ms", messages: say("Say something."), ...more });

test("a chat is answered", async () => {
  const answer = await chat({ model: "gpt-4o" });
  assert.equal(answer.object, "chat.completion");
  assert.equal(answer.choices[0].message.role, "assistant");
  assert.ok(answer.choices[0].message.content);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test("a stream says what the whole answer says", async () => {
  const whole = await chat();
  const chunks = await all(chat({ stream: true }));
  assert.equal(text(chunks), whole.choices[0].message.content);
  assert.ok(chunks.length > 3);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
});

test("usage comes with the last chunk when it was asked for", async () => {
  const chunks = await all(chat({ stream: true, stream_options: { include_usage: true } }));
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.total_tokens, last.usage.prompt_tokens + last.usage.completion_tokens);
  assert.ok(chunks.every((chunk) => chunk.usage === null));
});

test("usage that was not asked for does not come", async () => {
  const chunks = await all(chat({ stream: true }));
  assert.ok(chunks.every((chunk) => chunk.choices.length > 0 && !("usage" in chunk)));
});

test("the stream helper puts the answer together", async () => {
  const stream = sdk.chat.completions.stream({ model: "sim-pace-1ms", messages: say("Say something.") });
  const whole = await chat();
  assert.equal(await stream.finalContent(), whole.choices[0].message.content);
});

test("a stream that is aborted early leaves the gateway serving", async () => {
  const stream = await chat({ model: "sim-tokens-1000-pace-20ms", stream: true });
  for await (const _ of stream) break;
  assert.ok(stream.controller.signal.aborted);
  assert.ok((await chat({ model: "gpt-4o" })).choices.length);
});

test("fifty chats at once are all answered", async () => {
  const ask = async (number) => {
    const messages = say(`Number ${number}`);
    const chunks = await all(chat({ messages, stream: true }));
    const whole = await chat({ messages });
    return [text(chunks), whole.choices[0].message.content];
  };
  const answers = await Promise.all(Array.from({ length: 50 }, (_, number) => ask(number)));
  for (const [streamed, whole] of answers) assert.equal(streamed, whole);
  assert.ok(new Set(answers.map(([, whole]) => whole)).size > 1);
});
