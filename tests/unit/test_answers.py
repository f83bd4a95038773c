"""Answers: the same bytes whatever the pieces, closed once, wrong before the first byte."""

import os
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.answers import HEAD_BYTES, PIECE_BYTES, Answer, gathered, of_spool, read_end, written_end
from catalog.data.spools import Spools
from catalog.errors import DataUnreadable, NotSubsettable, TooBusy

SIZES = st.lists(st.sampled_from([0, 1, 1000, PIECE_BYTES - 1, PIECE_BYTES, HEAD_BYTES + 1]), max_size=6)


def made(sizes):
    return [os.urandom(size) for size in sizes]


@given(SIZES)
def test_gathering_loses_nothing_and_makes_no_small_piece_but_between_large_ones(sizes):
    pieces = made(sizes)
    got = list(gathered(pieces))
    assert b"".join(got) == b"".join(pieces)
    assert all(len(piece) <= max(HEAD_BYTES, 2 * PIECE_BYTES) for piece in got)
    assert len(got) <= len(pieces) + sum(sizes) // HEAD_BYTES


@given(SIZES, st.integers(0, 8))
def test_an_answer_is_its_pieces_whether_its_rest_is_set_aside_or_not(sizes, taken):
    pieces, closed, spools = made(sizes), [], Spools(1 << 30)
    answer = Answer(
        iter(pieces), media_type="x/y", filename="a", spools=spools, closed=lambda: closed.append(1)
    )
    assert answer.size in {None, sum(sizes)}
    sent = answer.pieces()
    got = [piece for _, piece in zip(range(taken), sent, strict=False)]
    answer.set_aside()
    answer.set_aside()
    assert closed == ([] if answer.whole and not closed else [1])
    assert b"".join([*got, *sent]) == b"".join(pieces)
    assert closed == [1]
    assert spools._bytes == 0


def test_where_there_is_no_space_the_rest_is_made_as_it_is_taken():
    pieces, closed = made([HEAD_BYTES] * 3), []
    answer = Answer(pieces, media_type="x/y", filename="a", spools=Spools(0), closed=lambda: closed.append(1))
    answer.set_aside()
    assert closed == []
    assert b"".join(answer.pieces()) == b"".join(pieces)


def test_what_is_wrong_at_first_is_said_before_any_byte():
    closed = []

    def broken():
        yield b"a"
        raise NotSubsettable("no")

    with pytest.raises(NotSubsettable):
        Answer(broken(), media_type="x/y", filename="a", closed=lambda: closed.append(1))
    assert closed == [1]


def spooled(data):
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return Spools(1 << 30).take(os.dup(file.fileno()), len(data))


def test_the_notes_of_a_worker_are_taken_off_the_end():
    spool = spooled(b"bytes" + written_end(("all cells masked", "biển")))
    assert read_end(spool) == ("all cells masked", "biển")
    answer = of_spool(spool, media_type="x/y", filename="a")
    assert (answer.size, b"".join(answer.pieces())) == (5, b"bytes")


@given(st.binary(max_size=40))
def test_an_end_that_is_none_is_an_error(data):
    with pytest.raises(DataUnreadable):
        read_end(spooled(data))


def test_an_answer_that_is_given_up_is_not_made_to_its_end():
    made = []

    def endless():
        while True:
            yield b"x" * HEAD_BYTES
            made.append(1)
            if len(made) == 5:
                answer.close()

    spools = Spools(1 << 40)
    answer = Answer(endless(), media_type="x/y", filename="a", spools=spools)
    answer.set_aside()
    assert (len(made), spools._bytes) == (5, 0)


def test_no_more_is_set_aside_than_there_is_space_for():
    spools = Spools(5 * HEAD_BYTES)
    pieces = (b"x" * HEAD_BYTES for _ in iter(int, 1))
    answer = Answer(pieces, media_type="x/y", filename="a", spools=spools)
    with pytest.raises(TooBusy):
        answer.set_aside()
    assert spools._bytes == 0
