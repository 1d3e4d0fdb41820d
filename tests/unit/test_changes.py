"""What changed between two fetches, and how a person is told."""

import pytest

from bedrock_quota.fetcher.changes import Change, find_changes
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool, Unit

NOVA = QuotaPool("amazon.nova-lite-v1:0", EndpointType.REGIONAL)
SONNET = QuotaPool("anthropic.claude-sonnet-4-20250514-v1:0", EndpointType.CROSS_REGION)
TPM, RPM, TPD = Unit.TOKENS_PER_MINUTE, Unit.REQUESTS_PER_MINUTE, Unit.TOKENS_PER_DAY


def test_nothing_has_changed_where_nothing_was_known() -> None:
    assert find_changes({}, {NOVA: PoolQuota(1, 2, 3)}) == []


def test_nothing_has_changed_where_all_is_as_it_was() -> None:
    quotas = {NOVA: PoolQuota(1, 2, 3), SONNET: PoolQuota(tokens_per_minute=0)}

    assert find_changes(quotas, dict(quotas)) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(
            PoolQuota(200_000, 5), PoolQuota(400_000, 5), [(TPM, 200_000, 400_000)], id="tokens per minute rise"
        ),
        pytest.param(PoolQuota(9), PoolQuota(9, 5), [(RPM, None, 5)], id="requests appear"),
        pytest.param(PoolQuota(9, 5), PoolQuota(9), [(RPM, 5, None)], id="requests disappear"),
        pytest.param(PoolQuota(9), PoolQuota(0), [(TPM, 9, 0)], id="tokens fall to 0"),
        pytest.param(PoolQuota(0), PoolQuota(9), [(TPM, 0, 9)], id="tokens rise from 0"),
        # 0 is a quota: "may use nothing" is not "has no such quota"
        pytest.param(PoolQuota(9, tokens_per_day=0), PoolQuota(9), [(TPD, 0, None)], id="daily tokens of 0 disappear"),
        pytest.param(PoolQuota(9), PoolQuota(9, tokens_per_day=0), [(TPD, None, 0)], id="daily tokens of 0 appear"),
        pytest.param(PoolQuota(1, 2, 3), PoolQuota(4, 5, 6), [(TPM, 1, 4), (RPM, 2, 5), (TPD, 3, 6)], id="all three"),
    ],
)
def test_each_unit_that_differs_is_a_change(
    before: PoolQuota, after: PoolQuota, expected: list[tuple[Unit, float | None, float | None]]
) -> None:
    # given another pool that stays
    found = find_changes({SONNET: PoolQuota(7), NOVA: before}, {SONNET: PoolQuota(7), NOVA: after})

    assert found == [Change(NOVA, *each) for each in expected]


def test_pools_come_and_go_in_their_order() -> None:
    found = find_changes({SONNET: PoolQuota(5)}, {NOVA: PoolQuota(6, 7)})

    assert found == [Change(NOVA, TPM, None, 6), Change(NOVA, RPM, None, 7), Change(SONNET, TPM, 5, None)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            Change(NOVA, TPM, 200_000, 4_000_000.0),
            "quota changed from 200,000 to 4,000,000: tokens per minute of amazon.nova-lite-v1:0 (regional)",
            id="a rise",
        ),
        pytest.param(
            Change(SONNET, RPM, None, 0),
            "quota changed from none to 0: requests per minute of "
            "anthropic.claude-sonnet-4-20250514-v1:0 (cross-region)",
            id="from none to 0",
        ),
        pytest.param(
            Change(NOVA, TPD, 0.5, None),
            "quota changed from 0.5 to none: tokens per day of amazon.nova-lite-v1:0 (regional)",
            id="from a fraction to none",
        ),
    ],
)
def test_change_is_said_in_words(change: Change, said: str) -> None:
    assert str(change) == said


def test_large_amounts_are_said_in_full() -> None:
    # The quota Global tokens per day for Nova 2 Lite is this large.
    assert str(Change(NOVA, TPD, 11_520_000_000, 23_040_000_001)).startswith(
        "quota changed from 11,520,000,000 to 23,040,000,001: "
    )
