"""`quota-monitor`: one command. Each subcommand lives in a module of its own, which is imported when it is called."""

from __future__ import annotations

import click

from quota_monitor.command_groups import Commands, LazyGroup

SECTIONS: dict[str, Commands] = {
    "Answers": {
        "analyze": (
            "quota_monitor.analyze.command:analyze",
            "Say why calls are throttled, from invocation logs that exist.",
        ),
        "report": ("quota_monitor.deployed.report:report", "Say why calls are throttled, from a deployed stack."),
        "explain": ("quota_monitor.explain:explain", "Show one minute of a quota pool, second by second."),
        "increase": ("quota_monitor.increase.command:increase", "Write the evidence for a larger quota, as Markdown."),
    },
    "Operate": {
        "deploy": ("quota_monitor.deployment.deploy:deploy", "Build once and deploy to several accounts and Regions."),
        "doctor": ("quota_monitor.doctor.command:doctor", "Check a deployed stack from end to end."),
        "failed": ("quota_monitor.failed.command:failed", "List failed deliveries and replay them."),
        "cost": ("quota_monitor.cost.command:cost", "Estimate what the monitor costs per month."),
        "package": ("quota_monitor.deployment.package:package", "Write one self-contained template for stack sets."),
    },
    "Try": {
        "demo": ("quota_monitor.demo:demo", "Deploy the stack on this machine and send it an hour of traffic."),
        "local": ("quota_monitor.local:local", "Run the stack on this machine, without an AWS account."),
    },
    "Maintain": {
        "registry": (
            "quota_monitor.registry.command:registry",
            "Check the registry of models, and compare it with AWS.",
        ),
        "events": ("quota_monitor.sample_events:events", "Rebuild the sample events in events/metric_processor/."),
    },
}
"""The commands in the sections of the help.

The first sentence of each help is repeated here so that `quota-monitor --help` imports none of them.
"""


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from quota_monitor.program import describe_version  # noqa: PLC0415 - `--help` does not need it

    click.echo(f"quota-monitor, version {describe_version()}")
    ctx.exit()


@click.group(cls=LazyGroup, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version, and the commit of a checkout.",
)
def main() -> None:
    """Compare Amazon Bedrock quotas with the tokens that calls reserve and consume, minute by minute.

    Exit codes: 0 done, 1 found a problem, 2 wrong usage, 3 could not look.
    """
