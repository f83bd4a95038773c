"""The obvious form of a search: every group of records is looked at, and those that answer are put in order."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from catalog.record import Record
from catalog.search import FACETS, Page, Query, answers, exact_tokens, facets_of, texts
from catalog.stores import _rules
from catalog.uniting import united


def page(groups: Iterable[Sequence[Record]], query: Query, broken: Collection[str] = ()) -> Page:
    """Return a page of the groups that answer a query, as what their leaders say, and the facet counts of all.

    Args:
        groups: Records that are one dataset, the leader first.
        query: The question.
        broken: Ids of leaders that come last by relevance.
    """
    found = _ordered([group for group in groups if answers(group, query)], query, broken)
    counted: dict[str, Counter[str]] = {facet: Counter() for facet in FACETS}
    for group in found:
        for facet in FACETS:
            counted[facet].update({value for record in group for value in facets_of(record)[facet]})
    return Page(
        matched=len(found),
        items=tuple(
            united(leader, members) for leader, *members in found[query.offset : query.offset + query.limit]
        ),
        facets={facet: _rules.hits(facet, counted[facet], query.lang) for facet in FACETS},
    )


def _ordered(
    found: Sequence[Sequence[Record]], query: Query, broken: Collection[str]
) -> list[Sequence[Record]]:
    by_id = sorted(found, key=lambda group: group[0].id)
    match query.sort.removeprefix("-"):
        case "title":
            return _stable(by_id, {g[0].id: _rules.title_key(g[0], query.lang) for g in by_id}, query)
        case "modified":
            return _stable(by_id, {g[0].id: _rules.modified_key(g[0]) for g in by_id}, query)
        case "relevance":
            return sorted(by_id, key=lambda group: (group[0].id in broken, not _exactly(group, query)))
        case _:
            return by_id[::-1] if query.sort == "-id" else by_id


def _stable(by_id: list[Sequence[Record]], keys: Mapping[str, Any], query: Query) -> list[Sequence[Record]]:
    return sorted(by_id, key=lambda group: keys[group[0].id], reverse=query.sort.startswith("-"))


def _exactly(group: Iterable[Record], query: Query) -> bool:
    """Whether one of the records has the words as they are written; so has each where there are none."""
    return not query.terms() or any(_has_exactly(record, query) for record in group)


def _has_exactly(record: Record, query: Query) -> bool:
    words = [f" {' '.join(exact_tokens(text))} " for text in texts(record)]
    return all(any(f" {' '.join(term)} " in text for text in words) for term in _rules.exact_terms(query))
