"""Questions of the first-day check, one module per part of the account."""

from quota_monitor.doctor.first_day.answers import Answer
from quota_monitor.doctor.first_day.evidence import Evidence
from quota_monitor.doctor.first_day.question import Question
from quota_monitor.doctor.first_day.questions import alarms, logs, metrics, stack

QUESTIONS: tuple[Question, ...] = (
    metrics.ask_lines,
    stack.ask_dashboard,
    alarms.ask_expressions,
    alarms.ask_contributors,
    alarms.ask_actions,
    stack.ask_failures,
    metrics.ask_dimensions,
    logs.ask_log_delay,
    stack.ask_large_bodies,
    logs.ask_body_delay,
    stack.ask_sdk,
    metrics.ask_failed_calls,
    logs.ask_throttled_calls,
    logs.ask_fields,
    metrics.ask_overrides,
)
"""All questions, in the order of the checklist."""


def ask_all(evidence: Evidence) -> tuple[Answer, ...]:
    """Return the answers to all questions."""
    return tuple(ask(evidence) for ask in QUESTIONS)
