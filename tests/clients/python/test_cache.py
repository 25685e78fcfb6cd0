"""Answers that are given again: to the SDK a kept one is the one it was made from, whichever way it is asked
for. And calls that must not be made twice."""

import asyncio
import time
import uuid

import openai
import pytest


@pytest.fixture
def prompt():
    """One that nobody has asked about."""
    return f"What is {uuid.uuid4()}?"


def raw(client, resource, **asked):
    """The answer as the SDK parses it, and what `x-cache` said."""
    response = client.call(resource.with_raw_response.create(**asked))
    return response.parse(), response.headers.get("x-cache")


def chat(client, prompt, **more):
    asked = {"model": "kept", "messages": [{"role": "user", "content": prompt}], **more}
    answer, cache = raw(client, client.sdk.chat.completions, **asked)
    return (list(client.items(answer)) if more.get("stream") else answer), cache


def text(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_a_kept_chat_is_the_one_it_was(client, prompt):
    (miss, first), (hit, second) = chat(client, prompt), chat(client, prompt)
    assert (first, second) == ("MISS", "HIT")
    assert hit == miss
    assert hit.id and hit.usage.total_tokens > 0
    assert hit._request_id != miss._request_id


def test_a_kept_stream_is_the_one_it_was(client, prompt):
    (miss, first), (hit, second) = (chat(client, prompt, stream=True) for _ in range(2))
    assert (first, second) == ("MISS", "HIT")
    assert hit == miss
    assert len(hit) > 3


@pytest.mark.parametrize("usage", [{}, {"stream_options": {"include_usage": True}}], ids=["plain", "usage"])
@pytest.mark.parametrize("first", ["whole", "streamed"])
def test_a_chat_is_kept_in_both_forms(client, prompt, first, usage):
    asks = {"whole": {}, "streamed": {"stream": True, **usage}}
    answers = {}
    for form in [first, *(asks.keys() - {first})]:
        answers[form], cache = chat(client, prompt, **asks[form])
        assert cache == ("MISS" if form == first else "HIT"), form
    whole, chunks = answers["whole"], answers["streamed"]
    assert text(chunks) == whole.choices[0].message.content
    assert {chunk.id for chunk in chunks} == {whole.id}
    assert {chunk.created for chunk in chunks} == {whole.created}
    finishes = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert finishes == [whole.choices[0].finish_reason]
    assert [chunk.usage for chunk in chunks if chunk.usage] == ([whole.usage] if usage else [])


def final(client, manager, finish):
    """What the helper has put together at the end of its stream."""

    async def drain():
        async with manager as stream:
            async for _ in stream:
                pass
            return await getattr(stream, finish)()

    if hasattr(manager, "__aenter__"):
        return client.loop.run_until_complete(drain())
    with manager as stream:
        for _ in stream:
            pass
        return getattr(stream, finish)()


def test_the_stream_helper_puts_a_kept_chat_together(client, prompt):
    whole, cache = chat(client, prompt)
    assert cache == "MISS"
    messages = [{"role": "user", "content": prompt}]
    manager = client.sdk.chat.completions.stream(model="kept", messages=messages)
    completion = final(client, manager, "get_final_completion")
    assert completion.id == whole.id
    assert completion.choices[0].message.content == whole.choices[0].message.content
    assert completion.choices[0].finish_reason == whole.choices[0].finish_reason


def test_a_kept_response_is_the_one_it_was_in_both_forms(client, prompt):
    asked = {"model": "kept", "input": prompt}
    (miss, first), (hit, second) = (raw(client, client.sdk.responses, **asked) for _ in range(2))
    assert (first, second) == ("MISS", "HIT")
    assert hit == miss
    stream, cache = raw(client, client.sdk.responses, stream=True, **asked)
    events = list(client.items(stream))
    assert cache == "HIT"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert events[-1].response == miss
    helped = final(client, client.sdk.responses.stream(**asked), "get_final_response")
    assert (helped.id, helped.output_text) == (miss.id, miss.output_text)


def test_a_response_that_was_streamed_is_kept_whole(client, prompt):
    asked = {"model": "kept", "input": prompt}
    stream, first = raw(client, client.sdk.responses, stream=True, **asked)
    miss = list(client.items(stream))
    stream, second = raw(client, client.sdk.responses, stream=True, **asked)
    assert (first, second) == ("MISS", "HIT")
    assert list(client.items(stream)) == miss
    whole, cache = raw(client, client.sdk.responses, **asked)
    assert cache == "HIT"
    assert whole == miss[-1].response


def test_kept_embeddings_are_the_same_vectors(client, prompt):
    asked = {"model": "kept-embedding", "input": [prompt, "two"]}
    (miss, first), (hit, second) = (raw(client, client.sdk.embeddings, **asked) for _ in range(2))
    assert (first, second) == ("MISS", "HIT")
    assert hit == miss
    assert len(hit.data) == 2
    # Base64 and numbers are different answers.
    floats, cache = raw(client, client.sdk.embeddings, encoding_format="float", **asked)
    assert cache == "MISS"
    assert floats.data[0].embedding == pytest.approx(hit.data[0].embedding, abs=1e-6)


def test_a_client_may_go_by_the_cache(client, prompt):
    assert chat(client, prompt)[1] == "MISS"
    assert chat(client, prompt, extra_headers={"Cache-Control": "no-store"})[1] == "BYPASS"
    with pytest.raises(openai.APIStatusError) as caught:
        chat(client, f"{prompt} Again?", extra_headers={"Cache-Control": "only-if-cached"})
    assert (caught.value.status_code, caught.value.code) == (504, "not_cached")


def test_parallel_calls_with_one_idempotency_key_are_one(base_url, api_key, prompt):
    key = {"Idempotency-Key": prompt}

    async def ask_all():
        async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key=api_key, max_retries=0) as sdk:
            asked = {"model": "sim-latency-200ms", "messages": [{"role": "user", "content": prompt}]}
            create = sdk.chat.completions.with_raw_response.create
            first = await asyncio.gather(*(create(**asked, extra_headers=key) for _ in range(10)))
            return first, await create(**asked, extra_headers=key)

    first, later = asyncio.run(ask_all())
    assert len({answer.parse().model_dump_json() for answer in [*first, later]}) == 1
    assert later.headers["idempotent-replayed"] == "true"


def test_an_idempotency_key_for_another_request_is_a_conflict_that_is_not_tried_again(client, prompt):
    key = {"Idempotency-Key": prompt}
    client.chat(prompt=prompt, extra_headers=key)
    eager = client.with_options(max_retries=2)
    before = len(client.sent)
    with pytest.raises(openai.ConflictError) as caught:
        eager.chat(prompt="Another", extra_headers=key)
    assert caught.value.code == "idempotency_conflict"
    assert len(client.sent) - before == 1


def test_who_is_turned_away_comes_back_by_itself_and_is_answered(base_url, api_key):
    async def ask_all():
        options = {"base_url": f"{base_url}/v1", "api_key": api_key}
        asked = {"model": "narrow", "messages": [{"role": "user", "content": "Hello"}]}
        async with openai.AsyncOpenAI(max_retries=0, **options) as sdk:
            holding = asyncio.create_task(sdk.chat.completions.create(**asked))
            started = time.monotonic()
            await asyncio.sleep(0.1)
            with pytest.raises(openai.InternalServerError) as caught:
                await sdk.chat.completions.create(**asked)
            assert not holding.done(), "it was told at once"
            eager = sdk.with_options(max_retries=8)
            answer = await eager.chat.completions.create(**asked)
            assert (await holding).choices and answer.choices
            return caught.value, time.monotonic() - started

    refused, took = asyncio.run(ask_all())
    assert (refused.status_code, refused.code) == (503, "overloaded")
    assert int(refused.response.headers["retry-after-ms"]) > 0
    assert took > 0.9, "one after the other"
