"""IAM policies: which service or role a statement lets do something."""

import itertools
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from quota_monitor.doctor.observed import Permission


def allowed_services(statements: list[dict[str, Any]], action: str) -> Iterator[Permission]:
    """Yield the services that a policy allows an action, with the sources it allows it for."""
    for statement in statements:
        if statement["Effect"] != "Allow" or not _names_action(statement, action):
            continue
        conditions = {
            key.lower(): _as_list(value)
            for each in statement.get("Condition", {}).values()
            for key, value in each.items()
        }
        sources = conditions.get("aws:sourcearn", [None]), conditions.get("aws:sourceaccount", [None])
        for service, arn, account in itertools.product(_principals(statement, "Service"), *sources):
            yield Permission(service, arn, account)


def allows(permissions: Iterable[Permission], services: set[str], source: str, account: str) -> bool:
    """Return True if a permission covers one of the services for this source.

    A source that is an account and Region has fewer parts than the ARN in a policy. Only these parts are compared.
    """
    parts = source.count(":") + 1
    return any(
        each.service in services
        and (each.source_arn is None or fnmatchcase(source, ":".join(each.source_arn.split(":")[:parts])))
        and each.source_account in {None, account}
        for each in permissions
    )


def applies_to(statement: dict[str, Any], action: str, role: str) -> bool:
    """Return True if a statement of a resource policy names this action and this role."""
    return _names_action(statement, action) and bool({role, "*"} & set(_principals(statement, "AWS")))


def _names_action(statement: dict[str, Any], action: str) -> bool:
    actions = (each.lower() for each in _as_list(statement.get("Action", [])))
    return any(fnmatchcase(action.lower(), each) for each in actions)


def _principals(statement: dict[str, Any], kind: str) -> list[Any]:
    given = statement.get("Principal", {})
    return _as_list(given.get(kind, []) if isinstance(given, dict) else given)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
