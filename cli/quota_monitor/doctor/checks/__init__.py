"""Checks of a deployed stack, one module per part of it."""

import msgspec

from quota_monitor.doctor.checks import alarms, large_bodies, logging, processor, quotas, stack, stream
from quota_monitor.doctor.findings import Check, Finding
from quota_monitor.doctor.observed import Observed
from quota_monitor.doctor.remedies import aim

CHECKS: tuple[Check, ...] = (
    stack.check_status,
    stack.check_resources,
    logging.check_invocation_logging,
    logging.check_logging_role,
    logging.check_log_group,
    logging.check_subscription,
    logging.check_permission,
    stream.check_stream,
    processor.check_processor,
    processor.check_failed_deliveries,
    processor.check_keeping_failed_deliveries,
    processor.check_own_log_groups,
    processor.check_records,
    processor.check_reserved_tier,
    large_bodies.check_reading,
    large_bodies.check_writing,
    large_bodies.check_late_calls,
    quotas.check_quotas,
    quotas.check_failed_fetches,
    quotas.check_fetcher,
    quotas.check_schedule,
    quotas.check_overrides_rule,
    alarms.check_alarms,
    alarms.check_topic,
    alarms.check_monitoring_account,
)
"""All checks, in the order of a record's path through the stack."""


def run_checks(observed: Observed) -> list[Finding]:
    """Return the findings of all checks. A part that could not be read gives a warning with the reason."""
    found = [finding for check in CHECKS for finding in check(observed)]
    return [msgspec.structs.replace(each, do=aim(each.do, observed.stack)) for each in found]
