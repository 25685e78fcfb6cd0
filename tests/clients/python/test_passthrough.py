"""Paths that the gateway passes on: responses, files, and whatever else is documented under /v1.

The simulated provider answers an unknown path with an account of what reached it."""

import hashlib
import json
import re

import pytest


def echo_of(raw):
    echo = json.loads(raw.text() if callable(raw.text) else raw.text)
    assert echo["object"] == "sim.echo"
    return echo


def test_a_response_is_answered(client):
    answer = client.call(client.sdk.responses.create(model="gpt-4o", input="Say something."))
    assert answer.object == "response"
    assert answer.status == "completed"
    assert answer.output_text
    assert answer.usage.total_tokens > 0


def test_a_streamed_response_ends_completed(client):
    stream = client.call(client.sdk.responses.create(model="gpt-4o", input="Say something.", stream=True))
    events = list(client.items(stream))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert deltas == events[-1].response.output_text


def test_an_upload_goes_through_byte_for_byte(client):
    content = bytes(range(256)) * 1024
    raw = client.call(
        client.sdk.files.with_raw_response.create(file=("data.jsonl", content), purpose="batch")
    )
    echo = echo_of(raw)
    sent = client.sent[-1]
    assert (echo["method"], echo["path"]) == ("POST", "/v1/files")
    assert echo["content_type"] == sent.headers["content-type"]
    assert echo["content_type"].startswith("multipart/form-data; boundary=")
    assert echo["body_bytes"] > len(content)
    if "content-length" in sent.headers:
        assert echo["body_bytes"] == int(sent.headers["content-length"])


def test_an_upload_of_known_bytes_arrives_with_its_digest(client):
    body = bytes(range(256)) * 4096
    asked = client.sdk.post(
        "/uploads/upload_1/parts",
        content=body,
        cast_to=object,
        options={"headers": {"content-type": "application/octet-stream"}},
    )
    echo = client.call(asked)
    assert echo["body_bytes"] == len(body)
    assert echo["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert echo["content_type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("method", "ask", "path"),
    [
        ("GET", lambda files: files.list(limit=3, order="asc"), "/v1/files"),
        ("GET", lambda files: files.retrieve("file-1"), "/v1/files/file-1"),
        ("DELETE", lambda files: files.delete("file-1"), "/v1/files/file-1"),
    ],
)
def test_files_are_listed_fetched_and_deleted(client, method, ask, path):
    echo = echo_of(client.call(ask(client.sdk.files.with_raw_response)))
    assert (echo["method"], echo["path"]) == (method, path)
    assert echo["query"] == client.sent[-1].url.query.decode()
    assert echo["body_bytes"] == 0


def test_the_clients_key_and_cookies_stay_at_the_gateway(client, api_key):
    echo = echo_of(client.call(client.sdk.files.with_raw_response.list()))
    assert api_key not in json.dumps(echo)
    assert "cookie" not in echo["headers"]


def test_answers_carry_the_headers_that_support_asks_for(client):
    messages = [{"role": "user", "content": "Hello"}]
    create = client.sdk.chat.completions.with_raw_response.create
    raws = [client.call(create(model="gpt-4o", messages=messages)) for _ in range(2)]
    for raw in raws:
        assert re.fullmatch(r"req_[0-9a-f]{32}", raw.headers["x-request-id"])
        assert int(raw.headers["openai-processing-ms"]) >= 0
        assert client.call(raw.parse())._request_id == raw.headers["x-request-id"]
    assert raws[0].headers["x-request-id"] != raws[1].headers["x-request-id"]
