"""The file that a run's small pictures make."""

import io
import itertools

from PIL import Image
from scraper.filmstrip import LAST_MS, LONGEST_MS, MAX_FRAMES, SHORTEST_MS, Film, Frame, make_frame, put_together


def picture(colour, size=(1280, 800)):
    made = io.BytesIO()
    Image.new("RGB", size, colour).save(made, "JPEG")
    return made.getvalue()


def test_the_file_plays_each_picture_for_as_long_as_it_was_true_within_limits():
    film = Film()
    sizes = {"red": (1280, 800), "green": (300, 900), "blue": (1280, 801)}
    for at_ms, (colour, size) in zip((0, 10, 100_000), sizes.items(), strict=True):
        film.add(make_frame(picture(colour, size), at_ms, colour))
    with Image.open(io.BytesIO(put_together(film))) as played:
        assert (played.format, played.n_frames, played.size) == ("WEBP", 3, (640, 900))
        seen = []
        for number in range(3):
            played.seek(number)
            rgb = played.convert("RGB").getpixel((5, 5))
            seen.append((max(range(3), key=rgb.__getitem__), played.info["duration"]))
    assert seen == [(0, SHORTEST_MS), (1, LONGEST_MS), (2, LAST_MS)]


def test_what_shows_the_same_is_kept_once_and_nothing_makes_no_file():
    film = Film()
    assert put_together(film) == b""
    for at_ms in range(5):
        film.add(make_frame(picture("red"), at_ms, "s"))
    assert [one.at_ms for one in film.frames] == [0]


def test_a_long_run_is_thinned_out_evenly_and_not_cut_off():
    film = Film()
    for number in range(10 * MAX_FRAMES):
        film.add(Frame(number, "s", 1, 1, b"%d" % number))
    times = [one.at_ms for one in film.frames]
    assert MAX_FRAMES // 2 <= len(times) <= MAX_FRAMES
    assert times[0] == 0
    assert times[-1] > 9 * MAX_FRAMES
    assert len({after - one for one, after in itertools.pairwise(times)}) == 1
