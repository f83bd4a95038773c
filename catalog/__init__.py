"""The way of the data through the catalog, a line a noun.

source     an entry of sources.toml: a portal, its protocol and its options (`catalog.source`)
document   the bytes a source gave, where and when (`catalog.source`)
record     the one model of a dataset, valid or nonexistent (`catalog.record`)
store      keeps records, their history and their documents; answers searches (`catalog.stores`)
search     a question, what it means, and a page of answers (`catalog.search`)
data       from a distribution to numbers: opening, axes, subset (`catalog.data`)
format     numbers as bytes in the form a client uses (`catalog.formats`)
service    the one object that interfaces and commands talk to (`catalog.service`)
interface  a standard's addresses over the service (`catalog.interfaces`), and the pages (`catalog.web`)
"""
