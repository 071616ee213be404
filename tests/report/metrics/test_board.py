"""The board: which sheets workers are dealt, and that counts outlive them."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from pyproxycache.report.metrics.board import Board
from pyproxycache.report.metrics.family import Kind


def in_a_worker(board: Board, work: Callable[[], None]) -> None:
    """Do the work in a process that is forked now, and has the sheet that was dealt last."""
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def counted(board: Board, amount: float) -> None:
    sheet = board.take()
    place = sheet.place(Kind.COUNTER, "x", (), 1)
    assert place is not None
    sheet.numbers[place] += amount


def totals(board: Board) -> list[float]:
    return [sum(sheet.numbers[one.first] for one in sheet.series()) for sheet in board.sheets()]


def test_each_living_worker_has_a_sheet_of_its_own() -> None:
    board = Board(3)
    for worker, amount in (("a", 1.0), ("b", 2.0), ("c", 4.0)):
        board.deal(worker)
        in_a_worker(board, lambda amount=amount: counted(board, amount))  # type: ignore[misc]
    assert totals(board) == [1.0, 2.0, 4.0]
    assert len(board.workers()) == 3


def test_the_next_worker_goes_on_with_the_sheet_of_one_that_has_ended() -> None:
    board = Board(2)
    for worker in ("a", "b"):
        board.deal(worker)
        in_a_worker(board, lambda: counted(board, 1.0))
    board.collect("a")
    assert len(board.workers()) == 1
    board.deal("c")
    in_a_worker(board, lambda: counted(board, 10.0))
    assert totals(board) == [11.0, 1.0]


def test_one_more_worker_than_there_are_sheets_counts_for_nobody(caplog: pytest.LogCaptureFixture) -> None:
    board = Board(1)
    board.deal("a")
    counted(board, 1.0)
    board.deal("b")
    counted(board, 100.0)
    board.collect("b")  # which was dealt none
    assert totals(board) == [1.0]
    assert board.workers() == [os.getpid()]
    assert "too many workers" in caplog.text


def test_sheets_that_nobody_has_had_are_left_out() -> None:
    board = Board(5)
    assert (list(board.sheets()), board.workers()) == ([], [])


def test_all_processes_see_that_the_server_stops() -> None:
    board = Board(1)
    assert not board.stops
    in_a_worker(board, board.stop)
    assert board.stops


def test_boards_of_several_servers_have_names_of_their_own() -> None:
    assert Board(1).name != Board(1).name
