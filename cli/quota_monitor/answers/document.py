"""A document: the answers about one account and Region, and everything that says how sure they are."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bedrock_quota.analysis.advice import Advice, sort_by_freed
from bedrock_quota.analysis.answers import NOTHING_CHANGED, PoolAnswer
from bedrock_quota.analysis.usage import CallerUsage, PoolUsage
from bedrock_quota.analysis.what_if import Scenario
from bedrock_quota.pools import QuotaPool
from quota_monitor.analyze.scope import NO_LABEL
from quota_monitor.window import Window


class Document(msgspec.Struct, frozen=True):
    """The answers about one account and Region.

    `source` says where the records come from. `account` and `region` are "" if they are unknown. `by` is the property
    of calls under which callers are listed. `counts` are the outcomes of records that are not in the answers, by a name
    in words. `notes` are sentences about what the answers rest on or leave out. `account_tokens_per_day` is the quota
    that all models share. `scenario` is what the projections assume.
    """

    source: str
    window: Window
    pools: tuple[PoolAnswer, ...]
    account: str = ""
    region: str = ""
    by: str = "caller"
    received: int = 0
    counts: Mapping[str, int] = {}
    notes: tuple[str, ...] = ()
    account_tokens_per_day: float | None = None
    scenario: Scenario = NOTHING_CHANGED
    callers: frozenset[str] = frozenset()
    """All callers, also those that are not selected."""
    called: frozenset[QuotaPool] = frozenset()
    """All pools with calls, also those without a selected caller."""
    other_models: tuple[str, ...] = ()
    """Models with calls that are not selected, those with the nearest name first."""
    only_callers: str = ""
    """Text in the names of the callers that are listed, "" if all are."""
    listing: tuple[PoolUsage, ...] = ()
    """Usage by the property `by`, if that is not the caller. The answers rest on callers whatever is listed."""
    unlabelled_throttled: int = 0
    """Throttled calls that may belong to a label of `listing`, although the log names none."""
    prices: Mapping[tuple[QuotaPool, str], float | None] | None = None
    """Prices in US dollars by pool and what is listed, None if nobody asked for them."""
    caller_prices: Mapping[tuple[QuotaPool, str], float | None] | None = None
    """The same by pool and caller. A label can be the name of a caller, so they are kept apart."""
    shows_usage: bool = False
    """True if the terminal and Markdown have a table of tokens by caller."""
    profile: str = ""
    """AWS profile that read it, if Markdown or a page has several accounts."""

    @property
    def by_title(self) -> str:
        """Return the heading of what is listed: `Caller`, or the key of a tag."""
        return self.by.removeprefix("tag:").capitalize()

    def name_group(self, label: str) -> str:
        """Return the name of what is listed: a caller or label, and `(no tag)` for calls without one."""
        return f"(no {self.by.partition(':')[0]})" if label == NO_LABEL else label

    def count_throttled(self, caller: CallerUsage) -> int | None:
        """Return the throttled calls of what is listed. None: the log names none, and may leave some out."""
        return caller.throttled or (None if self.unlabelled_throttled and caller.caller != NO_LABEL else 0)

    @property
    def listed(self) -> tuple[PoolUsage, ...]:
        """Return the usage that is listed, by caller or by the property `by`."""
        return self.listing or tuple(
            msgspec.structs.replace(answer.usage, callers=answer.callers) for answer in self.pools
        )

    @property
    def selection(self) -> str:
        """Return a sentence on what is only about selected callers, "" if all are listed."""
        if not self.only_callers:
            return ""
        return (
            f"Only callers with {self.only_callers} in their name are listed. "
            "Findings, and all numbers of quota pools, are about all callers of these pools."
        )

    @property
    def advice(self) -> list[tuple[PoolAnswer, Advice]]:
        """Return the advice to all listed callers, those whose change frees most first."""
        found = [(answer, each) for answer in self.pools for each in answer.advice]
        return sorted(found, key=lambda each: sort_by_freed(each[1]))

    @property
    def all_notes(self) -> tuple[str, ...]:
        """Return all notes, with one on throttled calls without a label if there are any."""
        if not self.unlabelled_throttled:
            return self.notes
        name = self.by.removeprefix("tag:")
        calls = (
            "1 throttled call" if self.unlabelled_throttled == 1 else f"{self.unlabelled_throttled:,} throttled calls"
        )
        return (
            *self.notes,
            f"The log names no {name} for {calls} of callers whose answered calls have one. They are in the row "
            f"{self.name_group(NO_LABEL)}. Other rows may have more throttled calls than is known.",
        )

    @property
    def title(self) -> str:
        """Return the profile, the account and the Region in words."""
        place = " in ".join(part for part in (f"Account {self.account}" if self.account else "", self.region) if part)
        return f"{self.profile}: {place}" if self.profile else place
