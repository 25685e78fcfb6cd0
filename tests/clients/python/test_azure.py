"""The SDK's Azure client: deployment paths, `api-version` and the `api-key` header."""

import openai
import pytest

AZURE = ("AzureOpenAI", "AsyncAzureOpenAI")


@pytest.fixture(scope="module")
def azure(connect, base_url, api_key):
    return connect(AZURE, azure_endpoint=base_url, api_key=api_key, api_version="2024-10-21")


def test_a_chat_is_answered(azure):
    assert azure.chat("gpt-4o").choices[0].message.content
    sent = azure.sent[-1]
    assert sent.url.path == "/openai/deployments/gpt-4o/chat/completions"
    assert "authorization" not in sent.headers


def test_a_stream_is_answered(azure):
    chunks = azure.items(azure.chat("gpt-4o", stream=True))
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_an_embedding_is_answered(azure):
    asked = azure.sdk.embeddings.create(model="text-embedding-3-small", input="one")
    assert azure.call(asked).data[0].embedding


def test_a_wrong_key_is_an_authentication_error(connect, base_url):
    azure = connect(AZURE, azure_endpoint=base_url, api_key="sk-wrong", api_version="2024-10-21")
    with pytest.raises(openai.AuthenticationError) as caught:
        azure.chat("gpt-4o")
    assert caught.value.code == "invalid_api_key"


def test_an_unknown_deployment_is_not_found(azure):
    with pytest.raises(openai.NotFoundError) as caught:
        azure.chat("no-such-deployment")
    assert caught.value.code == "model_not_found"
