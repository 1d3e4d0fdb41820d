"""`quota-monitor`: one command. Each subcommand lives in a module of its own, which is imported when it is called."""

from __future__ import annotations

import importlib

import click

COMMANDS = {
    "analyze": (
        "quota_monitor.analyze.command:analyze",
        "Say why calls are throttled, who causes it, and what to change.",
    ),
    "cost": ("quota_monitor.cost.command:cost", "Estimate what the monitor costs per month."),
    "demo": ("quota_monitor.demo:demo", "Deploy the stack on this machine and send it an hour of traffic."),
    "deploy": ("quota_monitor.deployment.deploy:deploy", "Build once and deploy to several Regions in parallel."),
    "doctor": ("quota_monitor.doctor.command:doctor", "Check a deployed stack from end to end."),
    "events": ("quota_monitor.sample_events:events", "Rebuild the sample events in events/metric_processor/."),
    "explain": (
        "quota_monitor.explain:explain",
        "Show one minute of a quota pool, second by second.",
    ),
    "failed": ("quota_monitor.failed.command:failed", "List failed deliveries and replay them."),
    "increase": ("quota_monitor.increase:increase", "Write the evidence for a larger quota, as Markdown."),
    "local": ("quota_monitor.local:local", "Run the stack on this machine, without an AWS account."),
    "package": ("quota_monitor.deployment.package:package", "Write one self-contained template for stack sets."),
    "report": (
        "quota_monitor.deployed.report:report",
        "Say why calls are throttled, from a deployed stack.",
    ),
    "registry": ("quota_monitor.registry.command:registry", "Check the registry of models, and compare it with AWS."),
}
"""The module and the name of each subcommand, and the first sentence of its help.

The sentence is repeated here so that `quota-monitor --help` imports none of them.
"""


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is called, as click's documentation shows it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all subcommands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import a subcommand. Return None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{name} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bedrock-quota-monitor", prog_name="quota-monitor")
def main() -> None:
    """Compare Amazon Bedrock quotas with the tokens that calls reserve and consume, minute by minute."""
