"""From a distribution to numbers: workers, opening, axes, subset.

Every foreign file and every remote data server is read in a disposable worker process (`workers`): libhdf5 and
libnetcdf are neither safe against hostile bytes nor across threads. `opening` describes and opens, `axes` finds
longitude, latitude, depth and time, `subset` cuts.

A **header document** is what `opening.describe` says of a file, as JSON, and what the `acdd` dialect reads:

    {"format": "netcdf4" | "netcdf3" | "hdf5" | "zarr" | "csv" | "tsv" | "parquet" | "griddap" | "tabledap",
     "attributes": {name: value, …},                       global attributes, JSON values (numbers, strings, lists)
     "dimensions": {name: size, …},
     "variables": [{"name", "dtype", "dimensions": […], "shape": […], "attributes": {…}}, …],
     "coverage": {"kind": one of record.Kind,
                  "boxes": [[west, south, east, north], …],           degrees, −180…180, from the coordinates
                  "vertical": [minimum, maximum] | null,              metres, positive down
                  "time": {"start", "end", "calendar"} | null,        canonical instants (catalog.instant)
                  "resolution": {"longitude", "latitude", "depth", "time"} (degrees, metres, seconds; null: none),
                  "coordinates": [names of coordinate variables],
                  "problems": [{"code", "text"}, …]},                 what was odd, as quality notes
     "file": {"path", "size", "mtime", "checksum": "sha256:…"} | null,
     "distributions": [{…record.Distribution…}, …]}                   given by harvesters that know addresses

Keys under "coverage" that could not be found are null or empty; the dialect then falls back to ACDD attributes.
"""
