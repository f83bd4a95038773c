"""Which values the data's own quality flags call good.

Understood are flags that say what their values mean (CF conventions §3.5: `flag_meanings` with `flag_values` or
`flag_masks`, as QARTOD and GHRSST write them), and those of schemes known by name: Argo reference table 2 (good is 1 or
2), the IODE and OceanSITES flags (1; OceanSITES also 2), SeaDataNet L20 (1 or 2). A value is good where at least one
flag of its variable calls it so and none calls it anything worse: a test that was not evaluated says nothing of a value
that another one passes, and does not make it good alone. What a scheme calls probably good counts as good.
"""

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.masking import Key, masked
from catalog.data.origin import origin
from catalog.data.plain import words
from catalog.errors import NotSubsettable

_GOOD = frozenset(
    [
        "good",
        "good_data",
        "good_value",
        "good_values",
        "good_quality",
        "quality_good",
        "pass",
        "passed",
        "pass_qc",
        "ok",
        "valid",
        "correct",
        "probably_good",
        "probably_good_data",
        "probably_good_value",
        "probably_good_values",
        "value_probably_good",
        "acceptable_quality",
        "best_quality",
        "high_quality",
        "reliable",
        "good_data_passed_all_tests",
        "nominal_value",
        "value_seems_correct",
        "value_seems_probably_good",
    ]
)
_BAD = re.compile(
    r"(.*_)?(bad|fail|failed|failure|suspect|suspicious|wrong|erroneous|error|invalid|out_of_range|questionable|"
    r"rejected|interesting_outlier|spike|unrealistic)(_.*)?"
)
_NEUTRAL = re.compile(
    r"(quality_|data_|test_)?(not_(been_)?(evaluated|used|available|tested|checked|assessed|performed)|unknown|unevaluated|"
    r"untested)(_or_not_available)?|(test_|qc_)?not_(run|applied|done)|"
    r"(not_evaluated|unknown|not_available)_(not_evaluated|unknown|not_available)|"
    r"no_(qc|qa|quality_control|quality_check|test)(_(was_|is_)?(performed|applied|done|on_value))?"
)
_Scheme = tuple[frozenset[int], frozenset[int]]
_SCHEMES: tuple[tuple[re.Pattern[str], _Scheme], ...] = (  # codes that are good, and codes that say nothing
    (re.compile(r"argo.*reference table 2(?!\w)", re.IGNORECASE), (frozenset({1, 2}), frozenset({0}))),
    (
        re.compile(r"ocean\s?sites.*(qc|quality|reference table 2)", re.IGNORECASE),
        (frozenset({1, 2}), frozenset({0})),
    ),
    (re.compile(r"seadatanet|\bL20\b", re.IGNORECASE), (frozenset({1, 2}), frozenset({0}))),
    (re.compile(r"\bgtspp\b", re.IGNORECASE), (frozenset({1}), frozenset({0}))),
    (re.compile(r"\b(iode|qartod)\b", re.IGNORECASE), (frozenset({1}), frozenset({2}))),
)
_NAMED = (
    "{}_qc",
    "{}_QC",
    "{}_quality_control",
    "{}_quality_flag",
    "{}_flag",
    "{}_qartod_agg",
    "{}_qc_agg",
    "qc_{}",
    "QC_{}",
)
_STATUS = re.compile(r"(status|quality)_flag\b")
_Mask = npt.NDArray[np.bool_]


def beside(dataset: xr.Dataset, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the flags of variables, in the dataset's order."""
    found = {flag for name in names for flag in flags_of(dataset, name)}
    return tuple(str(name) for name in dataset.variables if name in found)


def flags_of(dataset: xr.Dataset, name: str) -> tuple[str, ...]:
    """Return the names of the flags of one variable that are understood.

    They are among its `ancillary_variables`, or have its name with an ending such as `_QC`; they lie on its dimensions.
    """
    variable = dataset.variables[name]
    named = str(variable.attrs.get("ancillary_variables", "")).split()
    named += [pattern.format(name) for pattern in _NAMED]
    return tuple(
        flag
        for flag in dict.fromkeys(named)
        if flag in dataset.variables
        and flag != name
        and set(dataset.variables[flag].dims) <= set(variable.dims)
        and _is_understood(dataset.variables[flag])
    )


def good(dataset: xr.Dataset) -> tuple[xr.Dataset, tuple[str, ...]]:
    """Return a cut dataset with only the good values of its wanted variables, and what is to be said of it.

    Values that are not good become missing, as lazily as they are (`catalog.data.masking`).

    Raises:
        NotSubsettable: No wanted variable has flags that are understood.
    """
    known = origin(dataset)
    flags = {name: flags_of(dataset, name) for name in known.wanted}
    of_their_own = {flag for names in flags.values() for flag in names}
    without = [name for name in known.wanted if not flags[name] and name not in of_their_own]
    if not of_their_own:
        raise NotSubsettable(
            "the data have no quality flags that are understood"
            + (f": {', '.join(known.wanted)}"[:300] if known.wanted else ""),
            hint="ask without qc; understood are CF flag_meanings, QARTOD, IODE, OceanSITES, SeaDataNet and Argo flags",
        )
    found = dataset.copy(deep=False)
    for name, names in flags.items():
        if names:
            found[name] = _good(dataset.variables[name], [dataset.variables[flag] for flag in names])
    found.encoding = dict(dataset.encoding)
    said = (
        (f"no quality flags are known of {', '.join(without)}: every value is kept"[:500],) if without else ()
    )
    return found, said


def _good(variable: xr.Variable, flags: Sequence[xr.Variable]) -> xr.Variable:
    """A variable with what no flag calls good, or one calls worse, missing."""

    def stays(key: Key) -> _Mask:
        """What the flags of the picked cells say together, along the variable's own dimensions."""
        said = [_along(variable, flag, key) for flag in flags]
        good = [is_good(raw, flag.attrs) for raw, flag in zip(said, flags, strict=True)]
        fine = [g | is_neutral(raw, f.attrs) for g, raw, f in zip(good, said, flags, strict=True)]
        found: _Mask = reduce(np.logical_or, good) & reduce(np.logical_and, fine)
        return found

    return masked(variable, stays)


def _along(variable: xr.Variable, flag: xr.Variable, key: Key) -> npt.NDArray[Any]:
    """The raw flags of the picked cells, along the variable's own dimensions: one place of those that it has not."""
    axes = [variable.dims.index(d) for d in flag.dims]
    raw = np.asarray(flag[tuple(key[axis] for axis in axes)].values).transpose(np.argsort(axes))
    shape = iter(raw.shape)
    return raw.reshape([next(shape) if axis in axes else 1 for axis in range(variable.ndim)])


def is_good(raw: npt.NDArray[Any], attributes: Mapping[str, Any]) -> _Mask:
    """Tell of raw values of a flag which are good, in their shape. Raises NotSubsettable for an unknown scheme."""
    meanings = _meanings(attributes)
    values, masks = _numbers(attributes, "flag_values"), _numbers(attributes, "flag_masks")
    if raw.dtype.kind in "OSU":
        raw = _digits(raw)
    if values is not None and len(values) == len(meanings):
        return _meant(raw, values, masks, [meaning in _GOOD for meaning in meanings])
    if masks is not None and len(masks) == len(meanings):
        bad = [int(m) for m, meaning in zip(masks, meanings, strict=True) if _BAD.fullmatch(meaning)]
        if bad:
            found: _Mask = (raw & np.bitwise_or.reduce(bad)) == 0
            fill = attributes.get("_FillValue")
            return found if fill is None else found & (raw != fill)
    scheme = _scheme(attributes)
    if scheme is None:
        raise NotSubsettable("the quality flags say nothing that is understood", hint="ask without qc")
    return np.isin(raw, sorted(scheme[0]))


def is_neutral(raw: npt.NDArray[Any], attributes: Mapping[str, Any]) -> _Mask:
    """Tell of raw values of a flag which say nothing (not evaluated, no quality control), in their shape."""
    meanings = _meanings(attributes)
    values, masks = _numbers(attributes, "flag_values"), _numbers(attributes, "flag_masks")
    if raw.dtype.kind in "OSU":
        raw = _digits(raw)
    if values is not None and len(values) == len(meanings):
        return _meant(raw, values, masks, [_NEUTRAL.fullmatch(meaning) is not None for meaning in meanings])
    scheme = None if masks is not None and len(masks) == len(meanings) else _scheme(attributes)
    return np.zeros(raw.shape, bool) if scheme is None else np.isin(raw, sorted(scheme[1]))


def _meant(
    raw: npt.NDArray[Any], values: npt.NDArray[Any], masks: npt.NDArray[Any] | None, chosen: Sequence[bool]
) -> _Mask:
    """Where a flag has one of the chosen values; with masks, where the bits of a mask have its value."""
    if masks is not None and len(masks) == len(values):
        tests = [(raw & m) == v for m, v, wanted in zip(masks, values, chosen, strict=True) if wanted]
        return np.logical_or.reduce(tests) if tests else np.zeros(raw.shape, bool)
    return np.isin(raw, values[np.array(chosen, bool)])


def _is_understood(flag: xr.Variable) -> bool:
    try:
        is_good(np.zeros(0, flag.dtype if flag.dtype.kind in "iuS" else "S1"), flag.attrs)
    except (NotSubsettable, TypeError):
        return False
    attributes = flag.attrs
    meanings = _meanings(attributes)
    values = _numbers(attributes, "flag_values")
    by_value = values is not None and len(values) == len(meanings)
    return not by_value or not _GOOD.isdisjoint(meanings)


def _scheme(attributes: Mapping[str, Any]) -> _Scheme | None:
    """The good and the neutral values of a scheme that the attributes name."""
    said = " ".join(
        words(attributes.get(key, ""))
        for key in ("conventions", "Conventions", "references", "long_name", "comment", "flag_convention")
    )
    return next((values for pattern, values in _SCHEMES if pattern.search(said)), None)


def _meanings(attributes: Mapping[str, Any]) -> list[str]:
    said = attributes.get("flag_meanings", "")
    texts = [words(part) for part in np.ravel(said)] if not isinstance(said, str) else said.split()
    if len(texts) == 1:
        texts = texts[0].split()
    return [text.strip().strip(",").lower().replace(" ", "_").replace("-", "_") for text in texts]


def _numbers(attributes: Mapping[str, Any], name: str) -> npt.NDArray[Any] | None:
    """The numbers of an attribute, also where they are written as text."""
    if name not in attributes:
        return None
    said = attributes[name]
    if isinstance(said, str):
        parts = re.findall(r"-?\d+", said)
        return np.array([int(part) for part in parts]) if parts else None
    found = np.ravel(np.asarray(said))
    if found.dtype.kind in "OSU":
        found = _digits(found)
    return found if found.dtype.kind in "iu" else None


def _digits(texts: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Flags that are written as characters, as numbers; −1 where one is no digit."""
    found = [int(text) if re.fullmatch("[0-9]{1,9}", text := words(item).strip()) else -1
             for item in np.asarray(texts, object).ravel()]  # fmt: skip
    return np.array(found, np.int64).reshape(np.shape(texts))
