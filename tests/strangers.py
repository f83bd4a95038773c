"""Records as strangers might give them: one that means well, and one whose every word is an attack."""

import re
from typing import Any

from catalog.record import Record, Text

PAYLOADS = (
    "<script>alert(1)</script>",
    "</title><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "' onmouseover='alert(4)",
    "<svg/onload=alert(5)>",
    "<svg><script>alert(6)</script></svg>",
    "javascript:alert(7)",
    "JaVaScRiPt:alert(8)",
    "java\tscript:alert(9)",
    "\x01javascript:alert(10)",
    "data:text/html,<script>alert(11)</script>",
    "vbscript:msgbox(12)",
    'http://example.org/" onclick="alert(13)',
    "//example.org/x",
    "https:\\\\example.org",
    "{{ 7 * 7 }}{% for x in (1,) %}{% endfor %}",
    "<style>@import 'http://example.org/x.css'</style>",
    "<base href='http://example.org/'>",
    "<meta http-equiv=refresh content='0;url=http://example.org/'>",
    "<iframe srcdoc='<script>parent.alert(20)</script>'></iframe>",
    "[x](javascript:alert(21))",
    "&lt;script&gt;alert(22)&lt;/script&gt;",
)  # fmt: skip


def record(name: str, **fields: Any) -> Record:
    return Record(
        **{
            "id": f"sample-{name}",
            "source": "sample",
            "native_id": name,
            "title": Text(words={"vi": f"Nhiệt độ nước biển {name}", "en": f"Sea temperature {name}"}),
            "kind": "grid",
            "variables": [
                {"name": "sst", "standard_name": "sea_surface_temperature", "units": "degC"},
                {"name": "lon", "coordinate": True, "dimensions": ["lon"], "shape": [1440]},
            ],
            "extent": {
                "boxes": [[99, -1, 122, 25]],
                "time": {"start": "2019-02-23T00:00:00Z", "end": "2019-03-01T06:00:00Z"},
            },
            "parties": [{"name": "Viện Hải dương học", "roles": ["publisher"]}],
            "distributions": [
                {
                    "protocol": "file",
                    "address": "/secret/place/sst.nc",
                    "format": "netcdf4",
                    "size": 1_234_567,
                }
            ],
            "document_hash": "0" * 64,
        }
        | fields
    )


def hostile(number: int, payload: str) -> Record:
    return record(
        f"hostile-{number}",
        title=Text.of(payload),
        summary=Text.of(payload),
        keywords=[{"und": payload}],
        variables=[{"name": payload, "title": {"und": payload}, "units": payload, "dimensions": [payload]}],
        parties=[{"name": payload, "email": payload, "url": payload}],
        licence={"spdx": payload, "title": payload, "url": payload},
        citation=payload,
        doi="10.1234/" + re.sub(r"\s", "", payload),
        lineage=payload,
        update_frequency=payload,
        landing_page=payload,
        quality=[{"code": "odd", "text": payload}],
        distributions=[
            {"protocol": way, "address": payload, "title": payload}
            for way in ("http", "opendap", "file", "other")
        ],
    )
