"""A catalogue of pycsw over a folder of ISO 19139 documents, in a SQLite database of its own.

Run as `python pycsw_server.py PORT MOST FOLDER`; MOST is how many records it gives at once.
"""

import configparser
import sys
import tempfile
import warnings
from io import BytesIO
from pathlib import Path
from wsgiref.simple_server import make_server

warnings.simplefilter("ignore")

from pycsw import server  # noqa: E402
from pycsw.core import admin, config  # noqa: E402

MAIN = {
    "identification_title": "Made", "identification_abstract": "Made", "identification_keywords": "sea",
    "identification_keywords_type": "theme", "identification_fees": "None",
    "identification_accessconstraints": "None", "provider_name": "Nobody", "provider_url": "http://provider.example",
    "contact_name": "Nobody", "contact_position": "", "contact_address": "", "contact_city": "",
    "contact_stateorprovince": "", "contact_postalcode": "", "contact_country": "", "contact_phone": "",
    "contact_fax": "", "contact_email": "", "contact_url": "http://provider.example", "contact_hours": "",
    "contact_instructions": "", "contact_role": "pointOfContact",
}  # fmt: skip


def configured(port, most, database):
    """Return the configuration of a catalogue."""
    found = configparser.ConfigParser()
    found.read_dict(
        {
            "server": {
                "home": str(Path(database).parent),
                "url": f"http://127.0.0.1:{port}/",
                "mimetype": "application/xml; charset=UTF-8",
                "encoding": "UTF-8",
                "language": "en-US",
                "maxrecords": most,
                "profiles": "apiso",
            },
            "metadata:main": MAIN,
            "repository": {"database": f"sqlite:///{database}", "table": "records"},
        }
    )
    return found


def main(port, most, folder):
    """Load the folder and serve it until the process ends."""
    with tempfile.TemporaryDirectory() as home:
        database = str(Path(home) / "records.db")
        admin.setup_db(f"sqlite:///{database}", "records", home)
        admin.load_records(config.StaticContext(), f"sqlite:///{database}", "records", folder)
        settings = configured(port, most, database)

        def application(environ, start_response):
            length = int(environ.get("CONTENT_LENGTH") or 0)
            environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(length))
            environ["local.app_root"] = home
            catalogue = server.Csw(settings, environ)
            status, body = catalogue.dispatch_wsgi()
            start_response(
                status, [("Content-Type", catalogue.contenttype), ("Content-Length", str(len(body)))]
            )
            return [body]

        with make_server("127.0.0.1", int(port), application) as served:
            served.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
