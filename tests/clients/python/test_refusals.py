"""Errors: each is the class of the SDK that a program catches, with the code it looks at."""

import re

import openai
import pytest


def test_a_wrong_key_is_an_authentication_error_that_does_not_repeat_it(connect, base_url):
    wrong = "sk-weir-this-key-was-never-given-to-anyone"
    with pytest.raises(openai.AuthenticationError) as caught:
        connect(base_url=f"{base_url}/v1", api_key=wrong).chat()
    assert caught.value.code == "invalid_api_key"
    assert caught.value.type == "invalid_request_error"
    assert wrong not in str(caught.value)
    assert wrong not in caught.value.response.text


def test_no_key_is_an_authentication_error(client):
    with pytest.raises(openai.AuthenticationError) as caught:
        client.chat(extra_headers={"Authorization": openai.Omit()})
    assert "authorization" not in client.sent[-1].headers
    assert caught.value.type == "invalid_request_error"
    assert caught.value.code is None


def test_an_unknown_and_a_forbidden_model_are_refused_alike(client, restricted):
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat("no-such-model")
    with pytest.raises(openai.NotFoundError) as forbidden:
        restricted.chat("sim")
    for caught, model in ((unknown, "no-such-model"), (forbidden, "sim")):
        assert caught.value.code == "model_not_found"
        assert caught.value.body["message"] == (
            f"The model `{model}` does not exist or you do not have access to it."
        )
    assert restricted.chat("gpt-4o").choices


@pytest.mark.parametrize(
    "wrong",
    [{"model": 7}, {"model": ""}, {"messages": "hello"}, {"stream": "yes"}],
    ids=lambda wrong: next(f"{name}={value!r}" for name, value in wrong.items()),
)
def test_a_body_of_wrong_types_is_a_bad_request(client, wrong):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], **wrong}
    with pytest.raises(openai.BadRequestError) as caught:
        client.call(client.sdk.post("/chat/completions", body=body, cast_to=object))
    assert caught.value.type == "invalid_request_error"
    assert {"message", "type", "param", "code"} <= caught.value.body.keys()


def test_a_path_that_does_not_exist_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.call(client.sdk.post("/no/such/path", body={}, cast_to=object))
    assert caught.value.body["message"] == "Invalid URL (POST /v1/no/such/path)"


def test_a_rate_limit_says_when_to_come_back(client):
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat("sim-status-429-retry-after-1s")
    assert caught.value.code == "rate_limit_exceeded"
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
    assert int(caught.value.response.headers["retry-after-ms"]) > 0


def test_the_sdk_does_not_repeat_what_the_gateway_has_tried(client):
    eager = client.with_options(max_retries=2)
    before = len(client.sent)
    with pytest.raises(openai.InternalServerError) as caught:
        eager.chat("sim-status-500")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(client.sent) - before == 1


def test_the_gateway_gets_past_a_failure_by_itself(client):
    before = len(client.sent)
    assert client.chat("sim-flaky-1").choices
    assert "".join(
        chunk.choices[0].delta.content or ""
        for chunk in client.items(client.chat("sim-flaky-1-pace-1ms", stream=True))
    )
    assert len(client.sent) - before == 2


@pytest.mark.parametrize("fault", ["cut-5", "reset-5", "malformed-5", "midway-error-5", "no-done"])
def test_a_broken_stream_never_ends_like_a_whole_one(client, fault):
    contents = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in client.items(client.chat(f"sim-pace-1ms-{fault}", stream=True)):
            contents += [choice.delta.content for choice in chunk.choices if choice.delta.content]
    assert contents
    assert caught.type is openai.APIError, "an error event, not a connection that broke"
    assert {"message", "type", "param", "code"} <= caught.value.body.keys()


@pytest.mark.parametrize("fault", ["html", "error-body", "refuse"])
def test_what_is_no_answer_becomes_an_error(client, fault):
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat(f"sim-{fault}")
    assert {"message", "type", "param", "code"} <= caught.value.body.keys()
    assert re.fullmatch(r"req_[0-9a-f]{32}", caught.value.request_id)
