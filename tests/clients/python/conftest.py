"""What every test of the suite is given: clients of the gateway, in both kinds the SDK has."""

import asyncio
import inspect
import os
from dataclasses import dataclass, field

import openai
import pytest

TIMEOUT = 30.0


@dataclass
class Both:
    """One client, synchronous or asynchronous, behind one way to call it: a test is written once and runs
    against both."""

    sdk: openai.OpenAI | openai.AsyncOpenAI
    loop: asyncio.AbstractEventLoop
    sent: list = field(default_factory=list)

    def call(self, result):
        """What the SDK returned, awaited where it has to be."""
        return self.loop.run_until_complete(result) if inspect.isawaitable(result) else result

    def items(self, stream):
        """The items of a stream of either kind, as they come."""
        if not hasattr(stream, "__aiter__"):
            yield from stream
            return
        iterator = aiter(stream)
        while True:
            try:
                item = self.loop.run_until_complete(anext(iterator))
            except StopAsyncIteration:
                return
            yield item

    def chat(self, model="gpt-4o", prompt="Say something.", **more):
        messages = [{"role": "user", "content": prompt}]
        return self.call(self.sdk.chat.completions.create(model=model, messages=messages, **more))

    def with_options(self, **options):
        return Both(self.sdk.with_options(**options), self.loop, self.sent)


@pytest.fixture(scope="session")
def base_url():
    return os.environ["WEIR_BASE_URL"].rstrip("/")


@pytest.fixture(scope="session")
def api_key():
    return os.environ["WEIR_API_KEY"]


@pytest.fixture(scope="session")
def restricted_key():
    """A key that may call `gpt-*` and nothing else."""
    return os.environ["WEIR_RESTRICTED_KEY"]


@pytest.fixture(scope="module")
def loop():
    with asyncio.Runner() as runner:
        yield runner.get_loop()


@pytest.fixture(scope="module", params=["sync", "async"])
def connect(request, loop):
    """Makes clients. They note what they send and retry nothing unless told so, that every retry a test
    sees is the gateway's."""
    made = []

    def make(kind=("OpenAI", "AsyncOpenAI"), **options):
        sent = []
        plain, asynchronous = kind

        def note(outgoing):
            sent.append(outgoing)

        async def note_async(outgoing):
            sent.append(outgoing)

        if request.param == "sync":
            http = openai.DefaultHttpxClient(event_hooks={"request": [note]})
            sdk = getattr(openai, plain)(http_client=http, timeout=TIMEOUT, **{"max_retries": 0, **options})
        else:
            http = openai.DefaultAsyncHttpxClient(event_hooks={"request": [note_async]})
            sdk = getattr(openai, asynchronous)(
                http_client=http, timeout=TIMEOUT, **{"max_retries": 0, **options}
            )
        both = Both(sdk, loop, sent)
        made.append(both)
        return both

    yield make
    for both in made:
        both.call(both.sdk.close())


@pytest.fixture(scope="module")
def client(connect, base_url, api_key):
    return connect(base_url=f"{base_url}/v1", api_key=api_key)


@pytest.fixture(scope="module")
def restricted(connect, base_url, restricted_key):
    return connect(base_url=f"{base_url}/v1", api_key=restricted_key)
