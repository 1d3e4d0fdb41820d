"""A question: turns evidence into the answer to one assumption of docs/limits.md."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import msgspec

from quota_monitor.doctor.first_day.answers import Answer, could_not_look, redact_answer, safe_name
from quota_monitor.doctor.first_day.evidence import Evidence, Unreadable

Question = Callable[[Evidence], Answer]

CALL_BEDROCK = "Call Bedrock, and run this again 30 minutes later."
RUN_AGAIN_TOMORROW = "Run this again after a day with traffic."


def question(
    name: str, text: str, *, assumption: str, needs: tuple[str, ...], uses: tuple[str, ...] = ()
) -> Callable[..., Question]:
    """Turn a function into a question. It gets the named fields of `Evidence` if all that it `needs` could be read.

    Those that it only `uses` come after them, and may be `Unreadable`.
    """

    def decorate(judge: Callable[..., Answer]) -> Question:
        @wraps(judge)
        def ask(evidence: Evidence) -> Answer:
            values = [getattr(evidence, need) for need in needs]
            unreadable = next((value for value in values if isinstance(value, Unreadable)), None)
            used = [getattr(evidence, use) for use in uses]
            answer = judge(*values, *used) if unreadable is None else _refused(unreadable)
            named = msgspec.structs.replace(answer, name=name, question=text, assumption=assumption)
            return redact_answer(named)

        return ask

    return decorate


def describe_refusal(unreadable: Unreadable) -> str:
    """Return a sentence with the operation and AWS's error code."""
    return f"AWS answered {safe_name(unreadable.code)} to {safe_name(unreadable.operation)}."


def _refused(unreadable: Unreadable) -> Answer:
    return could_not_look(
        describe_refusal(unreadable),
        then="If access is denied, use credentials that allow it (--profile). Otherwise run this again.",
    )
