"""Answers of a shape that was asked for: tool calls, structured output, vectors, plain text."""

import json
import math

import pydantic

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
REQUIRED = {"tools": [WEATHER], "tool_choice": "required"}


class Step(pydantic.BaseModel):
    explanation: str
    result: int


class Solution(pydantic.BaseModel):
    steps: list[Step]
    answer: float


def check_arguments(arguments):
    parsed = json.loads(arguments)
    assert isinstance(parsed["city"], str)
    assert parsed["days"] >= 1


def test_a_required_tool_is_called(client):
    choice = client.chat("gpt-4o", "Weather in Lyon?", **REQUIRED).choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "weather"
    check_arguments(call.function.arguments)


def test_a_streamed_tool_call_comes_in_fragments_that_make_json(client):
    fragments, names, finish = [], [], None
    for chunk in client.items(client.chat("sim-pace-1ms", "Weather in Lyon?", stream=True, **REQUIRED)):
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or []:
                names.append(call.function.name)
                fragments.append(call.function.arguments or "")
    assert [name for name in names if name] == ["weather"]
    assert len(fragments) > 1
    check_arguments("".join(fragments))
    assert finish == "tool_calls"


def test_the_answer_to_a_tool_goes_back_into_the_conversation(client):
    called = client.chat("gpt-4o", "Weather in Lyon?", **REQUIRED).choices[0].message
    messages = [
        {"role": "user", "content": "Weather in Lyon?"},
        called.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": '{"sky":"clear"}'},
    ]
    answer = client.call(client.sdk.chat.completions.create(model="gpt-4o", messages=messages))
    assert answer.choices[0].message.content


def test_structured_output_is_parsed_into_its_model(client):
    messages = [{"role": "user", "content": "Solve 8x + 7 = 23."}]
    answer = client.call(
        client.sdk.chat.completions.parse(model="gpt-4o", messages=messages, response_format=Solution)
    )
    assert isinstance(answer.choices[0].message.parsed, Solution)


def test_embeddings_are_decoded_from_base64_by_default(client):
    answer = client.call(
        client.sdk.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    )
    assert json.loads(client.sent[-1].content)["encoding_format"] == "base64"
    assert [item.index for item in answer.data] == [0, 1]
    assert all(math.isclose(math.hypot(*item.embedding), 1, abs_tol=1e-3) for item in answer.data)
    assert answer.usage.prompt_tokens > 0


def test_floats_and_base64_are_the_same_vector(client):
    def embed(**more):
        asked = client.sdk.embeddings.create(model="text-embedding-3-small", input="one", **more)
        return client.call(asked).data[0].embedding

    decoded, floats = embed(), embed(encoding_format="float")
    assert len(decoded) == len(floats)
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(decoded, floats))


def test_an_embedding_has_the_dimensions_it_was_asked_for(client):
    asked = client.sdk.embeddings.create(model="text-embedding-3-small", input="one", dimensions=64)
    assert len(client.call(asked).data[0].embedding) == 64


def test_a_legacy_completion_is_answered_whole_and_streamed(client):
    def complete(**more):
        return client.call(client.sdk.completions.create(model="sim-pace-1ms", prompt="Once", **more))

    whole = complete()
    assert whole.object == "text_completion"
    assert whole.choices[0].text
    assert whole.usage.completion_tokens > 0
    chunks = client.items(complete(stream=True))
    streamed = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert streamed == whole.choices[0].text
