"""What a guide's name stands for."""

import pytest

from gistembed.errors import UserError
from gistembed.guide import EndpointGuide, GuideSettings, ModelGuide, open_guide


def test_a_folder_is_a_model(bert_folder):
    guide = open_guide(GuideSettings(str(bert_folder), prompts={"anchor": "q: "}, max_length=9))
    assert isinstance(guide, ModelGuide)
    assert guide.prompts == {"anchor": "q: ", "document": ""}
    assert guide.max_length == 9
    model = guide.load()
    assert (model.prompts["anchor"], model.max_length) == ("q: ", 9)


@pytest.mark.parametrize("url", ["http://localhost:1/v1", "HTTPS://api.example.org/v1"])
def test_a_url_is_an_endpoint(url):
    guide = open_guide(
        GuideSettings(f"{url}#a/model", prompts={"document": "d: "}, dimensions=7, requests_per_minute=30.0)
    )
    assert isinstance(guide, EndpointGuide)
    assert (guide.model, guide.dimensions, guide.requests_per_minute) == ("a/model", 7, 30)
    assert guide.prompts == {"anchor": "", "document": "d: "}
    assert guide.base_url == url.lower()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "http://localhost/v1",
            {},
            "http://localhost/v1: no model is named; write its name behind a #, URL#MODEL",
        ),
        (
            "http://localhost/v1#m",
            {"max_length": 9},
            "--guide m at http://localhost/v1: an endpoint cuts texts by its own rule; leave a length out",
        ),
        (
            "folder",
            {"requests_per_minute": 9.0},
            "--guide folder: requests per minute are for endpoints; leave them out",
        ),
    ],
)
def test_refusals(name, settings, message):
    with pytest.raises(UserError) as caught:
        open_guide(GuideSettings(name, **settings))
    assert str(caught.value) == message


def test_a_password_in_the_url_is_not_repeated():
    with pytest.raises(UserError) as caught:
        open_guide(GuideSettings("http://me:secret@localhost/v1"))
    assert "secret" not in str(caught.value)
