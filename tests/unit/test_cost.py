"""The bill, worked out by hand; and that what it counts is what the template and the processor have."""

import re
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from records import MINUTE, SONNET, Process, ReadLine, converse

from bedrock_quota.fetcher.quota_lines import lines_for_quotas
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.processor.health import HEALTH_METRICS
from quota_monitor import data_files
from quota_monitor.cost import bill
from quota_monitor.cost.bill import Alarms, Batch, LineBytes, Use
from quota_monitor.cost.prices import Prices, read_price_list, read_prices
from quota_monitor.main import main

README = Path(__file__).parents[2] / "README.md"
COSTS = (README.parent / "docs" / "costs.md").read_text(encoding="utf-8")
PRICES = Prices(
    metric_month=0.5,
    alarm_metric_month=0.25,
    dashboard_month=4,
    log_gigabyte=2,
    log_gigabyte_month=0.03,
    log_scanned_gigabyte=0.04,
    lambda_million_requests=10,
    lambda_gigabyte_second=0.001,
    table_million_writes=100,
    queue_million_requests=50,
    stream_hour=1,
    stream_gigabyte_in=10,
    stream_gigabyte_out=5,
    event_overhead_bytes=20,
    platform_log_bytes=500,
    delivery_seconds=0.04,
    duplicate_detection_seconds=0.06,
    call_seconds=0.01,
)


def test_a_month_is_what_its_parts_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bill, "memory_gigabytes", lambda: 0.5)
    # given 3 pools and 2 million calls in 200,000 deliveries, each of which writes 4 lines of 980 bytes in all, and
    # 10,000 of the calls are late, each with 2 lines of 760 bytes
    monkeypatch.setattr(bill, "line_bytes", lambda calls, **_sessions: LineBytes(written=760, lines=2, calls=calls))
    use = Use(pools=3, calls=2_000_000, calls_per_delivery=10, late_calls=10_000)

    month = bill.itemize(use, PRICES, Alarms(fixed=5, per_pool=3), LineBytes(written=980, lines=4, calls=10))

    assert {item.what: pytest.approx(item.dollars) for item in month} == {
        "metrics": (3 * 9 + 10) * 0.5,
        "alarms": (3 * 3 + 5) * 0.25,
        "dashboard": 4,
        "metric lines": (1_990_000 * (98 + 0.4 * 20) + 10_000 * (760 + 2 * 20)) / 1e9 * 2,
        "Lambda's own log lines": 210_000 * 500 / 1e9 * 2,
        # 0.21 million invocations; 210,000 × (0.04 + 0.06) s + 2,000,000 × 0.01 s of half a GB
        "Lambda": 2.1 + 41_000 * 0.5 * 0.001,
        # 5 polls every 20 s of 730 hours are 657,000, and two requests for each of 10,000 calls
        "queue of late calls": 677_000 / 1e6 * 50,
        "state table": 42,
    }


def test_a_look_at_the_dashboard_scans_its_hours_once_a_query() -> None:
    # 73,000 calls in 7,300 deliveries of 1,000 bytes are 10,000 bytes an hour: 3 hours, 5 times, at $0.04 a GB
    use = Use(pools=1, calls=73_000, calls_per_delivery=10)

    assert bill.dashboard_view(use, PRICES, LineBytes(written=1_000, lines=2, calls=10), 5) == pytest.approx(
        5 * 30_000 / 1e9 * 0.04
    )


def test_a_look_at_the_dashboard_scans_the_lines_of_late_calls_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bill, "line_bytes", lambda calls, **_sessions: LineBytes(written=760, lines=2, calls=calls))
    # 73,000 calls, half of them late: 36,500 of 100 bytes and 36,500 of 760 bytes in 730 hours
    use = Use(pools=1, calls=73_000, calls_per_delivery=10, late_calls=36_500)

    view = bill.dashboard_view(use, PRICES, LineBytes(written=1_000, lines=2, calls=10), 5)

    assert view == pytest.approx(5 * 3 * 50 * (100 + 760) / 1e9 * 0.04)


@pytest.mark.parametrize(
    ("late_calls", "exit_code"),
    [pytest.param(1_000, 0, id="all calls"), pytest.param(1_001, 2, id="more than all calls")],
)
def test_command_refuses_more_late_calls_than_calls(late_calls: int, exit_code: int) -> None:
    ran = CliRunner().invoke(main, ["cost", "--calls", "1000", "--late-calls", str(late_calls)])

    assert ran.exit_code == exit_code
    refusal = "Error: --late-calls is 1,001, but there are only 1,000 calls per month (--calls)."
    assert (refusal in ran.output) is (exit_code == 2)


def test_break_even_depends_on_the_share_of_late_calls_and_not_on_their_number() -> None:
    price, use = read_prices(), Use(5, 1_000_000, 10, late_calls=500_000)
    ten_times = msgspec.structs.replace(use, calls=10_000_000, late_calls=5_000_000)

    assert (even := bill.break_even(use, price)) is not None
    assert bill.break_even(ten_times, price) == even
    assert bill.break_even(msgspec.structs.replace(use, late_calls=0), price) != even


def test_late_calls_cost_the_lines_of_calls_that_come_alone() -> None:
    price, use = read_prices(), Use(5, 1_000_000, 10, late_calls=500_000)
    alone = bill.line_bytes(1).per_call(price.event_overhead_bytes)

    (lines,) = (item for item in bill.estimate(use, price) if item.what == "metric lines")

    assert lines.basis.endswith(f" bytes per call, {alone:,.0f} per late call, $0.50 per GB")


def test_queries_and_hours_counted_are_the_dashboards() -> None:
    source = (data_files.TEMPLATE.parent / "dashboard" / "dashboard.yaml").read_text(encoding="utf-8")

    assert bill.count_log_queries() == source.count("    - type: log\n") > 5
    assert f"  start: -PT{bill.HOURS_SHOWN}H\n" in source


def test_a_month_through_a_stream_is_what_its_parts_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bill, "memory_gigabytes", lambda: 0.5)
    # given the same calls, 20 deliveries of 1,500 bytes an invocation, which then writes 6 lines of 2,000 bytes
    use = Use(pools=3, calls=2_000_000, calls_per_delivery=10, duplicate_detection=False, through_stream=True)

    month = bill.itemize(use, PRICES, Alarms(5, 3), LineBytes(2_000, 6, calls=200), Batch(20, delivery_bytes=1_500))

    assert {item.what: pytest.approx(item.dollars) for item in month} == {
        "metrics": (3 * 9 + 10 + 6) * 0.5,
        "alarms": (3 * 3 + 5) * 0.25,
        "dashboard": 4,
        "metric lines": 10_000 * (2_000 + 6 * 20) / 1e9 * 2,
        "Lambda's own log lines": 10_000 * 500 / 1e9 * 2,
        # 0.01 million invocations; 10,000 × 0.04 s + 2,000,000 × 0.01 s of half a GB
        "Lambda": 0.1 + 20_400 * 0.5 * 0.001,
        # 730 hours; 200,000 records of 2 KB in, of 1,500 bytes out
        "queue of late calls": 657_000 / 1e6 * 50,
        "stream": 730 + 200_000 * 2_048 / 1e9 * 10 + 200_000 * 1_500 / 1e9 * 5,
    }


@pytest.mark.parametrize(
    ("per_second", "size", "deliveries"),
    [
        pytest.param(0.01, 1_000, 1, id="idle"),
        pytest.param(8, 1_000, 60, id="window"),  # 30 s of a quarter of them: there are four shards
        pytest.param(1_000, 1_000, 200, id="full batch"),
        pytest.param(1_000, 100_000, 47.18592, id="full event"),  # 6 MiB in base64 hold 4.7 MB
    ],
)
def test_a_batch_is_what_the_mapping_waits_for(per_second: float, size: int, deliveries: float) -> None:
    use = Use(pools=1, calls=round(per_second * 730 * 3600), calls_per_delivery=1, through_stream=True)

    assert bill.estimate_batch(use, size).deliveries == pytest.approx(deliveries, rel=1e-3)


@pytest.mark.parametrize("calls_per_delivery", [1, 10])
def test_at_the_break_even_both_ways_cost_the_same(calls_per_delivery: int) -> None:
    use, price = Use(pools=3, calls=0, calls_per_delivery=calls_per_delivery), read_prices()

    even = bill.break_even(use, price)

    assert even is not None
    for factor, through_is_cheaper in ((0.9, False), (1.1, True)):
        calls = round(factor * even * 730 * 3600 * calls_per_delivery)
        direct, through = (
            sum(
                item.dollars
                for item in bill.estimate(msgspec.structs.replace(use, calls=calls, through_stream=way), price)
            )
            for way in (False, True)
        )
        assert (through < direct) is through_is_cheaper


def find_page(pattern: str) -> str:
    """Return the only page of the docs whose text, on one line, matches a pattern."""
    (found,) = [
        text
        for page in (README.parent / "docs").glob("*.md")
        if page.name != "costs.md" and re.search(pattern, text := " ".join(page.read_text(encoding="utf-8").split()))
    ]
    return found


def test_the_docs_say_the_break_even_that_is_computed() -> None:
    heading = r"a stream is cheaper from so many deliveries (a|per) second( on)? \|"
    table = re.split(heading, find_page(heading))[-1].partition(" With ")[0].partition(" Where ")[0]
    told = [(int(calls), int(figure)) for calls, figure in re.findall(r"\| (\d+) \| (\d+) \|", table)]

    assert len(told) == 4
    for calls, figure in told:
        for detection in (True, False):
            even = bill.break_even(Use(1, 0, calls, detection), read_prices())
            assert figure == pytest.approx(even, rel=0.2)


def test_without_duplicate_detection_there_is_no_state_table_to_pay() -> None:
    use = Use(pools=1, calls=1_000, calls_per_delivery=1, duplicate_detection=False)

    month = {item.what: item for item in bill.itemize(use, PRICES, Alarms(0, 0), LineBytes(1, 1, 1))}

    assert "state table" not in month
    assert "1,000 invocations, 50 s with" in month["Lambda"].basis  # 1,000 × 0.04 s + 1,000 × 0.01 s


def test_metrics_counted_are_those_published(process: Process, read_line: ReadLine) -> None:
    pool = QuotaPool(SONNET, EndpointType.REGIONAL)
    quotas = {pool: PoolQuota(1_000, 10)}
    outcome = process([converse()], quotas=quotas)
    written = [read_line(line) for line in (*outcome.lines, *lines_for_quotas("Mine", MINUTE, quotas))]
    named = {
        (metric["Name"], bool(directive["Dimensions"][0]))
        for line in written
        for directive in line["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]
    }

    assert sum(of_pool for _, of_pool in named) == bill.METRICS_PER_POOL
    # these come with a delivery that came twice, without quotas, and with the doctor's test
    rare = {"DuplicateDeliveries", "QuotasUnknown", "AlarmTests"}
    assert {name for name, of_pool in named if not of_pool} | rare == HEALTH_METRICS


def test_alarms_counted_are_the_templates() -> None:
    direct, through_stream = (bill.count_alarm_metrics(through_stream=way) for way in (False, True))

    # three of quotas, and the calls of a model. Sixteen alarms watch one metric each, two watch 2 and 4.
    assert (direct.per_pool, direct.fixed) == (4, 22)
    assert (through_stream.per_pool, through_stream.fixed) == (4, 23)  # and the lag


def test_line_bytes_are_measured_on_the_processors_own_lines() -> None:
    one, ten = bill.line_bytes(1), bill.line_bytes(10)

    assert one.lines == 2  # the call, and the health of the delivery
    assert 2 <= ten.lines <= 11
    assert 1_000 < one.written < ten.written < 20_000
    assert (one.calls, ten.calls) == (1, 10)


def test_a_line_per_session_costs_what_the_reference_says() -> None:
    text = " ".join((README.parent / "docs" / "reference.md").read_text(encoding="utf-8").split())
    roles, sessions = bill.line_bytes(100), bill.line_bytes(100, with_sessions=True)

    # 8 sessions per role: more lines, of the same calls, and at most one per call and one of health per delivery
    assert roles.lines < sessions.lines <= 101
    each = (sessions.written - roles.written) / (sessions.lines - roles.lines)
    assert each == pytest.approx(1_030, rel=0.02)
    assert f"about 1,030 bytes, which is ${1_030 * read_prices().log_gigabyte / 1e3:.2f} per million lines" in text
    price, watched = read_prices(), bill.count_alarm_metrics()
    basis = [
        next(
            item.basis.partition(" ")[0]
            for item in bill.itemize(
                Use(5, 1_000, 10), price, watched, bill.line_bytes(10, with_sessions=with_sessions)
            )
            if item.what == "metric lines"
        )
        for with_sessions in (True, False)
    ]
    assert "a call costs {} bytes instead of {}.".format(*basis) in text


def test_command_estimates_lines_per_session() -> None:
    arguments = ["cost", "--calls-per-delivery", "100"]
    role, session = (
        re.search(r"metric lines +([\d,]+) bytes per call", CliRunner().invoke(main, [*arguments, *more]).output)
        for more in ([], ["--caller-detail", "session"])
    )

    assert role is not None
    assert session is not None
    assert int(session[1]) > 2 * int(role[1])


@pytest.mark.parametrize(
    ("ingestion", "parts"), [pytest.param("direct", 8, id="direct"), pytest.param("kinesis", 9, id="kinesis")]
)
def test_command_says_every_part_and_the_sum(ingestion: str, parts: int) -> None:
    arguments = ["cost", "--pools", "2", "--calls", "0", "--ingestion", ingestion]
    ran = CliRunner(env={"COLUMNS": "200"}).invoke(main, arguments)

    assert ran.exit_code == 0
    amounts = [float(each) for each in re.findall(r"(\d+\.\d\d)$", ran.output, re.MULTILINE)]
    assert len(amounts) == parts + 1
    assert re.search(r"a stream \(Ingestion=kinesis\) is cheaper from \d+ deliveries per second", ran.output)
    assert amounts[-1] == pytest.approx(sum(amounts[:-1]), abs=0.02)


def test_readme_says_what_the_command_computes() -> None:
    text = README.read_text(encoding="utf-8")
    price, watched = read_prices(), bill.count_alarm_metrics()
    pool = bill.METRICS_PER_POOL * price.metric_month + watched.per_pool * price.alarm_metric_month
    polling = bill.POLLERS * bill.SECONDS_PER_MONTH / bill.POLL_SECONDS / 1e6 * price.queue_million_requests
    fixed = (
        len(HEALTH_METRICS) * price.metric_month
        + watched.fixed * price.alarm_metric_month
        + price.dashboard_month
        + polling
    )

    assert f"**${pool:.2f} a month for a pool in use**" in text
    assert f"${fixed:.2f} for the monitor itself" in text


def test_the_docs_say_the_streams_prices() -> None:
    price = read_prices()
    # each GB is paid when it goes in, and when it comes out
    both = f"${price.stream_hour:.2f} an hour and ${price.stream_gigabyte_in + price.stream_gigabyte_out:.2f} a GB"

    assert find_page(re.escape(both))
    assert both in COSTS
    assert (price.stream_gigabyte_in, price.stream_gigabyte_out) == (0.08, 0.04)  # Kinesis's list, on demand


def test_the_page_on_costs_says_what_is_computed() -> None:
    price, watched = read_prices(), bill.count_alarm_metrics()
    line = " ".join(COSTS.split())

    assert f"costs **${bill.pool_dollars(price):.2f} per month for each quota pool in use** and " in line
    assert f"and ${bill.monitor_dollars(price):.2f} for itself." in line
    for calls, told in ((10, "add ${} if ten calls arrive together"), (1, "and ${} if each arrives alone")):
        items = bill.estimate(Use(5, 1_000_000, calls), price)
        assert told.format(f"{sum(each.dollars for each in items if each.what not in bill.FIXED_ITEMS):.2f}") in line
    of_pool = watched.per_pool * price.alarm_metric_month
    assert f"this is ${of_pool:.2f} of the ${bill.pool_dollars(price):.2f} per pool" in line
    assert f"The other alarms cost ${watched.fixed * price.alarm_metric_month:.2f}." in line
    assert f"each GB of prompts and answers costs ${price.log_gigabyte:.2f}." in line
    assert f"at ${price.log_scanned_gigabyte:g} per GB" in line
    assert f"it runs {bill.count_log_queries()} queries in Logs Insights" in line
    assert f"Another Region or account adds ${bill.monitor_dollars(price):.2f} per month" in line
    for calls in (10, 100):
        size = bill.line_bytes(calls).per_call(price.event_overhead_bytes)
        assert f"{size:.0f} bytes per call at 10" in line or f"{size:.0f} at {calls}" in line


def test_the_page_on_costs_shows_what_the_command_prints() -> None:
    ((command, printed),) = re.findall(
        r"^\.venv/bin/quota-monitor (cost --pools .+)\n```\n\n```\n([^`]+)```", COSTS, re.MULTILINE
    )

    output = CliRunner().invoke(main, command.split()).output

    assert printed.splitlines() == [line.rstrip() for line in output.splitlines()]


def test_the_page_on_costs_has_every_price_with_its_page_and_day() -> None:
    rows = [
        f"| ${price.usd:.10f}".rstrip("0").rstrip(".")
        + f" | {price.per} | [{price.page.split('/')[2].removeprefix('www.')}]({price.page})"
        + f" | {price.dated or '–'} | {price.read} | [AWS]({price.check}) |"
        for price in read_price_list().price.values()
    ]

    assert [line for line in COSTS.splitlines() if line.endswith(") |") and line.startswith("| $")] == rows


def test_every_price_has_a_page_of_aws_and_the_page_and_day_on_which_it_was_read() -> None:
    listed = read_price_list()

    for name, price in listed.price.items():
        assert re.fullmatch(r"https://(docs\.)?aws\.amazon\.com/.+", price.check), name
        assert price.page.startswith("https://"), name
        assert (price.dated or "2026") <= price.read.isoformat(), name
    assert listed.read == min(price.read for price in listed.price.values())


def test_a_region_more_is_the_monitor_and_its_pools() -> None:
    # 10 metrics of $0.50, 22 alarms of $0.25, a dashboard of $4, and 657,000 polls of $50 per million. Then per pool 9
    # metrics and 4 alarms.
    assert bill.monitor_dollars(PRICES) == pytest.approx(5 + 5.5 + 4 + 32.85)
    assert bill.pool_dollars(PRICES) == pytest.approx(4.5 + 1)
