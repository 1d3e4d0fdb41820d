"""`quota-monitor`: one command, its subcommands each in a module of their own."""

import click

from quota_monitor import cost, demo, deploy, doctor, events, failed, local, package, registry


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Amazon Bedrock quotas against what is reserved and consumed, minute by minute."""


main.add_command(cost.cost)
main.add_command(deploy.deploy)
main.add_command(doctor.doctor)
main.add_command(failed.failed)
main.add_command(local.local)
main.add_command(demo.demo)
main.add_command(events.events)
main.add_command(package.package)
main.add_command(registry.registry)
