"""The contact sheet: every picture at its place and aspect, every word readable, the burned-in line in sight."""

from __future__ import annotations

import numpy as np
import pytest

from neural_style_mmd.sheet import contact_sheet

RED, GREEN, BLUE, CYAN = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 255, 255)
LINE = "surrogate network, not a reproduction"


def flat(colour: tuple[int, int, int], height: int = 30, width: int = 40) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def box(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """top, left, height, width of the rectangle of exactly this colour; it must be full."""
    rows, columns = np.nonzero((sheet == colour).all(axis=2))
    top, left = rows.min(), columns.min()
    height, width = rows.max() - top + 1, columns.max() - left + 1
    assert rows.size == height * width
    return top, left, height, width


def ink(sheet: np.ndarray) -> np.ndarray:
    """Where black letters are, bool (H, W)."""
    return (sheet < 100).all(axis=2)


def test_pictures_stand_in_rows_and_columns():
    rows = [[("a", flat(RED)), ("b", flat(GREEN))], [("c", flat(BLUE)), ("d", flat(CYAN))]]
    sheet = contact_sheet(rows, tile=200)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    red, green, blue, cyan = (box(sheet, colour) for colour in (RED, GREEN, BLUE, CYAN))
    assert red[0] == green[0] < blue[0] == cyan[0]
    assert red[1] == blue[1] < green[1] == cyan[1]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((30, 40), (150, 200)), ((40, 20), (200, 100)), ((600, 800), (150, 200)), ((50, 50), (200, 200))],
)
def test_the_long_edge_fills_the_tile_and_the_aspect_is_kept(shape, expected):
    assert box(contact_sheet([[("", flat(RED, *shape))]], tile=200), RED)[2:] == expected


def test_pictures_of_other_aspects_do_not_touch_and_their_labels_are_level():
    sheet = contact_sheet([[("tall", flat(RED, 40, 20)), ("wide", flat(BLUE, 20, 40))]], tile=200)
    red, blue = box(sheet, RED), box(sheet, BLUE)
    assert red[1] + red[3] < blue[1]
    assert red[0] + red[2] == blue[0] + blue[2]


def test_a_label_stands_below_its_picture_within_its_width():
    sheet = contact_sheet([[("linear", flat(RED)), ("", flat(BLUE))]], tile=200)
    top, left, height, width = box(sheet, RED)
    rows, columns = np.nonzero(ink(sheet))
    assert rows.size > 50  # the six letters
    assert rows.min() >= top + height
    assert left <= columns.min() and columns.max() < left + width
    assert abs((columns.min() + columns.max()) / 2 - (left + width / 2)) < 5  # centred


@pytest.mark.parametrize("label", ["many words that do not fit in one line " * 3, "one_word_without_any_space_" * 5])
def test_a_long_label_is_wrapped_not_cut(label):
    short, long = (contact_sheet([[(words, flat(RED)), ("", flat(BLUE))]], tile=200) for words in ("many", label))
    assert long.shape[0] > short.shape[0] and long.shape[1] == short.shape[1]
    left, width = box(long, RED)[1], box(long, RED)[3]
    columns = np.nonzero(ink(long))[1]
    assert left - 2 <= columns.min() and columns.max() <= left + width + 1


@pytest.mark.parametrize("words", ["alpha beta", "gamma' = 0.1"])
def test_greek_and_accents_are_spelt_in_letters_that_the_font_has(words):
    greek = {"alpha beta": "α β", "gamma' = 0.1": "γ′ = 0.1"}[words]
    first, second = (contact_sheet([[(text, flat(RED))]]) for text in (words, greek))
    np.testing.assert_array_equal(first, second)
    first, second = (contact_sheet([[(text, flat(RED))]]) for text in ("Cezanne", "Cézanne"))
    np.testing.assert_array_equal(first, second)
    first, second = (contact_sheet([[(text, flat(RED))]]) for text in ("??", "漢字"))
    np.testing.assert_array_equal(first, second)


def test_the_burned_in_line_is_a_band_across_the_whole_foot():
    plain, burned = (contact_sheet([[("a", flat(CYAN))] * 3], burned_in=words, tile=200) for words in (None, LINE))
    band = burned[plain.shape[0] :]
    assert band.shape[0] >= 24 and band.shape[1] == plain.shape[1]
    np.testing.assert_array_equal(burned[: plain.shape[0]], plain)  # nothing is hidden
    assert (band[:, [0, -1]] == band[0, 0]).all()  # from edge to edge
    assert (band[:, :, 0].astype(int) - band[:, :, 1] >= 0).all() and band[0, 0, 0] > 100 and band[0, 0, 1] < 60  # red
    white = (band > 200).all(axis=2)
    assert white.sum() > 300  # letters
    assert np.nonzero(white)[1].min() > 0 and np.nonzero(white)[1].max() < band.shape[1] - 1


def test_the_burned_in_line_fits_a_sheet_of_one_small_picture_in_one_line():
    small, large = (contact_sheet([[("", flat(CYAN))]], burned_in=LINE, tile=tile) for tile in (60, 224))
    bands = [int((sheet[:, 0] != 255).any(axis=1).sum()) for sheet in (small, large)]
    assert bands[0] == bands[1] < 50


def test_headings_stand_above_the_columns_and_left_of_the_rows():
    pictures = [[("", flat(RED)), ("", flat(GREEN))], [("", flat(BLUE)), None]]
    plain = contact_sheet(pictures, tile=200)
    sheet = contact_sheet(pictures, column_headings=["III", "III"], row_headings=["III", "III"], tile=200)
    assert not ink(plain).any()
    red, green, blue = (box(sheet, colour) for colour in (RED, GREEN, BLUE))
    letters = ink(sheet)
    for top, left, _, width in (red, green):
        assert letters[:top, left : left + width].any()
    for top, left, height, _ in (red, blue):
        rows = np.nonzero(letters[top : top + height, :left])[0]
        assert abs(rows.mean() - height / 2) < 10  # at the middle of the row
    assert not letters[: red[0], : red[1]].any()  # nothing in the corner


def test_the_title_is_on_top_and_in_larger_letters():
    sheet = contact_sheet([[("Title", flat(RED))]], title="Title")
    top = box(sheet, RED)[0]
    above, below = np.nonzero(ink(sheet[:top]))[0], np.nonzero(ink(sheet[top:]))[0]
    assert np.ptp(above) > 1.2 * np.ptp(below)


def test_rows_may_be_ragged_and_places_empty():
    sheet = contact_sheet([[None, ("", flat(RED))], [("", flat(BLUE))]], tile=200)
    assert box(sheet, BLUE)[1] < box(sheet, RED)[1]


def test_the_paper_is_white():
    sheet = contact_sheet([[("", flat(RED)), None]], tile=200)
    assert ((sheet == 255).all(axis=2) | (sheet == RED).all(axis=2)).all()


def test_the_same_input_gives_the_same_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    sheets = [contact_sheet([[("label", picture)]], title="T", burned_in=LINE) for _ in range(2)]
    np.testing.assert_array_equal(*sheets)


@pytest.mark.parametrize("rows", [[], [[]], [[None]]])
def test_a_sheet_needs_a_picture(rows):
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet(rows)


@pytest.mark.parametrize("headings", [{"column_headings": ["a"]}, {"row_headings": ["a", "b"]}])
def test_headings_match_the_grid(headings):
    with pytest.raises(ValueError, match="headings for"):
        contact_sheet([[("", flat(RED)), ("", flat(BLUE))]], **headings)
