"""What whoever made a file may write into the head of an answer: nothing but a line of ASCII."""

from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from catalog.answers import Answer
from catalog.interfaces._sending import send


def head(notes):
    return send(Answer([b"a"], media_type="text/csv", filename="a.csv", notes=notes)).headers


@given(st.lists(st.text(max_size=300).filter(str.isprintable), min_size=1, max_size=5))
def test_notes_are_a_line_of_ascii_that_says_what_they_say(notes):
    said = head(tuple(notes))["bienmo-notes"]
    assert said.isascii()
    if len(said) < 4_000:
        assert unquote(said) == "; ".join(notes)


def test_no_note_makes_another_header_or_one_too_long():
    said = head(("a\r\nSet-Cookie: b=c\0<script>", *["độ " * 1_000] * 50))
    assert set(said) == {
        "bienmo-notes",
        "content-disposition",
        "content-length",
        "content-type",
        "x-content-type-options",
    }
    assert not set("\r\n\0<>") & set(said["bienmo-notes"])
    assert len(said["bienmo-notes"]) < 4_100
