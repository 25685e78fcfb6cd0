"""The list of models: what a key may call, and nothing about the rest."""

import openai
import pytest



def test_models_are_listed(client):
    page = client.call(client.sdk.models.list())
    assert page.object == "list"
    assert {"gpt-4o", "text-embedding-3-small"} <= {model.id for model in page.data}
    assert all(model.object == "model" and isinstance(model.created, int) for model in page.data)
    assert all(isinstance(model.owned_by, str) for model in page.data)


def test_a_model_is_retrieved(client):
    model = client.call(client.sdk.models.retrieve("gpt-4o"))
    assert (model.id, model.object) == ("gpt-4o", "model")


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.call(client.sdk.models.retrieve("no-such-model"))
    assert caught.value.code == "model_not_found"


def test_a_key_sees_only_what_it_may_call(restricted):
    page = restricted.call(restricted.sdk.models.list())
    assert "gpt-4o" in [model.id for model in page.data]
    assert all(model.id.startswith("gpt-") for model in page.data)
    with pytest.raises(openai.NotFoundError) as caught:
        restricted.call(restricted.sdk.models.retrieve("text-embedding-3-small"))
    assert caught.value.code == "model_not_found"
