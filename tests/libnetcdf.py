"""NetCDF-4 as netCDF-C writes it: the truth of our own writer, and what is in a file, whoever wrote it."""

import contextlib

import h5py
import netCDF4
import numpy as np

from catalog.data.blocks import blocks
from catalog.data.plain import words
from catalog.formats._flat import RESERVED, attributes_of

STRUCTURE = {"_NCProperties", "_Netcdf4Dimid", "CLASS"}


def write(dataset, path):
    """Write a dataset as it is, through netCDF4."""
    with contextlib.closing(netCDF4.Dataset(path, "w", format="NETCDF4")) as target:
        target.set_auto_maskandscale(False)
        target.setncatts(attributes_of(dataset))
        for name, size in dataset.sizes.items():
            target.createDimension(str(name), size)
        for name, variable in dataset.variables.items():
            _copy(target, str(name), variable)


def _copy(target, name, variable):
    text = variable.dtype.kind in "OSUT"
    kind = str if text else np.int8 if variable.dtype.kind == "b" else variable.dtype.newbyteorder("=")
    fill = None if text else variable.attrs.get("_FillValue")
    if fill is not None:
        fill = np.asarray(fill).astype(variable.dtype).ravel()[0]
    copy = target.createVariable(name, kind, variable.dims, fill_value=fill)
    copy.setncatts({str(k): v for k, v in variable.attrs.items() if k not in RESERVED and k != "_FillValue"})
    copy.set_auto_maskandscale(False)
    copy.set_auto_chartostring(False)
    for place, values in blocks(variable):
        copy[place or ...] = _texts(values) if text else values


def _texts(values):
    found = ["" if item is None else words(item) for item in np.asarray(values, object).ravel()]
    return np.array(found, object).reshape(values.shape)


def read(path):
    """Return all that netCDF-C tells of a file, in its order."""
    with contextlib.closing(netCDF4.Dataset(path)) as file:
        file.set_auto_maskandscale(False)
        file.set_auto_chartostring(False)
        return {
            "dimensions": [(d.name, len(d), d.isunlimited()) for d in file.dimensions.values()],
            "attributes": _attributes(file),
            "variables": [
                (v.name, str(v.dtype), v.dimensions, v.shape, str(v.get_fill_value()), _attributes(v), _bits(v[...]))
                for v in file.variables.values()
            ],
            "model": (file.data_model, list(file.groups)),
        }  # fmt: skip


def _attributes(item):
    return [(name, _bits(item.getncattr(name))) for name in item.ncattrs()]


def _bits(value):
    """A value that is equal where each bit is, and its type."""
    found = np.asarray(value)
    return found.tolist() if found.dtype.kind in "OU" else (str(found.dtype), found.shape, found.tobytes())


def read_hdf(path):
    """Return the objects of the file as HDF5 has them, with the names of those that are referred to."""
    with h5py.File(path, "r") as file:
        found = {"/": _hdf_attributes(file, file)}
        for name, item in file.items():
            kept = (str(item.dtype), item.shape, item.maxshape, str(item.fillvalue))
            bare = b"not a netCDF variable" in item.attrs.get("NAME", b"")
            found[name] = (*(kept[1:3] if bare else kept), _hdf_attributes(file, item))
            along = [axis.keys() for axis in item.dims]
            assert not (along and "DIMENSION_LIST" in item.attrs) or all(along)
        return found


def _hdf_attributes(file, item):
    told = {}
    for name in item.attrs:
        if name in STRUCTURE:
            continue
        kind, shape, value = item.attrs.get_id(name).dtype, item.attrs.get_id(name).shape, item.attrs[name]
        if name == "REFERENCE_LIST":
            value = sorted((file[reference].name, int(axis)) for reference, axis in value)
        elif name == "DIMENSION_LIST":
            value = [[file[reference].name for reference in axis] for axis in value]
        elif isinstance(value, h5py.Empty):
            value = None
        else:
            value = _bits(value)
        told[name] = (str(kind), shape, value)
    return told
