"""A CKAN-like portal in a process of its own: made records, each answer after 50 ms, a hundred records a page.

The pages are made before it begins: a portal's own work is done on another machine than the harvest.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

LATENCY = 0.05
ROWS = 100
_NAMES = ("temperature", "salinity", "sea level", "chlorophyll", "wind", "currents", "waves", "oxygen")


def package(number: int) -> dict[str, object]:
    """Make a record as a marine CKAN portal gives it: about 1.5 kB of JSON."""
    name, west, south = _NAMES[number % 8], -180 + number * 7 % 350, -80 + number * 3 % 150
    ring = [[west, south], [west + 5, south], [west + 5, south + 5], [west, south + 5], [west, south]]
    year = 1980 + number % 40
    return {
        "id": f"{number:08x}-0000-4000-8000-{number:012x}",
        "name": f"{name.replace(' ', '-')}-{number}",
        "title": f"Sea {name} of the Gulf of Tonkin and Biển Đông, {year}, part {number}",
        "notes": f"Daily means of {name} from satellites and buoys on a regular grid, quality controlled. "
        * 4,
        "license_title": "Creative Commons Attribution 4.0",
        "license_url": "https://creativecommons.org/licenses/by/4.0/",
        "organization": {"name": f"institute-{number % 40}", "title": f"Institute {number % 40}"},
        "tags": [{"name": tag, "display_name": tag} for tag in ("ocean", name, "satellite", "daily")],
        "metadata_created": "2020-01-01T00:00:00.000000",
        "metadata_modified": "2021-01-01T00:00:00.000000",
        "extras": [
            {"key": "spatial", "value": json.dumps({"type": "Polygon", "coordinates": [ring]})},
            {"key": "temporal-extent-begin", "value": f"{year}-01-01"},
            {"key": "temporal-extent-end", "value": f"{year}-12-31"},
        ],
        "resources": [
            {
                "url": f"https://example.org/data/{number}.nc",
                "format": "NetCDF",
                "name": "grid",
                "size": 12_345,
            },
            {"url": f"https://example.org/data/{number}.csv", "format": "CSV", "name": "table"},
        ],
    }


def _answer(start: int, count: int) -> bytes:
    packages = [package(number) for number in range(start, min(start + ROWS, count))]
    return json.dumps({"success": True, "result": {"count": count, "results": packages}}).encode()


class _Portal(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    pages: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        """Answer `package_search`; nothing changed since it was published."""
        begun = time.monotonic()
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        unchanged = "metadata_modified" in asked.get("fq", "")
        if asked["rows"] != ROWS or asked["start"] % ROWS:
            raise ValueError(f"pages of {ROWS} rows were made, and asked was for {asked}")
        body = _answer(0, 0) if unchanged else self.pages[asked["start"] // ROWS]
        time.sleep(max(0.0, LATENCY - (time.monotonic() - begun)))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the name of the library
        """Say nothing."""


@contextmanager
def replaying(records: int) -> Iterator[str]:
    """Run a portal of so many records; give its address."""
    command = [sys.executable, str(Path(__file__)), str(records)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def main() -> None:
    """Serve RECORDS records, and print the port."""
    count = int(sys.argv[1])
    _Portal.pages += [_answer(start, count) for start in range(0, count, ROWS)]
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Portal)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
