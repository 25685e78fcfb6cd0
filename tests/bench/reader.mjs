// The other peer of the Worker: it does of a gateway's work what nobody can do without, and decides nothing. It asks an
// object whether the call may go, reads what is asked and what is answered, and calls upstreams so that it can leave
// them.
import { DurableObject } from "cloudflare:workers";

export class Desk extends DurableObject {
  calls = 0;

  async fetch(request) {
    await request.arrayBuffer();
    this.calls += 1;
    return new Response(String(this.calls));
  }
}

export default {
  async fetch(request, env) {
    const { pathname, search } = new URL(request.url);
    const body = await request.arrayBuffer();
    const desk = env.DESKS.get(env.DESKS.idFromName("bench"));
    const counted = await desk.fetch("https://desk.invalid/", { method: "POST", body: new Uint8Array(200) });
    await counted.arrayBuffer();
    const controller = new AbortController();
    const answer = await fetch(env.UPSTREAM + pathname + search, {
      method: request.method,
      headers: request.headers,
      body,
      signal: controller.signal,
    });
    const { status, headers } = answer;
    if (headers.get("content-type") !== "text/event-stream") {
      return new Response(await answer.arrayBuffer(), { status, headers });
    }
    const reader = answer.body.getReader();
    const events = new ReadableStream(
      {
        async pull(out) {
          const { done, value } = await reader.read();
          if (done) out.close();
          else out.enqueue(value);
        },
        cancel: () => controller.abort(),
      },
      { highWaterMark: 0 },
    );
    return new Response(events, { status, headers });
  },
};
