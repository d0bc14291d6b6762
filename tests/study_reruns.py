"""What any rerun of a study is asked."""

import json

import pytest

from hepstat.errors import InputError


def assert_written(results, study, pictures):
    """Assert that all pictures and the rows are in files, and that names of rows are unique."""
    assert {file.name for file in results.files} == {*pictures, "results.json"}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in results.files[:-1])
    assert len({entry.name for entry in results.rows}) == len(results.rows)
    assert json.loads(results.files[-1].read_text("utf-8"))["study"] == study


def assert_refused(reproduce, scales, folder):
    """Assert that there are three scales, and that a bad argument is named."""
    assert set(scales) == {"tiny", "quick", "full"}
    for options, argument in (({"scale": "huge"}, "scale"), ({"seed": -1}, "seed")):
        with pytest.raises(InputError) as caught:
            reproduce(folder, **options)
        assert caught.value.argument == argument
