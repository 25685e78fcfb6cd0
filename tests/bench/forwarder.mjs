// The peer of the Worker: it forwards, and does nothing else. No gateway on workerd can be quicker.
export default {
  fetch(request, env) {
    const { pathname, search } = new URL(request.url);
    return fetch(env.UPSTREAM + pathname + search, request);
  },
};
