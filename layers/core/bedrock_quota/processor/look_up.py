"""The sources of everything that records leave out: application profiles, and request bodies in S3."""

from collections.abc import Callable, Collection, Mapping

import msgspec

from bedrock_quota.model_ids import ApplicationProfile
from bedrock_quota.processor.records import RequestBody


class MissingBody(msgspec.Struct, frozen=True):
    """A body that could not be read, with the reason. `may_come` is false if it will never be readable."""

    reason: str
    may_come: bool = True


class FetchedBodies(msgspec.Struct, frozen=True):
    """The request bodies that could be read, and those that could not, by path."""

    found: Mapping[str, RequestBody] = {}
    missing: Mapping[str, MissingBody] = {}


FetchBodies = Callable[[Collection[str]], FetchedBodies]
"""Returns the request bodies at these paths. Never raises."""

LookUpProfiles = Callable[[Mapping[ApplicationProfile, int]], None]
"""Looks up application profiles, with the number of calls that need each. Never raises."""


class LookUp(msgspec.Struct, frozen=True):
    """The sources that a delivery asks."""

    profiles: LookUpProfiles = lambda _needed: None
    bodies: FetchBodies = lambda _paths: FetchedBodies()


NO_LOOK_UP = LookUp()
