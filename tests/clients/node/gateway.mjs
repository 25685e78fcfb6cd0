// Clients of the gateway under test. They count what they send and retry nothing unless told so, that every
// retry a test sees is the gateway's.

import OpenAI, { AzureOpenAI } from "openai";

const base = process.env.WEIR_BASE_URL.replace(/\/+$/, "");

export const apiKey = process.env.WEIR_API_KEY;

/** The key that may call `gpt-*` and nothing else. */
export const restrictedKey = process.env.WEIR_RESTRICTED_KEY;

/** A client and the requests it has sent. */
export function connect(options = {}) {
  return withRecord((fetch) =>
    new OpenAI({ baseURL: `${base}/v1`, apiKey, maxRetries: 0, timeout: 30_000, fetch, ...options }));
}

export function connectAzure(options = {}) {
  const apiVersion = "2024-10-21";
  return withRecord((fetch) =>
    new AzureOpenAI({ endpoint: base, apiKey, apiVersion, maxRetries: 0, timeout: 30_000, fetch, ...options }));
}

function withRecord(make) {
  const sent = [];
  const sdk = make((url, init) => {
    sent.push({ url: new URL(url), headers: new Headers(init.headers), body: init.body });
    return fetch(url, init);
  });
  return { sdk, sent };
}

export const say = (prompt) => [{ role: "user", content: prompt }];

/** The text of some chunks of a streamed chat. */
export const text = (chunks) =>
  chunks.flatMap((chunk) => chunk.choices).map((choice) => choice.delta.content ?? "").join("");

export async function all(stream) {
  const items = [];
  for await (const item of await stream) items.push(item);
  return items;
}

/** The error that `promise` must reject with. */
export async function refusal(promise) {
  return promise.then(
    () => { throw new Error("it was answered"); },
    (error) => error,
  );
}
