"""What is asked for beforehand."""

import pytest

from harvesters._soon import soon


def test_soon_gives_the_result_or_raises() -> None:
    assert soon(lambda: 5).result(5) == 5
    with pytest.raises(ZeroDivisionError):
        soon(lambda: 1 / 0).result(5)
