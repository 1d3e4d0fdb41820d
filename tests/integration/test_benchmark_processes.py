"""The parts of the benchmark that start processes: an endpoint that answers, and cold starts."""

import json
from datetime import UTC, datetime
from pathlib import Path

from bedrock_quota import clients
from benchmarks import analyze, cold_start, endpoint, mixes, processor
from benchmarks.processor import Processor
from localaws import traffic


def test_with_detection_the_handler_asks_the_state_table_and_is_answered() -> None:
    with endpoint.answering(processor.snapshot()) as given, endpoint.environment(given):
        clients.state.cache_clear()
        written = Processor(detect_duplicates=True).write(mixes.make_delivery(traffic.chat(1, datetime.now(UTC))))
        clients.state.cache_clear()

    *_, health = map(json.loads, written.splitlines())
    assert health["RecordsProcessed"] == 1
    assert "duplicates_unchecked" not in health


def test_starts_that_are_told_apart_import_different_things(tmp_path: Path) -> None:
    files = cold_start.write_files(tmp_path)
    with endpoint.answering(processor.snapshot()) as given:
        modules = {
            name: cold_start.start(name, files, cold_start.environment(name, given))
            for name in cold_start.STARTS
            if name == cold_start.EMPTY or name.startswith("processor")
        }

    (empty, off, on, first_off, first_on) = (modules for _, modules in modules.values())
    assert empty == 0
    assert off < on < first_on  # detection imports Powertools Idempotency, a first delivery boto3
    assert off < first_off < first_on
    assert all(seconds > 0 for seconds, _ in modules.values())


def test_a_file_ten_times_as_long_takes_no_more_memory() -> None:
    few, many = (analyze.run_apart(traffic.chat, 500, count) for count in (2_000, 20_000))

    assert (few.records, many.records) == (2_000, 20_000)
    assert many.peak < 300 * analyze.MEGABYTE
    assert many.peak - few.peak < 10 * analyze.MEGABYTE
