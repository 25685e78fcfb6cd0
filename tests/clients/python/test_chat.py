"""Chat completions, whole and streamed."""

import asyncio
import time

import openai


def text(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_a_chat_is_answered(client):
    answer = client.chat("gpt-4o")
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_says_what_the_whole_answer_says(client):
    whole = client.chat("sim-pace-1ms").choices[0].message.content
    chunks = list(client.items(client.chat("sim-pace-1ms", stream=True)))
    assert text(chunks) == whole
    assert len(chunks) > 3
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


def test_usage_comes_with_the_last_chunk_when_it_was_asked_for(client):
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = client.items(client.chat("sim-pace-1ms", **asked))
    assert last.choices == []
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks)
    assert last.usage.completion_tokens == client.chat("sim-pace-1ms").usage.completion_tokens


def test_usage_that_was_not_asked_for_does_not_come(client):
    chunks = list(client.items(client.chat("sim-pace-1ms", stream=True)))
    assert all(chunk.choices for chunk in chunks)
    assert not any("usage" in chunk.model_fields_set for chunk in chunks)


def test_tokens_come_as_they_are_made_and_not_at_the_end(client):
    """Three tokens 200 ms apart: the first is here while the last is not yet made."""
    stream = client.items(client.chat("sim-tokens-3-pace-200ms", stream=True))
    arrivals = []
    for chunk in stream:
        if text([chunk]):
            arrivals.append(time.monotonic())
    assert len(arrivals) == 3
    assert arrivals[-1] - arrivals[0] > 0.2


def test_several_choices_are_told_apart(client):
    answer = client.chat("gpt-4o", n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    chunks = client.items(client.chat("sim-pace-1ms", n=2, stream=True))
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}


def test_a_stream_that_is_closed_early_leaves_the_gateway_serving(client):
    stream = client.chat("sim-tokens-1000-pace-20ms", stream=True)
    next(client.items(stream))
    client.call(stream.close())
    assert client.chat("gpt-4o").choices


def test_fifty_chats_at_once_are_all_answered(base_url, api_key):
    async def ask(sdk, number):
        messages = [{"role": "user", "content": f"Number {number}"}]
        stream = await sdk.chat.completions.create(model="sim-pace-1ms", messages=messages, stream=True)
        streamed = text([chunk async for chunk in stream])
        whole = await sdk.chat.completions.create(model="sim-pace-1ms", messages=messages)
        return streamed, whole.choices[0].message.content

    async def ask_all():
        async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key=api_key, max_retries=0) as sdk:
            return await asyncio.gather(*(ask(sdk, number) for number in range(50)))

    answers = asyncio.run(ask_all())
    assert all(streamed and streamed == whole for streamed, whole in answers)
    assert len({whole for _, whole in answers}) > 1
