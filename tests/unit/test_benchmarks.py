"""The benchmark's own arithmetic, that every contender does the job, and that the pages say what was measured."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import oracle
import pytest
from records import SONNET, Process, converse

import benchmarks.__main__ as bench
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from benchmarks import analyze, cold_start, contenders, growth, handler, mixes, price, timing
from benchmarks.contenders import FLOOR, GROUPED, OURS, USUAL
from benchmarks.growth import Axis, Point
from benchmarks.handler import Cost
from benchmarks.processor import Processor
from benchmarks.timing import Measured
from localaws import traffic
from localaws.traffic import LogEvent
from quota_monitor.cost import bill
from quota_monitor.cost.prices import read_prices

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")

METRICS = ("ReservedTokens", "ConsumedTokens", "OutputTokens", "MaxTokens")


@pytest.fixture(scope="module")
def ours() -> Processor:
    return Processor()


def part(name: str, of: str = PAGE) -> str:
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", of, re.DOTALL)
    return str(found)


def cells(name: str, of: str = PAGE) -> dict[str, dict[str, str]]:
    """Rows of a table by their first cell, their cells by heading; of equal headings the first is meant."""
    table = [row for row in part(name, of).splitlines() if row.startswith("|")]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    headings = rows[0]
    return {row[0]: dict(reversed(list(zip(headings, row, strict=True)))) for row in rows[2:]}


# ---------------------------------------------------------------- contenders


def record(second: int, role: str, tokens: tuple[int, int, int], session: str = "one") -> LogEvent:
    """A call of a model whose burndown rate is 5; tokens are of input, of output, and the limit."""
    given, output, limit = tokens
    now = datetime.now(UTC).replace(second=second)
    entry = {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "identity": {"arn": f"arn:aws:sts::111122223333:assumed-role/{role}/{session}"},
        "operation": "Converse",
        "modelId": "anthropic.claude-sonnet-4-6",
        "input": {"inputTokenCount": given, "inputBodyJson": {"inferenceConfig": {"maxTokens": limit}}},
        "output": {"outputTokenCount": output},
    }
    return LogEvent(round(now.timestamp() * 1000), json.dumps(entry))


def read(written: str) -> list[dict[str, Any]]:
    """The lines that carry metrics of a bucket."""
    return [line for line in map(json.loads, written.splitlines()) if "ModelId" in line]


def totals(lines: list[dict[str, Any]]) -> dict[str, float]:
    values = {name: [line.get(name, []) for line in lines] for name in METRICS}
    return {
        name: sum(sum(each) if isinstance(each, list) else each for each in found) for name, found in values.items()
    }


@pytest.mark.parametrize(
    ("name", "lines"),
    # 250 calls of two roles in one minute; our lines hold 32 values, the format's 100, Powertools' 99 and one
    [
        (OURS, 9),  # 240 by 32 are 8 lines, the others one more
        ("standard library", 4),
        (GROUPED, 6),
        (USUAL, 250),
        ("Powertools parser + metrics", 250),
    ],
)
def test_every_contender_writes_what_was_called(name: str, lines: int, ours: Processor) -> None:
    # given 240 calls of one role, by two sessions, and 10 of another
    calls = [record(10, "Chat", (100, 20, 1_000), f"session{number % 2}") for number in range(240)]
    calls += [record(20, "Report", (7, 3, 50)) for _ in range(10)]
    ours.remember_others()
    # when they are one delivery
    written = read(contenders.contenders(ours)[name](mixes.make_delivery(calls)) or "")
    # then all that they reserved, consumed, put out and asked for is there once
    assert totals(written) == {
        "ReservedTokens": 240 * (100 + 1_000) + 10 * (7 + 50),
        "ConsumedTokens": 240 * (100 + 5 * 20) + 10 * (7 + 5 * 3),
        "OutputTokens": 240 * 20 + 10 * 3,
        "MaxTokens": 240 * 1_000 + 10 * 50,
    }
    assert len(written) == lines


def test_this_projects_mix_is_what_an_independent_count_says(ours: Processor) -> None:
    # given a mix of all applications
    mix = mixes.mix(traffic.chat, 100)
    ours.remember_others()
    # when the contender handles each of its deliveries
    written = [read(ours.write(event)) for event in mix.events]
    # then each is counted whole: none is another's duplicate
    facts = oracle.facts_of(ROOT / "registry" / "models", datetime.now(UTC))
    counted = oracle.sum_up([json.loads(each.message) for each in mix.records], facts, {})
    sums = [sums for minutes in counted.pools.values() for sums in minutes.values()]
    assert len(written) == 3
    for lines in written:
        assert totals(lines)["ReservedTokens"] == sum(each.reserved for each in sums)
        assert totals(lines)["ConsumedTokens"] == sum(each.consumed for each in sums)
        assert sum(line["requests"] for line in lines) == 100
        # and with the share of its quota, where the model is known
        assert all(("ConsumedQuotaPercent" in line) != ("preview" in line["ModelId"]) for line in lines)


def test_a_delivery_that_the_container_has_seen_is_ignored_until_it_remembers_others(ours: Processor) -> None:
    event = mixes.make_delivery([record(10, "Chat", (1, 1, 1))])
    ours.remember_others()

    assert [len(read(ours.write(event))) for _ in range(2)] == [1, 0]
    ours.remember_others()
    assert len(read(ours.write(event))) == 1


def test_the_floor_reads_each_record_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decode, decoded = contenders._record_decoder.decode, []

    class Counting:
        def decode(self, message: str) -> object:
            decoded.append(message)
            return decode(message)

    monkeypatch.setattr(contenders, "_record_decoder", Counting())
    mix = mixes.mix(traffic.chat, 100)

    contenders.floor(mix.events[0])

    assert decoded == [each.message for each in mix.records]


@pytest.mark.parametrize("name", [FLOOR, "standard library", GROUPED, USUAL, "Powertools parser + metrics"])
def test_every_contender_takes_records_of_every_application(name: str, ours: Processor) -> None:
    # a contender that cannot take one raises
    contenders.contenders(ours)[name](mixes.make_delivery(traffic.chat(100, datetime.now(UTC))))


# ---------------------------------------------------------------- mixes


def test_mixes_hold_what_their_names_say() -> None:
    found = mixes.all_mixes()

    sizes = {name: sorted(len(each.message) for each in mix.records) for name, mix in found.items()}
    assert {name: (len(each), found[name].count) for name, each in sizes.items()} == {
        "1,000 chat records of 1.9 KB": (1_000, 1_000),
        "300 mixed, median 6 KB": (300, 300),
        "100 agent turns of 60-100 KB": (100, 100),
        "10 chat records": (10, 10),
        "1 chat record": (1, 1),
    }
    assert sum(sizes["1,000 chat records of 1.9 KB"]) / 1_000 == pytest.approx(1_900, rel=0.1)
    assert sizes["300 mixed, median 6 KB"][150] == pytest.approx(6_000, rel=0.2)
    assert sizes["100 agent turns of 60-100 KB"][0] > 60_000
    # and small deliveries come so often that a timing covers about 300 records
    assert [len(mix.events) for mix in found.values()] == [1, 1, 3, 30, 300]


def test_no_two_deliveries_of_a_mix_have_an_event_in_common() -> None:
    mix = mixes.mix(traffic.chat, 10)

    assert len({each["awslogs"]["data"] for each in mix.events}) == 30


# ---------------------------------------------------------------- timing


def test_each_is_timed_by_itself_in_turn_and_what_comes_before_is_not() -> None:
    # given a clock that runs 2 s in one, 3 s in the other, and 100 s before each
    now, order = [0.0], []

    def take(seconds: float, name: str) -> None:
        now[0] += seconds
        order.append(name)

    runs = {"a": lambda: take(2, "a"), "b": lambda: take(3, "b")}

    taken = timing.interleaved(runs, seconds=0, before=lambda: take(100, "-"), cpu=lambda: now[0], clock=lambda: now[0])

    assert taken == {"a": [2.0] * 5, "b": [3.0] * 5}
    assert "".join(order) == "-a-b" * 6  # the first of them is not counted


def test_it_goes_on_until_the_time_is_over() -> None:
    clock = iter(range(100))

    taken = timing.interleaved({"a": lambda: None}, seconds=10, clock=lambda: next(clock))

    assert len(taken["a"]) == 5 + 9  # asked from the fifth round on: at second 1, 2, … until it is 10


def test_summary_is_the_median_and_half_the_distance_of_the_quartiles() -> None:
    # quartiles 2, 4, 6 of 1 to 7
    assert timing.summary([7, 1, 2, 3, 4, 5, 6]) == Measured(4, 0.5)


def test_the_spread_of_a_ratio_is_that_of_single_rounds() -> None:
    # a machine that slows down twentyfold slows both down: 2 in every round
    slow = [1.0, 20.0, 5.0, 1.0, 10.0]

    assert timing.ratio([2 * each for each in slow], slow) == Measured(2, 0)
    assert str(Measured(1.456, 0.021)) == "1.46 ±2%"


# ---------------------------------------------------------------- tables

HOT = {
    "10 chat records": (
        300,
        {
            FLOOR: [0.001] * 5,
            OURS: [0.002] * 5,
            "standard library": [0.003] * 5,
            GROUPED: [0.005] * 5,
            USUAL: [0.012] * 5,
        },
    )
}


def test_ratios_are_to_the_floor_and_the_gain_is_the_usual_ways_to_ours() -> None:
    *_, row = bench.hot_path(HOT)

    # 1 ms of 300 records is 3.3 µs each; 12 ms are 6 times ours
    assert row == "| 10 chat records | 3.3 ±0% | 2.00 ±0% | 3.00 ±0% | 5.00 ±0% | 12.00 ±0% | 6.0 |"
    *_, short = bench.speed(HOT)
    assert short == "| 10 chat records | 2.00 | 3.00 | 5.00 | 12.00 |"


def test_each_contender_is_timed_on_every_delivery_of_a_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    # given three deliveries of a record each
    events = [mixes.make_delivery([record(10, "Chat", (1, 1, 1))], number) for number in range(3)]
    monkeypatch.setattr(mixes, "all_mixes", lambda: {"three": mixes.Mix(1, [], events)})
    written: list[int] = []
    write = Processor.write
    monkeypatch.setattr(Processor, "write", lambda self, event: written.append(len(read(write(self, event)))))

    hot = bench._measure_mixes(0)

    # then a timing covers them all, in six rounds, and none is ever known as a duplicate
    (records, taken) = hot["three"]
    assert records == 3
    assert [len(each) for each in taken.values()] == [5] * 6
    assert written == [1] * 3 * 6


def test_parts_of_a_delivery_are_what_its_size_does_not_change_and_what_each_call_adds() -> None:
    # 1 ms, and 0.1 ms a call; duplicate detection 4 ms
    parts = handler.parts({1: (0.0011, 0.0051), 10: (0.002, 0.006), 1_000: (0.101, 0.105)})

    assert parts.delivery == pytest.approx(0.001)
    assert parts.detection == pytest.approx(0.004)
    assert parts.call == pytest.approx(0.0001)


# ---------------------------------------------------------------- cold start


@pytest.mark.parametrize(("name", "detection"), [(name, name[-3:].strip()) for name in cold_start.STARTS])
def test_a_start_detects_duplicates_as_its_name_says(name: str, detection: str) -> None:
    assert cold_start.environment(name, {})["DUPLICATE_DETECTION"] == ("on" if detection == "on" else "off")


# ---------------------------------------------------------------- price


def test_cpu_is_billed_for_the_part_of_a_processor_that_comes_with_the_memory() -> None:
    # a quarter of a processor takes four times as long, and waits as long as any
    assert price.billed_seconds(0.010, 1_769 / 4, 0.005) == pytest.approx(0.045)
    assert price.billed_seconds(0.010, 1_769) == pytest.approx(0.010)
    assert price.billed_seconds(0.010, 10_000) == pytest.approx(0.010)


def test_more_memory_costs_more_where_there_is_waiting_and_not_else() -> None:
    small, *_, large = price.sizes(0.002)

    # 100,000 deliveries of 0.002 × 1,769 / 128 s and 10 ms, of an eighth of a GB; 20 cents a million requests
    assert small.milliseconds == pytest.approx(37.64, abs=0.01)
    assert small.lambda_dollars == pytest.approx(0.02 + 100_000 * 0.03764 / 8 * 0.0000133334, rel=1e-3)
    assert large.milliseconds == pytest.approx(12)
    assert large.lambda_dollars - small.lambda_dollars == pytest.approx(
        100_000 * 0.010 * (1_769 - 128) / 1_024 * 0.0000133334, rel=1e-3
    )
    assert large.dollars - small.dollars == pytest.approx(large.lambda_dollars - small.lambda_dollars)


def test_a_size_that_the_worst_delivery_does_not_fit_into_says_so() -> None:
    table = list(bench.memory_sizes(0.002, 160 * 2**20))

    assert [re.split(r" *\| *", row)[1:6:4] for row in table[2:4]] == [["128", "does not fit"], ["192", "32 MB"]]


def test_bytes_of_a_call_are_those_that_the_bill_counts() -> None:
    for row in price.rows():
        written = bill.line_bytes(
            row.calls, price.make_records_of_one_kind if row.deliveries == price.ONE_KIND else traffic.chat
        )
        assert row.line_bytes == (written.written + 26 * written.lines) / row.calls
        assert f"metric lines {row.line_bytes * 1e6 / 1e9 * 0.5:.3f}," in row.parts


def test_calls_of_one_kind_are_of_one_role() -> None:
    callers = [
        json.loads(each.message)["identity"]["arn"].split("/")[1]
        for each in price.make_records_of_one_kind(10, datetime.now(UTC), 0)
    ]

    assert callers == ["SupportChat"] * 10


# ---------------------------------------------------------------- growth


def points(*seconds: tuple[int, float]) -> list[Point]:
    return [Point(x, (taken,) * 5, 5, 1) for x, taken in seconds]


def test_steepest_slope_is_that_of_neighbours_on_logarithmic_axes() -> None:
    # 10 times as many take 10 times, then 100 times as much: linear, then quadratic
    found = points((1, 1), (10, 10), (100, 1_000))

    assert growth.steepest(found, lambda point: point.seconds) == pytest.approx(2)
    assert growth.steepest(found[:2], lambda point: point.seconds) == pytest.approx(1)
    assert growth.steepest(found, lambda point: point.memory) == pytest.approx(0)


def test_a_quadratic_step_is_flagged_and_noise_is_not() -> None:
    # linear but for one step, which is quadratic: threefold makes ninefold
    quadratic = points((10, 10), (30, 30), (100, 100), (300, 900))
    noisy = points((10, 10), (30, 34), (100, 101), (300, 310))

    assert growth.format_slope(growth.steepest(quadratic, lambda point: point.seconds)) == "**2.00, more than linear**"
    assert growth.format_slope(growth.steepest(noisy, lambda point: point.seconds)) == "1.11"


def test_noise_is_how_much_the_steepest_slope_of_single_rounds_differs() -> None:
    # tenfold takes 10^0.8, 10^1, 10^1.2 … times as long: quartiles 0.9 and 1.3
    rounds = tuple(10**slope for slope in (0.8, 1.0, 1.2, 1.0, 1.4))

    assert growth.noise([Point(1, (1.0,) * 5, 1, 1), Point(10, rounds, 1, 1)]) == pytest.approx(0.2)
    assert growth.noise(points((1, 1), (10, 10))) == pytest.approx(0)


def test_every_axis_is_two_decades_or_more() -> None:
    assert all(axis.xs[-1] >= 100 * axis.xs[0] for axis in growth.AXES)
    (pools,) = (axis for axis in growth.AXES if axis.what == "pools")
    assert pools.xs[-1] >= 10_000  # ten times the kinds that have lines of their own


def test_peak_is_the_most_memory_at_a_time() -> None:
    def done() -> int:
        return len(bytearray(10_000_000))  # gone again

    came_to, memory = growth.peak(done)

    assert came_to == 10_000_000
    assert memory > 10_000_000


def test_points_have_the_lines_that_were_written() -> None:
    (pools,) = (axis for axis in growth.AXES if axis.what == "pools")
    axis = Axis("pools", "", (1, 3), lambda x: pools.events(x)[:30])

    found = growth.measure(axis, 0)

    # 30 calls of one pool on one line, of three pools on three; and health
    assert [(point.x, point.lines, len(point.rounds)) for point in found] == [(1, 2, 5), (3, 4, 5)]


def test_a_first_delivery_finds_nothing_remembered() -> None:
    from bedrock_quota.processor.callers import _parse_name, parse_caller  # noqa: PLC0415

    parse_caller("arn:aws:iam::111122223333:role/A")
    assert _parse_name.cache_info().currsize > 0

    growth.forget()

    assert _parse_name.cache_info().currsize == 0


# ---------------------------------------------------------------- reading logs


@pytest.mark.parametrize("mix", analyze.MIXES)
def test_the_floor_and_analyze_read_the_same_records(tmp_path: Path, mix: str) -> None:
    make, _ = analyze.MIXES[mix]
    path = tmp_path / "records.json"
    analyze.write_records(path, make, different=20, count=50)

    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    tokens = [each["input"]["inputTokenCount"] + each["output"]["outputTokenCount"] for each in lines]
    assert analyze.read_records(path) == len(lines) == 50
    assert analyze.read_floor(path) == sum(tokens)
    assert len({each["requestId"] for each in lines}) == 50


# ---------------------------------------------------------------- pages


def test_page_has_one_place_for_each_table_and_it_is_filled() -> None:
    places = re.findall(r"<!-- ([a-z ]+) -->\n(.*?)\n<!-- end -->", PAGE, re.DOTALL)

    assert [name for name, _ in places] == [
        "machine",
        "speed",
        "hot path",
        "handler",
        "cold start",
        "price",
        "memory sizes",
        "growth",
        "analyze",
    ]
    assert all(text.strip() for _, text in places)


def test_the_short_table_shows_the_speed_that_was_measured() -> None:
    measured, shown = cells("hot path"), cells("speed")

    assert list(shown) == list(measured)
    for delivery, row in shown.items():
        for name, cell in row.items():
            assert cell == measured[delivery][name].split(" ±")[0]


def test_price_of_a_million_calls_is_what_the_pages_say() -> None:
    shown = cells("price")
    rows = {row.deliveries: row for row in price.rows()}

    assert list(shown) == list(rows)
    for deliveries, row in rows.items():
        assert shown[deliveries]["metric lines, bytes per call"] == f"{row.line_bytes:,.0f}"
        assert shown[deliveries]["$ per million calls"] == f"{row.with_detection:.2f}"
        assert shown[deliveries]["breakdown"] == row.parts
    assert f"deliveries of ten add ${rows['10'].with_detection:.2f}" in README
    assert f"one call a delivery, ${rows['1'].with_detection:.2f}" in README


def measured_cpu() -> Mapping[int, tuple[float, float]]:
    """CPU seconds of a delivery, without and with detection, by its records, as the page has them."""
    return {
        int(records.replace(",", "")): (milliseconds(row["detection off, ms"]), milliseconds(row["detection on, ms"]))
        for records, row in cells("handler").items()
    }


def milliseconds(cell: str) -> float:
    return float(cell.split(" ±", maxsplit=1)[0]) / 1e3


def test_durations_that_are_billed_follow_from_the_cpu_that_was_measured() -> None:
    parts, assumed = handler.parts(measured_cpu()), read_prices()
    memory = bill.memory_gigabytes() * 1024

    # as far as another machine, or a busy one, measures something else
    for seconds, cpu, waiting in (
        (assumed.delivery_seconds, parts.delivery, 0),
        (assumed.duplicate_detection_seconds, parts.detection, price.WAITING_SECONDS),
        (assumed.call_seconds, parts.call, 0),
    ):
        assert seconds == pytest.approx(price.billed_seconds(cpu, memory, waiting), rel=0.5)


def test_page_says_the_cpu_of_a_thousand_calls_that_was_measured() -> None:
    shown = cells("price")

    for records, (_, on) in measured_cpu().items():
        cell = float(shown[f"{records:,}"]["CPU, ms per 1,000 calls"].replace(",", ""))
        assert cell == pytest.approx(on / records * 1e6, abs=0.6)


def test_page_shows_the_templates_memory_and_that_half_of_it_is_too_little() -> None:
    shown = cells("memory sizes")
    memory = round(bill.memory_gigabytes() * 1024)

    assert f"the template takes {memory} MB" in PAGE
    left = {int(size.replace(",", "")): row["left by the worst delivery"] for size, row in shown.items()}
    assert left[memory].endswith(" MB")
    assert left[memory // 2] == "does not fit"
    half, less, all_of_it = (float(shown[str(size)]["total, $"]) for size in (128, 192, memory))
    assert "less than a cent per million calls" in PAGE
    assert 0 < all_of_it - half < 0.01
    assert "192 MB would leave nothing to spare" in PAGE
    assert left[192] == "does not fit" or int(left[192].removesuffix(" MB")) < 32
    assert all_of_it - less == pytest.approx(0.001, abs=0.001)


def test_a_further_kind_among_ten_calls_costs_what_the_page_says() -> None:
    rows = {row.deliveries: row.with_detection for row in price.rows()}
    many, one = bill.line_bytes(10, traffic.chat), bill.line_bytes(10, price.make_records_of_one_kind)

    each = (rows["10"] - rows[price.ONE_KIND]) / (many.lines - one.lines)

    assert "is one more line, some $0.05 per million" in PAGE
    assert each == pytest.approx(0.05, abs=0.005)


def test_about_half_of_a_line_says_what_is_a_metric(process: Process) -> None:
    quotas = {QuotaPool(SONNET, EndpointType.REGIONAL): PoolQuota(400_000, 400)}

    (line, _) = process([converse()], quotas=quotas, quota_age_seconds=60).lines

    directive = json.dumps(json.loads(line)["_aws"], separators=(",", ":"))
    assert "About half of such a line says what in it is a metric" in PAGE
    assert len(directive) / len(line) == pytest.approx(0.5, abs=0.06)


def test_a_client_that_calls_once_a_minute_pays_what_the_page_says() -> None:
    # a month of minutes, a request each, at $0.01 a thousand
    requests = 730 * 60

    assert f"{requests:,} requests per month, ${requests / 1_000 * 0.01:.2f}" in PAGE
    # for which this has so many calls, in deliveries of ten
    (ten,) = (row for row in price.rows() if row.deliveries == "10")
    calls = requests / 1_000 * 0.01 / ten.with_detection * 1e6
    assert f"from\nsome {calls / requests:.0f} calls per minute and process" in PAGE


def test_costs_are_read_as_they_are_written() -> None:
    *_, row = bench.render_handler_table({10: Cost(off=Measured(0.0002, 0.01), on=Measured(0.0043, 0.02))})

    assert row == "| 10 | 0.200 ±1% | 4.300 ±2% |"
