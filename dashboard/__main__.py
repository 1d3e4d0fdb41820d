"""Write the dashboard's body into template.yaml, or check that it is there: `python -m dashboard [--check]`."""

import sys

import click

from dashboard.body import TEMPLATE, render_for, write_into


@click.command()
@click.option("--check", is_flag=True, help="Change nothing. Exit with 1 if template.yaml is stale.")
def main(check: bool) -> None:
    """Write dashboard/dashboard.yaml into template.yaml."""
    template = TEMPLATE.read_text(encoding="utf-8")
    written = write_into(template, render_for(template))
    if written == template:
        return
    if check:
        click.echo("template.yaml does not match dashboard/dashboard.yaml. Run `make dashboard`.", err=True)
        sys.exit(1)
    TEMPLATE.write_text(written, encoding="utf-8", newline="\n")
    click.echo("wrote the dashboard's body into template.yaml")


if __name__ == "__main__":
    main()
