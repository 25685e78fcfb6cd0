// Heads cross between JavaScript and Rust as one text: fields that end in a line feed, which none can hold.

/** Method, URL, then each header's name and value. */
export function requestHead(request) {
  let text = `${request.method}\n${request.url}\n`;
  for (const [name, value] of request.headers) text += `${name}\n${value}\n`;
  return text;
}

/** Each header's name and value. */
export function responseHead(response) {
  let text = "";
  for (const [name, value] of response.headers) text += `${name}\n${value}\n`;
  return text;
}

function headers(text) {
  const fields = text.split("\n");
  const headers = new Headers();
  for (let at = 0; at + 1 < fields.length; at += 2) headers.append(fields[at], fields[at + 1]);
  return headers;
}

/** Calls an upstream. No redirect is followed. */
export function send(url, method, head, body, signal) {
  return fetch(url, { method, headers: headers(head), body, signal, redirect: "manual" });
}

export function answer(status, head, body) {
  return new Response(body, { status, headers: headers(head) });
}

/** Asks an object. Resolves to an `ArrayBuffer`. */
export async function ask(desks, name, question) {
  const answer = await desks.get(desks.idFromName(name)).fetch("https://desk.invalid/", { method: "POST", body: question });
  if (!answer.ok) throw new Error(`the object answers ${answer.status}`);
  return answer.arrayBuffer();
}

/** Looks into the cache. Resolves to an `ArrayBuffer`, or to nothing. */
export async function look(url) {
  const kept = await caches.default.match(url);
  return kept?.arrayBuffer();
}

export async function keep(url, bytes, seconds) {
  await caches.default.put(url, new Response(bytes, { headers: { "cache-control": `max-age=${seconds}` } }));
}

/** Resolves to an `ArrayBuffer`, or to null. */
export function lookInKv(kv, key) {
  return kv.get(key, "arrayBuffer");
}

export function keepInKv(kv, key, bytes, seconds) {
  return kv.put(key, bytes, { expirationTtl: seconds });
}

/** Resolves to a text, or to null: what KV has had for at most so many seconds. */
export function readText(kv, key, seconds) {
  return kv.get(key, { type: "text", cacheTtl: seconds });
}

/** Sends what `text` says in JSON. */
export function post(queue, text) {
  return queue.send(JSON.parse(text), { contentType: "json" });
}

/** Sets an object's alarm. No answer waits for it to be on disk. */
export function setAlarm(storage, at) {
  return storage.setAlarm(at, { allowConcurrency: true, allowUnconfirmed: true });
}

/** Writes and deletes as one, which is what is asked for without a pause. Where it may be unconfirmed, no answer waits. */
export function write(storage, values, keys, allowUnconfirmed) {
  return Promise.all([storage.put(values, { allowUnconfirmed }), storage.delete(keys, { allowUnconfirmed })]);
}
