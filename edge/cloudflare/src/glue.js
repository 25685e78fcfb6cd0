/**
 * Tells those who wait in Rust what has become of it. They go by numbers, so that no function of Rust's has to be
 * made for each of them.
 */
export class Teller {
  constructor(carry, resume, value, bytes, over, failed) {
    Object.assign(this, { carry, resume, told: { value, bytes, over, failed } });
  }

  /** Lets all that can go on go on. */
  run() {
    this.tell(this.carry);
  }

  value(who, value) {
    this.tell(this.told.value, who, value);
  }

  bytes(who, bytes) {
    this.tell(this.told.bytes, who, bytes);
  }

  over(who) {
    this.tell(this.told.over, who);
  }

  failed(who) {
    this.tell(this.told.failed, who);
  }

  /** What is thrown ends whatever threw it and nothing else. Reported, it tells whether Rust has to begin anew. */
  tell(how, who, what) {
    try {
      how(who, what);
    } catch (fault) {
      reportError(fault);
      this.resume();
    }
  }

  /** Passes on what a promise resolves to. */
  promised(promise, who) {
    promise.then(
      (value) => this.value(who, value),
      () => this.failed(who),
    );
  }

  /** The same of an `ArrayBuffer`. */
  buffered(promise, who) {
    promise.then(
      (buffer) => this.bytes(who, new Uint8Array(buffer)),
      () => this.failed(who),
    );
  }

  /** Says when a signal is given. */
  heed(signal, who) {
    signal.onabort = () => this.over(who);
    if (signal.aborted) this.over(who);
  }

  /** Says when so many milliseconds have passed. */
  ring(millis, who) {
    return setTimeout(() => this.over(who), millis);
  }
}

/** A promise that Rust settles. */
export class Deferred {
  constructor() {
    this.promise = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
  }
}

/** A body that comes in, a chunk at a time for whoever asks for it. */
export class Source {
  constructor(body, who, teller) {
    this.reader = body.getReader();
    this.come = ({ done, value }) => {
      if (done) teller.over(who);
      else if (value instanceof Uint8Array) teller.bytes(who, value);
      else teller.failed(who);
    };
    this.broken = () => teller.failed(who);
  }

  read() {
    this.reader.read().then(this.come, this.broken);
  }

  cancel() {
    this.reader.cancel().catch(() => {});
  }
}

/**
 * A body that goes out. Whoever makes it is told when more is wanted, and when nothing is any longer. It keeps
 * nothing in store: what is put is what was waited for.
 */
export class Sink {
  constructor(who, teller) {
    const source = {
      start: (controller) => {
        this.controller = controller;
      },
      // Without a promise workerd would ask once more for each chunk: 7 us.
      pull: () => {
        this.isServed = false;
        teller.value(who);
        return this.isServed ? undefined : new Promise(this.wait);
      },
      cancel: () => teller.over(who),
    };
    this.wait = (resolve) => {
      this.resolve = resolve;
    };
    this.body = new ReadableStream(source, { highWaterMark: 0 });
  }

  /** `bytes` are Rust's, and only lent. */
  put(bytes) {
    this.controller.enqueue(bytes.slice());
    this.serve();
  }

  close() {
    this.controller.close();
    this.serve();
  }

  abort(why) {
    this.controller.error(new Error(why));
    this.serve();
  }

  serve() {
    this.isServed = true;
    this.resolve?.();
    this.resolve = undefined;
  }
}

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
  const headers = [];
  for (let at = 0; at + 1 < fields.length; at += 2) headers.push([fields[at], fields[at + 1]]);
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
