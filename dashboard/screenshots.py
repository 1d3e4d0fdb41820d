"""Take the README's pictures of the dashboard: `python -m dashboard.screenshots URL`."""

from pathlib import Path

import click
from playwright.sync_api import ViewportSize, sync_playwright

from dashboard.chromium import FLAGS, find_chromium

IMAGES = Path(__file__).parents[1] / "docs" / "images"

FIRST_SCREEN = ViewportSize(width=1120, height=720)
"""Size of the README's picture. GitHub shows it 830 pixels wide, where a wider one could not be read."""

WHOLE_PAGE = ViewportSize(width=1440, height=900)
"""Size of the window for the picture of the whole page, which is as high as the page."""


@click.command()
@click.argument("url")
def main(url: str) -> None:
    """Write dashboard.png, the first screen of the dashboard at URL, and dashboard-whole.png."""
    chromium = find_chromium()
    if chromium is None:
        raise click.ClickException("chromium is not installed. Install it, or set CHROMIUM to its path.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        for name, size, scale in (("dashboard.png", FIRST_SCREEN, 2), ("dashboard-whole.png", WHOLE_PAGE, 1)):
            page = browser.new_page(viewport=size, color_scheme="light", device_scale_factor=scale)
            page.goto(url)
            page.wait_for_selector("body[data-drawn]", timeout=120_000)
            page.screenshot(path=IMAGES / name, full_page=size is WHOLE_PAGE)
            page.close()
            click.echo(f"wrote {IMAGES / name}")
        browser.close()


if __name__ == "__main__":
    main()
