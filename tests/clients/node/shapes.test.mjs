// Answers of a shape that was asked for: tool calls, structured output, vectors, plain text.

import assert from "node:assert/strict";
import { test } from "node:test";

import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { all, connect, say } from "./gateway.mjs";

const { sdk, sent } = connect();

const weather = {
  type: "function",
  function: {
    name: "weather",
    description: "The weather in a city.",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer", minimum: 1 } },
      required: ["city", "days"],
      additionalProperties: false,
    },
  },
};

const askForWeather = (more = {}) =>
  sdk.chat.completions.create({
    model: "sim-pace-1ms",
    messages: say("Weather in Lyon?"),
    tools: [weather],
    tool_choice: "required",
    ...more,
  });

function checkArguments(json) {
  const parsed = JSON.parse(json);
  assert.equal(typeof parsed.city, "string");
  assert.ok(parsed.days >= 1);
}

test("a required tool is called", async () => {
  const { choices: [choice] } = await askForWeather({ model: "gpt-4o" });
  assert.equal(choice.finish_reason, "tool_calls");
  const [call] = choice.message.tool_calls;
  assert.equal(call.function.name, "weather");
  checkArguments(call.function.arguments);
});

test("a streamed tool call comes in fragments that make JSON", async () => {
  const chunks = await all(askForWeather({ stream: true }));
  const calls = chunks.flatMap((chunk) => chunk.choices).flatMap((choice) => choice.delta.tool_calls ?? []);
  assert.ok(calls.length > 1);
  assert.equal(calls[0].function.name, "weather");
  checkArguments(calls.map((call) => call.function.arguments ?? "").join(""));
  assert.equal(chunks.at(-1).choices[0].finish_reason, "tool_calls");
});

test("structured output is parsed by its schema", async () => {
  const solution = z.object({
    steps: z.array(z.object({ explanation: z.string(), result: z.number() })),
    answer: z.string(),
  });
  const answer = await sdk.chat.completions.parse({
    model: "gpt-4o",
    messages: say("Solve 8x + 7 = 23."),
    response_format: zodResponseFormat(solution, "solution"),
  });
  solution.parse(answer.choices[0].message.parsed);
});

test("embeddings are decoded from base64 by default", async () => {
  const embed = (more = {}) =>
    sdk.embeddings.create({ model: "text-embedding-3-small", input: ["one", "two"], ...more });
  const decoded = await embed();
  assert.equal(JSON.parse(sent.at(-1).body).encoding_format, "base64");
  const floats = await embed({ encoding_format: "float" });
  assert.equal(decoded.data.length, 2);
  for (const [item, { embedding }] of decoded.data.map((item, at) => [item, floats.data[at]])) {
    assert.equal(item.embedding.length, embedding.length);
    item.embedding.forEach((value, at) => assert.ok(Math.abs(value - embedding[at]) < 1e-6));
  }
  assert.ok(decoded.usage.prompt_tokens > 0);
});

test("an embedding has the dimensions it was asked for", async () => {
  const answer = await sdk.embeddings.create({ model: "text-embedding-3-small", input: "one", dimensions: 64 });
  assert.equal(answer.data[0].embedding.length, 64);
});

test("a legacy completion is answered whole and streamed", async () => {
  const complete = (more = {}) => sdk.completions.create({ model: "sim-pace-1ms", prompt: "Once", ...more });
  const whole = await complete();
  assert.equal(whole.object, "text_completion");
  const chunks = await all(complete({ stream: true }));
  const streamed = chunks.flatMap((chunk) => chunk.choices).map((choice) => choice.text).join("");
  assert.ok(streamed);
  assert.equal(streamed, whole.choices[0].text);
});
