"""The sources of everything that records leave out: application profiles, and request bodies in S3."""

from collections.abc import Callable, Collection, Mapping

import msgspec

from bedrock_quota.model_ids import ApplicationProfile
from bedrock_quota.processor.records import RequestBody

FetchBodies = Callable[[Collection[str]], Mapping[str, RequestBody]]
"""Returns the request bodies at these paths that could be read. Never raises."""

LookUpProfiles = Callable[[Mapping[ApplicationProfile, int]], None]
"""Looks up application profiles, with the number of calls that need each. Never raises."""


class LookUp(msgspec.Struct, frozen=True):
    """The sources that a delivery asks."""

    profiles: LookUpProfiles = lambda _needed: None
    bodies: FetchBodies = lambda _paths: {}


NO_LOOK_UP = LookUp()
