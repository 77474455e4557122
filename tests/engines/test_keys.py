"""The name of the generation settings, which stands in every key."""

import json

from src.engines.base import GenerationSettings
from src.engines.keys import generation_hash, settings_json

SETTINGS = {"max_new_tokens": 32, "temperature": 0.2, "top_p": 1.0, "seed": 20250908}


def test_responses_of_before_are_found_again():
    """The hash as it stands in studies that knew no stopping."""
    assert generation_hash(GenerationSettings(**SETTINGS)) == "06baadd99c5aefd4"
    assert json.loads(settings_json(GenerationSettings(**SETTINGS))) == SETTINGS


def test_stopping_changes_the_hash_and_is_kept():
    stopping = GenerationSettings(**SETTINGS, stop_when_decided=True)
    assert generation_hash(stopping) != generation_hash(GenerationSettings(**SETTINGS))
    assert json.loads(settings_json(stopping)) == {**SETTINGS, "stop_when_decided": True}
