"""The benchmark's own arithmetic, and that the page has a place for each of its tables."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import growth, price
from benchmarks.contenders import CONTENDERS
from benchmarks.growth import Point
from benchmarks.mixes import delivery_of
from localaws import traffic

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def test_page_has_one_place_for_each_table_and_it_is_filled() -> None:
    places = re.findall(r"<!-- ([a-z ]+) -->\n(.*?)\n<!-- end -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)

    assert [name for name, _ in places] == ["machine", "hot path", "cold start", "price", "growth"]
    assert all(text.strip() for _, text in places)


def test_steepest_slope_is_that_of_neighbours_on_logarithmic_axes() -> None:
    # 10 times as many take 10 times, then 100 times as much: linear, then quadratic
    points = [Point(1, 1, 5, 1), Point(10, 10, 5, 1), Point(100, 1_000, 5, 1)]

    assert growth.steepest(points, lambda point: point.seconds) == pytest.approx(2)
    assert growth.steepest(points[:2], lambda point: point.seconds) == pytest.approx(1)
    assert growth.steepest(points, lambda point: point.memory) == pytest.approx(0)


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_takes_records_of_every_application(name: str) -> None:
    CONTENDERS[name](delivery_of(traffic.chat(100, datetime.now(UTC))))


def test_price_of_a_million_calls_is_what_the_readme_says() -> None:
    (ten,) = (row for row in price.rows() if row.deliveries == "10")

    assert f"deliveries of ten add ${ten.with_detection:.2f}" in PAGE.parents[1].joinpath("README.md").read_text()
