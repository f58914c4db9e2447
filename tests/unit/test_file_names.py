"""What files that are sent are called, and what kept files are called in a run."""

import pytest
from scraper import filmstrip, playwright_trace, step_trace
from scraper.blobs import MAX_NAME, ONE_OF_A_RUN, LocalBlobs, safe_name
from scraper.file_names import is_attachment, sent_name

SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="tides 3.xlsx"', "tides 3.xlsx"),
        ("attachment; filename=tides.xlsx", "tides.xlsx"),
        ("attachment; filename*=UTF-8''%E6%BD%AE.xlsx", "潮.xlsx"),
        ("attachment; filename=\"plain.xlsx\"; filename*=utf-8''%C3%A9t%C3%A9.xlsx", "été.xlsx"),
        ("attachment; filename*=ISO-8859-1'fr'%E9t%E9.xlsx", "été.xlsx"),
        ("attachment; filename*=nonsense'x'%E9.xlsx; filename=plain.xlsx", "plain.xlsx"),
        ('attachment; filename="%E6%BD%AE.xlsx"', "潮.xlsx"),
        ('attachment; filename="100%.xlsx"', "100%.xlsx"),
        ('attachment; filename="' + "潮".encode().decode("latin-1") + '.xlsx"', "潮.xlsx"),
        ('attachment; filename="=?UTF-8?B?5r2uLnhsc3g=?="', "潮.xlsx"),
        ('attachment; filename="a \\"b\\".xlsx"', 'a "b".xlsx'),
        ('attachment; filename="../../etc/cron.xlsx"', "cron.xlsx"),
        ('attachment; filename="C:\\\\reefs\\\\map.xlsx"', "map.xlsx"),
        ("ATTACHMENT; FILENAME=Tides.XLSX", "Tides.XLSX"),
        ('attachment; filename="sheet"', "sheet.xlsx"),
        ('attachment; filename=""', "report.xlsx"),
        ("attachment", "report.xlsx"),
        ("", "report.xlsx"),
    ],
)
def test_a_file_is_called_what_its_answer_says(disposition, name):
    assert sent_name("https://a.example/x/report?id=3", disposition, SHEET) == name


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("https://a.example/f/inline.pdf", "application/pdf", "inline.pdf"),
        ("https://a.example/f/inline", "application/pdf", "inline.pdf"),
        ("https://a.example/f/%E6%BD%AE", "image/jpeg", "潮.jpg"),
        ("https://a.example/", "text/plain", "download.txt"),
        ("https://a.example/", "application/octet-stream", "download"),
        ("https://a.example/..", "application/pdf", "download.pdf"),
    ],
)
def test_an_answer_without_a_name_has_its_address_and_type(url, kind, name):
    assert sent_name(url, "", kind) == name


def test_an_attachment_is_told_from_what_is_shown():
    assert is_attachment('Attachment ; filename="a"')
    assert not is_attachment('inline; filename="attachment"')
    assert not is_attachment("")


async def test_no_kept_file_replaces_another_one(tmp_path):
    blobs = LocalBlobs(tmp_path)
    saved = [
        ("潮.xlsx", b"tide"), ("礁.xlsx", b"reef"), ("map a.png", b"1"), ("map/a.png", b"2"), ("map a.png", b"3"),
        (".hidden", b"4"), ("hidden", b"5"), ("", b"6"), ("..", b"7"),
        *((f"{'long ' * 60}{n}.csv", str(n).encode()) for n in range(3)),
    ]  # fmt: skip
    names = [await blobs.save(7, name, data) for name, data in saved]
    assert len(set(names)) == len(saved)
    assert [blobs.find(name)[0].read_bytes() for name in names] == [data for _, data in saved]
    assert names[0] == "7/_.xlsx"
    assert names[1].startswith("7/_-")
    assert all(name.endswith(".csv") and len(name) <= MAX_NAME + 2 for name in names[-3:])
    assert not [path for path in (tmp_path / "7").iterdir() if path.suffix == ".part"]


async def test_the_same_file_is_kept_once_also_by_another_attempt(tmp_path):
    first = [await LocalBlobs(tmp_path).save(7, "f.csv", data) for data in (b"a", b"b")]
    again = [await LocalBlobs(tmp_path).save(7, "f.csv", data) for data in (b"a", b"b")]
    assert first == again
    changed = await LocalBlobs(tmp_path).save(7, "f.csv", b"c")
    assert changed not in first
    assert len(list((tmp_path / "7").iterdir())) == 3


async def test_what_a_run_has_one_of_is_the_newest_and_no_other_file_takes_its_name(tmp_path):
    assert {step_trace.FILE_NAME, filmstrip.FILE_NAME, playwright_trace.FILE_NAME, "body"} == ONE_OF_A_RUN
    blobs = LocalBlobs(tmp_path)
    downloaded = await blobs.save(7, "trace.json", b"a file of that name")
    for data in (b"{}", b"[]"):
        assert await blobs.save(7, "trace.json", data, replace=True) == "7/trace.json"
    assert blobs.find("7/trace.json")[0].read_bytes() == b"[]"
    assert blobs.find(downloaded)[0].read_bytes() == b"a file of that name"


def test_a_long_name_keeps_its_ending():
    assert safe_name("x" * 300 + ".pdf", "-1a") == "x" * (MAX_NAME - 7) + "-1a.pdf"
    assert safe_name("a." + "b" * 300) == ("a." + "b" * 300)[:MAX_NAME]
