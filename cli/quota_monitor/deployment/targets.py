"""The stacks that one command deploys: their accounts, Regions and tags, read before anything is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
import msgspec

from quota_monitor.aws_session import aws_errors_as_messages, find_local_endpoint, open_session
from quota_monitor.credentials import sign_in
from quota_monitor.deployment.tags import read_tags
from quota_monitor.places import Place, Reply, ask_all
from quota_monitor.progress import Progress


class Target(msgspec.Struct, frozen=True):
    """A stack to deploy, which may exist. `tags` are those that it has. `account` is "" for a single profile.

    `local_endpoint` is that of an emulator on this machine, or "".
    """

    place: Place
    tags: Mapping[str, str] = {}
    account: str = ""
    local_endpoint: str = ""

    @property
    def region(self) -> str:
        """Return the Region."""
        return self.place.region or ""


def read_targets(places: Sequence[Place], stack_name: str) -> list[Target]:
    """Return the targets in the order given.

    Raises `click.ClickException` with all reasons if AWS refuses one of them. Raises `click.UsageError` if two profiles
    are of one account: both would change the same stack at the same time.
    """
    credentials, has_several = sign_in(places), len({place.profile for place in places}) > 1

    def read(place: Place, _progress: Progress) -> Target:
        with aws_errors_as_messages():
            session = open_session(place.profile, place.region, credentials[place.profile])
            tags = read_tags(session, stack_name)
            account = session.client("sts").get_caller_identity()["Account"] if has_several else ""
            return Target(place, tags, account, find_local_endpoint(session))

    replies = ask_all(places, read, lambda _target: 0)
    failed = [reply for reply in replies if reply.value is None]
    if failed:
        error = click.ClickException(_explain(failed, len(replies)))
        error.exit_code = max(reply.exit_code for reply in failed)
        raise error
    targets = [reply.value for reply in replies if reply.value is not None]
    if has_several:
        _require_distinct_accounts(targets)
    return targets


def _explain(failed: Sequence[Reply[Target]], places: int) -> str:
    """Return the reasons with their places. One reason that all places have is enough by itself."""
    places_of: dict[str, list[str]] = {}
    for reply in failed:
        places_of.setdefault(reply.reason, []).append(reply.name)
    if len(failed) == places and len(places_of) == 1:
        return failed[0].reason
    said = [f"{', '.join(names)}: {reason}" for reason, names in places_of.items()]
    return "\n".join([*said, "Nothing was deployed anywhere."])


def _require_distinct_accounts(targets: Sequence[Target]) -> None:
    profile_of: dict[str, str | None] = {}
    for target in targets:
        first = profile_of.setdefault(target.account, target.place.profile)
        if first != target.place.profile:
            raise click.UsageError(
                f"The profiles {first} and {target.place.profile} are both of account {target.account}, so they would "
                "deploy the same stack at the same time. Name one of them."
            )
