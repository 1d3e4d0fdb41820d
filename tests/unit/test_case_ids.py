"""Every parametrised case has an id in words, so that the name of a failed test says what was tried."""

import re
from collections.abc import Collection

import pytest


def _made_by_pytest(case: str, arguments: Collection[str]) -> bool:
    """Return whether pytest numbered a value because it could not name it: `entry3`, `<lambda>0`."""
    names = "|".join(map(re.escape, arguments))
    return re.search(rf"(?:^|-)(?:(?:{names})\d+|<lambda>\d*)(?=-|$)", case) is not None


def test_every_case_that_was_collected_has_an_id_in_words(request: pytest.FixtureRequest) -> None:
    cases = [each for each in request.session.items if isinstance(each, pytest.Function) and hasattr(each, "callspec")]

    numbered = [each.nodeid for each in cases if _made_by_pytest(each.callspec.id, each.callspec.params)]

    assert not numbered, "give these cases an id, as in pytest.param(..., id='key disabled'):\n" + "\n".join(numbered)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        pytest.param("entry0", True, id="a value alone"),
        pytest.param("us-east-1-entry12-5", True, id="a value among others"),
        pytest.param("<lambda>3", True, id="a function"),
        pytest.param("key disabled", False, id="words"),
        pytest.param("us-east-1-5-None", False, id="plain values"),
        pytest.param("no entry-2", False, id="words that end with the name of an argument"),
    ],
)
def test_number_of_a_value_is_told_from_words(case: str, expected: bool) -> None:
    assert _made_by_pytest(case, ["region", "entry", "count"]) is expected
