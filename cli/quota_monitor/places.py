"""Places: the accounts and Regions that one command asks at the same time, and the results in the order given."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

import click
import msgspec
from rich.console import Console
from rich.text import Text

from quota_monitor.aws_regions import NAME, check_region
from quota_monitor.aws_session import stack_options
from quota_monitor.json_output import add_version, format_json
from quota_monitor.progress import Progress

MAX_PARALLEL = 8
"""Places that are asked at the same time. Each has its own session and clients."""


class Place(msgspec.Struct, frozen=True):
    """A profile and a Region. None stands for the default."""

    profile: str | None = None
    region: str | None = None

    def name(self, account: str = "", region: str = "") -> str:
        """Return the profile, or else the account id, and the Region, as far as they are known."""
        return " in ".join(filter(None, (self.profile or account, self.region or region)))


class Found(Protocol):
    """The result of one place: it knows its account and Region."""

    @property
    def account(self) -> str:
        """Return the account id."""

    @property
    def region(self) -> str:
        """Return the Region."""


Value = TypeVar("Value", bound=Found)


class Reply(msgspec.Struct, Generic[Value], frozen=True):
    """The result of one place, or None with the reason. `exit_code` is that of a run for this place alone."""

    place: Place
    value: Value | None
    reason: str = ""
    exit_code: int = 0

    @property
    def name(self) -> str:
        """Return the name of the place."""
        return self.place.name() if self.value is None else self.place.name(self.value.account, self.value.region)


# ---------------------------------------------------------------- options


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select one deployed stack, or one in each of several accounts and Regions."""
    summary = click.option(
        "--summary", is_flag=True, help="Print only one row per account and Region. JSON stays whole."
    )
    return stack_options(
        several_options(
            summary(command),
            regions_help="Regions, separated by commas.",
            profiles_use="Every Region is asked with each.",
        ),
        stack_name_help="Name of the stack. One that ends with * stands for the only stack whose name begins so.",
    )


def several_options(command: Callable[..., None], *, regions_help: str, profiles_use: str) -> Callable[..., None]:
    """Add the options that name several Regions and profiles. `profiles_use` says what is done with each profile."""
    for option in (
        profiles_option(profiles_use),
        click.option("--regions", metavar="A,B", callback=parse_regions, help=regions_help),
    ):
        command = option(command)
    return command


def parse_regions(_context: click.Context, _parameter: click.Parameter, given: str | None) -> tuple[str, ...]:
    """Return the comma-separated Regions of an option. Raises `click.BadParameter` for a wrong or repeated one."""
    names = _split(given)
    for name in names:
        if not NAME.fullmatch(name):
            raise click.BadParameter(f"{name!r} is not a Region")
    return _require_distinct(names)


def profiles_option(use: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option that names several profiles. `use` is a sentence on what is done with each."""
    return click.option(
        "--profiles",
        metavar="A,B",
        callback=parse_profiles,
        help=f"AWS profiles, separated by commas. A * in a name stands for any text. {use}",
    )


ANY_TEXT = "*"
"""Stands for any text in a name of `--profiles`."""


def parse_profiles(_context: click.Context, _parameter: click.Parameter, given: str | None) -> tuple[str, ...]:
    """Return the comma-separated profiles of an option, and for a name with `*` all profiles that fit it.

    Raises `click.BadParameter` for an empty or repeated name, and for a pattern that no profile fits.
    """
    names = _split(given)
    if "" in names:
        raise click.BadParameter("a name is missing. Write it like prod,staging")
    _require_distinct(names)
    if not any(ANY_TEXT in name for name in names):
        return names
    configured = _list_profiles()
    found = (each for name in names for each in (_match(name, configured) if ANY_TEXT in name else (name,)))
    return tuple(dict.fromkeys(found))


def _list_profiles() -> Sequence[str]:
    """Return the profiles in the configuration and credentials files of the AWS CLI, in their order."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - half a second of CPU, which `--help` does not need
    from botocore.session import Session  # noqa: PLC0415 - as above

    try:
        return tuple(Session().available_profiles)
    except BotoCoreError as error:
        raise click.BadParameter(str(error)) from error


def _match(pattern: str, configured: Sequence[str]) -> Sequence[str]:
    wanted = re.compile(".*".join(map(re.escape, pattern.split(ANY_TEXT))))
    found = [name for name in configured if wanted.fullmatch(name)]
    if not found:
        raise click.BadParameter(f"no AWS profile fits {pattern}. `aws configure list-profiles` lists those that exist")
    return found


def _split(given: str | None) -> tuple[str, ...]:
    return () if given is None else tuple(name.strip() for name in given.split(","))


def _require_distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            raise click.BadParameter(f"{name} is named twice")
    return names


def list_places(
    profile: str | None, region: str | None, profiles: Sequence[str], regions: Sequence[str]
) -> tuple[Place, ...]:
    """Return each profile with each Region, in the order given. If that is one, messages then name it.

    Raises `click.UsageError` for options that exclude each other, and for a Region that does not exist.
    """
    for one, several, option in ((profile, profiles, "--profile"), (region, regions, "--region")):
        if one is not None and several:
            raise click.UsageError(f"{option} and {option}s exclude each other, so name all of them with {option}s.")
    for name in regions:
        check_region(name)  # all of them before AWS is asked
    places = tuple(Place(account, there) for account in (profiles or (profile,)) for there in (regions or (region,)))
    context = click.get_current_context(silent=True)
    if len(places) == 1 and context is not None:
        context.params.update(_select(context.params, places[0]))
    return places


def refuse_for_several(places: Sequence[Place], **given: bool) -> None:
    """Raise `click.UsageError` if there are several places and an option was given that is for one."""
    for name, is_given in given.items():
        if is_given and len(places) > 1:
            raise click.UsageError(
                f"--{name.replace('_', '-')} is for one account and Region, so name them with --profile and --region."
            )


# ---------------------------------------------------------------- asking


def ask_all(
    places: Sequence[Place],
    ask: Callable[[Place, Progress], Value],
    judge: Callable[[Value], int],
    progress: Progress = lambda _share: None,
) -> list[Reply[Value]]:
    """Ask all places, at most `MAX_PARALLEL` at the same time, and return their replies in the order given.

    A place fails if `ask` raises `click.ClickException`. The others go on. Propagates any other error. `judge` returns
    the exit code of a result.

    The threads end with the program, so that Ctrl-C waits for none of them. They only read, and their queries of Logs
    Insights are stopped then.
    """
    context = click.get_current_context(silent=True)
    shares = [0.0] * len(places)

    def ask_one(number: int) -> Reply[Value]:
        place = places[number]

        def advance(share: float) -> None:
            shares[number] = share
            progress(sum(shares) / len(shares))

        try:
            with _selected(context, place):
                value = ask(place, advance)
        except click.ClickException as error:
            return Reply(place, None, " ".join(error.message.split()), error.exit_code)
        finally:
            advance(1.0)
        return Reply(place, value, "", judge(value))

    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    replies: list[Future[Reply[Value]]] = [Future() for _ in places]
    for number in range(len(places)):
        waiting.put(number)

    def work() -> None:
        while True:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                replies[number].set_result(ask_one(number))
            except BaseException as error:  # noqa: BLE001 - raised again by `result`
                replies[number].set_exception(error)

    for _ in range(min(MAX_PARALLEL, len(places))):
        threading.Thread(target=work, daemon=True).start()
    return [each.result() for each in replies]


@contextmanager
def _selected(context: click.Context | None, place: Place) -> Iterator[None]:
    """Have this thread's messages name the profile and Region of a place. click's contexts belong to one thread."""
    if context is None:
        yield
        return
    inside = click.Context(context.command, parent=context.parent, info_name=context.info_name)
    inside.params = {**context.params, **_select(context.params, place)}
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None:
            inside.set_parameter_source(name, source)
    with inside.scope(cleanup=False):
        yield


def _select(params: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Return the options of one place, as far as the running command has them."""
    selected: dict[str, Any] = {}
    for name, value in (("profile", place.profile), ("region", place.region)):
        selected |= {name: value, f"{name}s": () if value is None or name in params else (value,)}
    return {name: value for name, value in selected.items() if name in params}


# ---------------------------------------------------------------- results


def worst_exit_code(replies: Iterable[Reply[Value]]) -> int:
    """Return the exit code of the worst place: 3 is worse than 1, and 1 than 0."""
    return max(reply.exit_code for reply in replies)


def print_replies(console: Console, replies: Sequence[Reply[Value]], print_value: Callable[[Value], None]) -> None:
    """Print each place under a heading. A place that failed is one line with its reason."""
    for reply in replies:
        if reply.value is None:
            console.print(Text.assemble((f"{reply.name}: ", "bold red"), reply.reason), soft_wrap=True)
        else:
            console.print(Text(f"{reply.name}\n{'─' * len(reply.name)}", style="bold"), soft_wrap=True)
            print_value(reply.value)
        console.print()


def format_replies(
    replies: Sequence[Reply[Value]],
    describe: Callable[[Value], Mapping[str, Any]],
    more: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Return all places as JSON, each with the document of a run for this place alone, or its error.

    `more` are members about all of them.
    """
    return format_json(
        {
            "places": [
                {
                    "profile": reply.place.profile,
                    "account": None if reply.value is None else reply.value.account,
                    "region": reply.place.region if reply.value is None else reply.value.region,
                    "exit_code": reply.exit_code,
                    "error": reply.reason or None,
                    "document": None if reply.value is None else add_version(describe(reply.value)),
                }
                for reply in replies
            ],
            **more,
        }
    )
