"""Serve the preview's page and its data to this machine only.

GET /                                      the list of dashboards
GET /dashboards/NAME                       the page of a dashboard
GET /api/dashboards                        names of dashboards
GET /api/dashboards/NAME?ID=VALUE          variables and widgets
GET /api/dashboards/NAME/widgets/N?ID=VALUE&from=SECONDS&to=SECONDS    a drawing
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from localaws.preview import body, drawing
from localaws.preview.drawing import Reader
from localaws.preview.errors import PreviewError
from localaws.preview.series import TimeRange

if TYPE_CHECKING:
    import boto3

logger = logging.getLogger("localaws.preview")

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Blocks everything from other origins and all inline scripts, because a dashboard's text is not trusted."""

LONGEST_SECONDS = 15 * 24 * 3600

NO_DASHBOARD = frozenset({"ResourceNotFound", "DashboardNotFoundError"})
"""Error codes of GetDashboard: that of the service model, and the shape's name."""


class NotThereError(Exception):
    """The path does not exist. The message says what is missing."""


class Dashboards:
    """The dashboards of one account, and the Regions that have something to draw: `session`'s, unless others are given.

    Clients are made once, because a page requests several widgets at a time.
    """

    def __init__(self, session: boto3.Session, regions: Sequence[str] = ()) -> None:
        self._session = session
        self._regions = tuple(regions) or (session.region_name,)
        self._cloudwatch = session.client("cloudwatch")
        self._readers = {session.region_name: Reader(session, session.region_name)}

    def names(self) -> list[str]:
        """Return the names of the dashboards."""
        return sorted(entry["DashboardName"] for entry in self._cloudwatch.list_dashboards()["DashboardEntries"])

    def describe(self, name: str, values: Mapping[str, str]) -> dict[str, Any]:
        """Return a dashboard's variables with the chosen values, and the positions of its widgets."""
        text = self._text(name)
        given = json.loads(text)
        variables = body.variables(given, self._readers[self._session.region_name].find, self._regions)
        return {
            "name": name,
            "start": given.get("start", "-PT3H"),
            "problems": [f"not drawn by this preview: {each}" for each in body.not_drawn(given)],
            "variables": [
                {
                    "id": each.id,
                    "label": each.label,
                    "options": [{"value": value, "label": label} for value, label in each.options],
                    "value": values.get(each.id) or each.default,
                    "typed": each.typed,
                }
                for each in variables
            ],
            "widgets": [
                {key: widget.get(key, default) for key, default in (("x", 0), ("y", 0), ("width", 6), ("height", 6))}
                for widget in given["widgets"]
            ],
        }

    def draw(self, name: str, index: int, values: Mapping[str, str], time_range: TimeRange) -> drawing.Drawing:
        """Return the drawing of one widget of a dashboard."""
        widgets = body.chosen(self._text(name), values)["widgets"]
        if not 0 <= index < len(widgets):
            raise NotThereError(f"the dashboard {name} has no widget {index}")
        properties = widgets[index].get("properties", {})
        region = properties.get("region") or self._session.region_name
        if region not in self._regions:
            reason = f"no stack in {region}: choose {' or '.join(self._regions)}"
            return {"kind": "unsupported", "title": str(properties.get("title", "")), "reason": reason}
        return drawing.draw(widgets[index], time_range, self._find_reader(region))

    def _find_reader(self, region: str) -> Reader:
        """Return the reader of a Region. It is made for the first widget of that Region."""
        if region not in self._readers:
            self._readers[region] = Reader(self._session, region)
        return self._readers[region]

    def exists(self, name: str) -> bool:
        """Return whether there is a dashboard of this name."""
        try:
            self._text(name)
        except NotThereError:
            return False
        return True

    def _text(self, name: str) -> str:
        try:
            return self._cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in NO_DASHBOARD:
                raise
            raise NotThereError(f"there is no dashboard named {name}") from error


class Server(ThreadingHTTPServer):
    """Serve the dashboards on one port of this machine. `address` is the loopback address."""

    daemon_threads = True

    def __init__(self, address: str, port: int, dashboards: Dashboards) -> None:
        super().__init__((address, port), _Handler)
        self.dashboards = dashboards
        self.hosts = frozenset(f"{host}:{self.server_port}" for host in (address, "localhost"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        if (
            self.headers.get("Host") not in self.server.hosts
        ):  # DNS rebinding: another site's name that resolves to this machine
            self._json(403, {"message": "only requests to 127.0.0.1 or localhost are allowed"})
            return
        parts = urlsplit(self.path)
        path = [unquote(each) for each in parts.path.split("/")[1:]]
        try:
            self._route(path, dict(parse_qsl(parts.query)))
        except NotThereError as error:
            self._json(404, {"message": str(error) or f"nothing at {parts.path}"})
        except (PreviewError, ValueError, KeyError, TypeError) as error:
            self._json(400, {"message": f"{type(error).__name__}: {error}"})
        except (BotoCoreError, ClientError) as error:
            self._json(503, {"message": f"the emulator did not answer: {error}"})

    def _route(self, path: list[str], query: dict[str, str]) -> None:
        match path:
            case [""]:
                self._file(STATIC / "page.html")
            case ["dashboards", name]:  # the page says itself what is missing
                self._file(STATIC / "page.html", 200 if self.server.dashboards.exists(name) else 404)
            case ["static", *names]:
                self._file(STATIC.joinpath(*names))
            case ["api", "dashboards"]:
                self._json(200, self.server.dashboards.names())
            case ["api", "dashboards", name]:
                self._json(200, self.server.dashboards.describe(name, query))
            case ["api", "dashboards", name, "widgets", index]:
                time_range = TimeRange(int(query.pop("from")), int(query.pop("to")))
                if not 0 < time_range.end - time_range.start <= LONGEST_SECONDS:
                    raise ValueError("from and to are not a time range of at most 15 days")
                self._json(200, self.server.dashboards.draw(name, int(index), query, time_range))
            case _:
                raise NotThereError

    def _file(self, path: Path, status: int = 200) -> None:
        found = path.resolve()
        if not found.is_relative_to(STATIC) or not found.is_file() or found.suffix not in TYPES:
            raise NotThereError
        self._answer(status, TYPES[found.suffix], found.read_bytes())

    def _json(self, status: int, document: Any) -> None:
        self._answer(status, "application/json", json.dumps(_finite(document), allow_nan=False).encode())

    def _answer(self, status: int, content_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        logger.debug(format, *args)


def _finite(node: Any) -> Any:
    """Return a document without infinite numbers and NaN, which JSON does not have."""
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_finite(each) for each in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
