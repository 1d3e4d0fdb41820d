"""The applications that share the simulated account, each with its model, its calls and its habits.

There are sixteen. Fifteen use their quota as intended. The month-end report asks for 64,000 tokens of output and uses
about 300 of them. So it reserves the quota of every application on the same pool.
"""

import math
import random
from collections.abc import Mapping

import msgspec

from localaws import bedrock_calls as calls
from localaws.account import ACCOUNT_ID
from localaws.bedrock_calls import Origin, WriteBodies

MINUTES = 60
"""Minutes of the simulated hour."""

THROTTLED = "ThrottlingException"

ORIGIN = Origin(ACCOUNT_ID, "us-east-1", log_bucket=f"bedrock-logs-{ACCOUNT_ID}")


class Profile(msgspec.Struct, frozen=True):
    """An application inference profile. CreateInferenceProfile copies `copy_from`.

    AWS takes a foundation model's ARN for one Region, and a system profile's ARN for several. MiniStack answers
    GetInferenceProfile with `copy_from` itself, so a global profile has the ARN here that AWS would return.
    """

    name: str
    copy_from: str

    @property
    def placeholder_arn(self) -> str:
        """Return an ARN for traffic in which nothing resolves the profile."""
        return f"arn:aws:bedrock:{ORIGIN.region}:{ACCOUNT_ID}:application-inference-profile/{self.name}"


class Spread(msgspec.Struct, frozen=True):
    """Log-normal numbers around a median, at most `most`. A `sigma` of 0 gives the median, 1 a very wide spread."""

    median: int
    sigma: float = 0.0
    most: int = 150_000

    def draw(self, numbers: random.Random) -> int:
        """Return one number, rounded."""
        return min(round(self.median * math.exp(numbers.gauss(0, self.sigma))), self.most)


class Arrivals(msgspec.Struct, frozen=True):
    """Calls per minute: on average `usual`, at random. In the minutes `during` there are `burst` calls, all at once.

    If `paced`, they are spread evenly over the minute instead.
    """

    usual: float
    burst: int = 0
    during: tuple[range, ...] = ()
    paced: bool = False

    @property
    def per_minute(self) -> float:
        """Return the calls per minute, averaged over the hour."""
        return self.usual + self.burst * sum(len(minutes) for minutes in self.during) / MINUTES


class Failures(msgspec.Struct, frozen=True):
    """One call in `every` fails with this code, whatever the quotas."""

    error_code: str
    every: int


class Application(msgspec.Struct, frozen=True):
    """One application that calls Bedrock.

    `caller` is the resource part of its identity's ARN, and `model` is the `modelId` that it passes. One call in
    `cache_write_every` writes `context_tokens` to the prompt cache, and the others read them. If `bodies_delivered` is
    False, the log has only token counts. `slowness` multiplies the time that a call takes. A throttled call is tried
    again once after `retry_seconds`, never if they are 0.
    """

    name: str
    caller: str
    model: str | Profile
    operation: str
    write_bodies: WriteBodies
    arrivals: Arrivals
    input_tokens: Spread
    output_tokens: Spread
    max_tokens: int | None = None
    context_tokens: Spread | None = None
    cache_write_every: int = 20
    bodies_delivered: bool = True
    blocked_every: int = 0
    failures: Failures | None = None
    slowness: float = 1.0
    retry_seconds: float = 0.0
    tags: Mapping[str, str] | None = None
    served_by: tuple[str, ...] = ()

    @property
    def role(self) -> str:
        """Return the name by which the product lists the caller."""
        return self.caller.removeprefix("assumed-role/").partition("/")[0]


BUSY = (range(8, 13), range(23, 28), range(41, 47), range(55, 58))
"""Minutes of the hour in which the month-end report runs."""

CULPRIT = "MonthEndReport"
"""The role whose `max_tokens` causes the throttling."""

US = ("us-east-1", "us-east-2", "us-west-2")
WORLD = (*US, "eu-west-1", "ap-northeast-1")
NOTHING = Spread(0)

PRODUCT_COPY = Profile("product-copy", f"arn:aws:bedrock:{ORIGIN.region}::foundation-model/amazon.nova-lite-v1:0")
MOBILE = Profile("mobile-assistant", "arn:aws:bedrock:::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0")
PROFILES = (PRODUCT_COPY, MOBILE)

CAST = (
    Application(
        name="support chat: a person waits, answers stream, the house rules are cached",
        caller="assumed-role/SupportChat/web",
        model="us.anthropic.claude-sonnet-4-6",
        operation=calls.CONVERSE_STREAM,
        write_bodies=calls.converse,
        arrivals=Arrivals(12),
        input_tokens=Spread(220, 0.5),
        output_tokens=Spread(160, 0.4, most=1000),
        max_tokens=8192,
        context_tokens=Spread(1100),
        blocked_every=41,
        tags={"team": "support", "environment": "production"},
        served_by=US,
    ),
    Application(
        name="ticket triage: a queue worker, small answers",
        caller="assumed-role/TicketTriage/worker",
        model="us.anthropic.claude-sonnet-4-6",
        operation=calls.INVOKE_STREAM,
        write_bodies=calls.anthropic_messages,
        arrivals=Arrivals(7),
        input_tokens=Spread(400, 0.6),
        output_tokens=Spread(60, 0.5, most=1024),
        max_tokens=1024,
        blocked_every=67,
        served_by=US,
    ),
    Application(
        name="month-end report: twelve workers start together, with long documents and the largest max_tokens there is",
        caller=f"assumed-role/{CULPRIT}/batch",
        model=f"arn:aws:bedrock:{ORIGIN.region}:{ACCOUNT_ID}:inference-profile/us.anthropic.claude-sonnet-4-6",
        operation=calls.CONVERSE,
        write_bodies=calls.converse,
        arrivals=Arrivals(0.3, burst=12, during=BUSY),
        input_tokens=Spread(400, 0.4),
        output_tokens=Spread(310, 0.25, most=2000),
        max_tokens=64_000,
        slowness=9.0,
        retry_seconds=40.0,
        served_by=US,
    ),
    Application(
        name="coding agent: long cached contexts, some too large for the log",
        caller="assumed-role/CodingAgent/session",
        model="global.anthropic.claude-opus-4-6-v1",
        operation=calls.INVOKE_STREAM,
        write_bodies=calls.anthropic_messages,
        arrivals=Arrivals(1.6),
        input_tokens=Spread(900, 0.8, most=20_000),
        output_tokens=Spread(350, 0.9, most=8000),
        max_tokens=32_000,
        context_tokens=Spread(22_000, 0.5, most=120_000),
        cache_write_every=6,
        served_by=WORLD,
    ),
    Application(
        name="mobile assistant: behind an application profile of a global profile",
        caller="assumed-role/MobileBackend/task",
        model=MOBILE,
        operation=calls.CONVERSE_STREAM,
        write_bodies=calls.converse,
        arrivals=Arrivals(8),
        input_tokens=Spread(180, 0.5),
        output_tokens=Spread(110, 0.5, most=2048),
        max_tokens=2048,
        tags={"team": "mobile", "environment": "production", "release": "26.11"},
        served_by=WORLD,
    ),
    Application(
        name="product copy: behind an application profile, and the request sets no limit",
        caller="assumed-role/ShopCopywriter/task",
        model=PRODUCT_COPY,
        operation=calls.CONVERSE,
        write_bodies=calls.converse,
        arrivals=Arrivals(5),
        input_tokens=Spread(240, 0.4),
        output_tokens=Spread(180, 0.4, most=3000),
        tags={"team": "shop", "environment": "staging"},
    ),
    Application(
        name="claims photos: image delivery is off, so the log has only counts",
        caller="assumed-role/ClaimsPhotos/lambda",
        model="us.amazon.nova-pro-v1:0",
        operation=calls.CONVERSE,
        write_bodies=calls.converse,
        arrivals=Arrivals(3),
        input_tokens=Spread(2600, 0.3),
        output_tokens=Spread(140, 0.5, most=2000),
        max_tokens=2000,
        bodies_delivered=False,
        served_by=US,
    ),
    Application(
        name="site search: one embedding per query",
        caller="assumed-role/SiteSearch/lambda",
        model="amazon.titan-embed-text-v2:0",
        operation=calls.INVOKE,
        write_bodies=calls.titan_embedding,
        arrivals=Arrivals(10),
        input_tokens=Spread(24, 0.6, most=512),
        output_tokens=NOTHING,
    ),
    Application(
        name="catalogue index: 96 texts per call, too large for the log, and near its quota while it runs",
        caller="assumed-role/CatalogueIndex/batch",
        model="us.cohere.embed-v4:0",
        operation=calls.INVOKE,
        write_bodies=calls.cohere_embedding,
        arrivals=Arrivals(0, burst=9, during=(range(16, 22), range(48, 54)), paced=True),
        input_tokens=Spread(28_500, 0.03),
        output_tokens=NOTHING,
        served_by=US,
    ),
    Application(
        name="log summaries: the request sets no limit, so Llama's default applies",
        caller="assumed-role/LogSummaries/lambda",
        model="us.meta.llama3-3-70b-instruct-v1:0",
        operation=calls.INVOKE,
        write_bodies=calls.llama,
        arrivals=Arrivals(5, burst=30, during=(range(30, 32),)),
        input_tokens=Spread(800, 0.5, most=6000),
        output_tokens=Spread(170, 0.4, most=512),
        served_by=US,
    ),
    Application(
        name="translation: the model by its ARN, in its own Region",
        caller="assumed-role/Translation/service",
        model=f"arn:aws:bedrock:{ORIGIN.region}::foundation-model/mistral.mistral-large-2402-v1:0",
        operation=calls.INVOKE,
        write_bodies=calls.mistral,
        arrivals=Arrivals(4),
        input_tokens=Spread(300, 0.6),
        output_tokens=Spread(320, 0.6, most=2048),
        max_tokens=2048,
    ),
    Application(
        name="SQL assistant: sends a bad request now and then",
        caller="assumed-role/SqlAssistant/notebook",
        model="openai.gpt-oss-120b-1:0",
        operation=calls.INVOKE,
        write_bodies=calls.openai_chat,
        arrivals=Arrivals(4),
        input_tokens=Spread(500, 0.5),
        output_tokens=Spread(220, 0.6, most=4096),
        max_tokens=4096,
        failures=Failures("ValidationException", every=23),
    ),
    Application(
        name="research: one person's notebook, long chains of thought",
        caller="user/research/mei.tanaka",
        model="us.deepseek.r1-v1:0",
        operation=calls.INVOKE,
        write_bodies=calls.deepseek,
        arrivals=Arrivals(1.5),
        input_tokens=Spread(350, 0.5),
        output_tokens=Spread(1400, 0.5, most=8192),
        max_tokens=8192,
        served_by=US,
    ),
    Application(
        name="old drafts: a model whose quota is 0 in this account",
        caller="assumed-role/OldDrafts/cron",
        model="us.anthropic.claude-opus-4-1-20250805-v1:0",
        operation=calls.CONVERSE,
        write_bodies=calls.converse,
        arrivals=Arrivals(0.8),
        input_tokens=Spread(260, 0.4),
        output_tokens=Spread(300, 0.4, most=1500),
        max_tokens=1500,
        served_by=US,
    ),
    Application(
        name="preview: a model that is not in the registry",
        caller="assumed-role/Preview/lab",
        model="amazon.nova-9-preview-v1:0",
        operation=calls.CONVERSE,
        write_bodies=calls.converse,
        arrivals=Arrivals(0.5),
        input_tokens=Spread(150, 0.4),
        output_tokens=Spread(200, 0.4, most=1000),
        max_tokens=1000,
    ),
    Application(
        name="classifier: throughput of its own, outside every quota",
        caller="assumed-role/Classifier/service",
        model=f"arn:aws:bedrock:{ORIGIN.region}:{ACCOUNT_ID}:provisioned-model/a1b2c3d4e5f6",
        operation=calls.INVOKE,
        write_bodies=calls.llama,
        arrivals=Arrivals(2),
        input_tokens=Spread(200, 0.4),
        output_tokens=Spread(5, 0.2, most=20),
        max_tokens=20,
    ),
)
