"""The page on the command line, from the commands themselves. `python -m quota_monitor.command_reference` writes it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from quota_monitor.command_groups import read_summary
from quota_monitor.data_files import CHECKOUT
from quota_monitor.main import SECTIONS, main

PAGE = CHECKOUT / "docs" / "command-line.md"

NAME = "quota-monitor"

_WIDTH = 10_000
"""Columns for which click writes the help, so that it breaks no line."""

_HEAD = """\
<!-- Generated: do not edit this page. `make command-line` writes it. -->

# Command line

`quota-monitor` has these commands. `-h` after any of them prints its options.

{commands}

## Exit codes

| Code | Meaning |
|---|---|
| 0 | Done. |
| 1 | A problem was found, a step failed, or you answered "no" to a question. |
| 2 | Wrong usage: an option, a name or a Region that does not exist, or a command that needs the source code. |
| 3 | Could not look: the facts could not be read, so nothing is known. |
| 130 | Stopped by Ctrl-C. |

Errors are printed on standard error, one sentence each with the next step. Progress goes there too.

## Environment variables

| Variable | Meaning |
|---|---|
| `AWS_PROFILE` | AWS profile, unless `--profile` or `--profiles` names one. |
| `AWS_REGION`, `AWS_DEFAULT_REGION` | Region, unless `--region` or `--regions` names one. The first wins. |
| `AWS_CONFIG_FILE`, `AWS_SHARED_CREDENTIALS_FILE` | Files with profiles and credentials. |
| `AWS_ENDPOINT_URL` | Endpoint of AWS. The local stack uses it. |
| `HTTPS_PROXY`, `NO_PROXY` | Proxy on the way to AWS. |
| `COLUMNS` | Width of tables, above 0. Without it, that of the terminal, or {width_in_a_file} in a file or a pipe. |
| `NO_COLOR` | Print no colors. |

All other variables of boto3 work, too.

## Shell completion

Add the line for your shell to its startup file, and open a new terminal.

| Shell | File | Line |
|---|---|---|
| Bash 4.4 or newer | `~/.bashrc` | `eval "$(_QUOTA_MONITOR_COMPLETE=bash_source quota-monitor)"` |
| Zsh | `~/.zshrc` | `eval "$(_QUOTA_MONITOR_COMPLETE=zsh_source quota-monitor)"` |
| Fish | `~/.config/fish/config.fish` | `_QUOTA_MONITOR_COMPLETE=fish_source quota-monitor \\| source` |

## JSON

With `--json`, a command prints one document on standard output. `schema_version` is 1 in all of them. It is raised
when a member is removed or changes its meaning. New members may come at any time. Each number has one type: tokens and
percentages are real numbers, counts are whole. A value that is not known is `null`.

[answers.md](answers.md) describes the document of `analyze` and `report`, and [costs.md](costs.md#json) that of `cost`.
The others have these members.

{documents}
"""

_DOCUMENTS: dict[str, tuple[tuple[str, str], ...]] = {
    "doctor": (
        ("checked_at", "time of the check"),
        ("stack, account, region", "the stack that was checked"),
        ("use", "one sentence on the use of quotas in the last hours"),
        ("checks[]", "each check"),
        ("checks[].name", "where it looked"),
        ("checks[].state", "`ok`, `warning` or `problem`"),
        ("checks[].detail", "what was found"),
        ("checks[].remedy", "what to do, or `null`"),
        ("checks[].commands[]", "the commands in the remedy"),
    ),
    "doctor --regions": (
        ("places[]", "each account and Region, if there are several, in the order given. `report` prints the same"),
        ("places[].profile", "the profile, or `null` for the default one"),
        ("places[].account, places[].region", "where it looked, or `null` if that is not known"),
        ("places[].exit_code", "the exit code that this place alone would have"),
        ("places[].error", "why it could not look, or `null`"),
        ("places[].document", "the whole document of this place alone, or `null`"),
    ),
    "doctor --first-day": (
        ("checked_at, region, command_version, stack_version, settings", "the deployment, without names"),
        ("answers[]", "each question: `name`, `question`, `verdict`, `what`, `next` and `assumption`"),
        ("is_local", "true if the account is that of an emulator on this machine"),
    ),
    "explain": (
        ("accounts[]", "each account and Region with a call in the minute"),
        ("accounts[].account, region, model_id, endpoint_type", "the quota pool"),
        ("accounts[].token_quota, request_quota", "its quotas per minute"),
        ("accounts[].calls, calls_with_unknown_end, calls_left_out", "the calls that count in the minute"),
        ("accounts[].refused", "refused calls by caller"),
        ("accounts[].findings[]", "the sentences of the verdict"),
        ("accounts[].seconds[]", "each second: `second`, `begun`, `running`, `in_use_tokens`, `held` and `refused`"),
    ),
    "increase": (
        ("model_id, endpoint_type, region, from, to", "the quota pool, and the window"),
        ("first_call, last_call, peak_minute", "the minutes of these calls, and of the most tokens, or `null`"),
        ("days_in_window", "days (UTC) that the window touches"),
        ("days[]", "each day with calls: `date`, `requests`, `throttled`, `peak_tokens` and `peak_minute`"),
        ("quota, quota_to_ask_for", "`code`, `name`, `value` and `adjustable` as Service Quotas lists them"),
        ("end_of_life", "day on which the model ends"),
        ("busy_minutes, use_per_minute", "`tokens` and `requests` per minute: `steady`, `high` and `peak`"),
        ("mean_input_tokens, mean_output_tokens", "per request"),
        ("p95_input_tokens, p95_output_tokens", "the 95th percentiles, `null` if no single call was seen"),
        ("requests, throttled, throttled_minutes, coverage", "requests, and the share with a known max_tokens"),
        ("changes[]", "smaller limits: `caller`, `max_tokens`, and `peak_tokens` with them, without growth"),
        (
            "changes[].peak_tokens_with_throttled",
            "the same with all throttled calls, `null` if their limits are unknown",
        ),
        ("proposal", "`unit`, `base`, `growth`, `headroom`, `value`, `is_after_changes` and `has_throttled_calls`"),
        ("proposal.reason", "why `value` is `null`, as without an answered call"),
        ("other_proposal", "`unit`, `base` and `value` of the other quota, `null` unless it is reached, too"),
        ("command", "the command, or `null` if the quota is large enough, no value is known, or the model is legacy"),
        ("notes[]", "what the numbers rest on. The page has only the notes on its pool"),
    ),
    "failed list": (
        ("bucket", "bucket of the failed deliveries"),
        ("deliveries[]", "each delivery, the oldest first"),
        ("deliveries[].key, bytes, kept_at", "the object, its size, and when Lambda wrote it"),
        ("deliveries[].is_rejected", "true if only rejected records are left of it"),
        ("deliveries[].parts, parts_processed, records_rejected", "progress of its replay"),
    ),
    "deploy": (
        ("stack", "name of the stack"),
        (
            "regions[]",
            "each account and Region: `profile`, `region`, `state`, `seconds`, `reason` of a failure, and `outputs`",
        ),
    ),
    "local status": (
        ("running, trouble[]", "if all parts answer, and those that do not"),
        ("stack, stack_status, region, account", "the local stack"),
        ("endpoint_url, dashboard_url, aws_config_file", "how to use it"),
        ("outputs, left_out", "outputs of the stack, and the resources that the emulator cannot create"),
        ("metric_lines, metric_values", "what became metrics since the start"),
    ),
    "registry check": (
        ("models, providers, burndown_rates", "counts of what the registry has"),
        ("problems[], stale_files[]", "errors in the tables, and generated files that are out of date"),
    ),
    "registry sync": (
        ("region, day, listed", "what AWS listed: numbers of `models`, `profiles` and `quotas`"),
        ("quota_names_matched, quota_names_unmatched", "quota names of a quota pool, and the others by reason"),
        ("new[]", "`id`, `name`, `kind`, `called_as`, `quota_names` and `possible_quota_names` of new models"),
        ("provisioned_only[]", "new models for provisioned throughput only"),
        ("gone[]", "`id`, `name` and `reason`: `legacy`, or `absent` in this Region"),
        ("different[], unread_names[]", "sentences to review, and quota names that no rule matches"),
        ("unknown_spellings[]", "`spelling`, number of `quotas`, and `exact_name_of`"),
        ("tables", "TOML for the new models"),
    ),
}
"""Members of the documents that `--json` prints, by command."""


def render() -> str:
    """Return the page."""
    from quota_monitor.terminal import WIDTH_IN_A_FILE  # noqa: PLC0415 - slow to import

    head = _HEAD.format(
        commands="\n".join(_list_sections()),
        documents="\n\n".join(_describe_document(*each) for each in _DOCUMENTS.items()),
        width_in_a_file=WIDTH_IN_A_FILE,
    )
    described = [line for section in SECTIONS.values() for name in section for line in _describe(main, (), name)]
    return head + "\n" + "\n".join(described).rstrip() + "\n"


def _list_sections() -> Iterator[str]:
    yield "| | Command | |"
    yield "|---|---|---|"
    for title, commands in SECTIONS.items():
        for number, (name, (_, summary)) in enumerate(commands.items()):
            yield f"| {'' if number else title} | [`{name}`](#{NAME}-{name}) | {summary} |"


def _describe_document(command: str, members: tuple[tuple[str, str], ...]) -> str:
    rows = [f"| {', '.join(f'`{name}`' for name in names.split(', '))} | {meaning} |" for names, meaning in members]
    return "\n".join((f"### JSON of `{command}`", "", "| Member | Meaning |", "|---|---|", *rows))


def _describe(group: click.Group, above: tuple[str, ...], name: str) -> Iterator[str]:
    """Yield the part about a command, and about those below it."""
    context = click.Context(group, terminal_width=_WIDTH, info_name=" ".join((NAME, *above)))
    command = group.get_command(context, name)
    if command is None:
        raise KeyError(name)
    names = (*above, name)
    yield f"{'#' * (2 + len(above))} {' '.join((NAME, *names))}"
    yield ""
    yield from _write_help(command)
    if isinstance(command, click.Group):
        with click.Context(command) as inside:
            below = command.list_commands(inside)
        for each in below:
            yield from _describe(command, names, each)
        return
    inside = click.Context(command, info_name=name, parent=context, terminal_width=_WIDTH)
    yield f"`{' '.join((NAME, *names, *command.collect_usage_pieces(inside)))}`"
    yield ""
    records = [record for each in command.get_params(inside) if (record := each.get_help_record(inside)) is not None]
    yield "| Option | Meaning |"
    yield "|---|---|"
    yield from (f"| `{_cell(option)}` | {_cell(text)} |" for option, text in records if not option.endswith("--help"))
    yield ""


def _write_help(command: click.Command) -> Iterator[str]:
    """Yield the help in paragraphs."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or read_summary(command))):
        yield " ".join(paragraph.split())
        yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
