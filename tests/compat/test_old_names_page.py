"""The page of old names says of every listed name what became of it."""

import re

import old_names_page
import pytest

ROW = re.compile(r"^\| `(\w+)`[^|]*\| ([^|]+) \| (`[\w.]+`)? ?\| ", re.MULTILINE)


@pytest.fixture(scope="module")
def sections():
    """Title of a section -> name -> status, as they stand on the page."""
    text = old_names_page.PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return {
        part.partition("\n")[0]: {name: status for name, status, _ in ROW.findall(part)}
        for part in parts
    }


def test_the_page_is_that_of_the_lists():
    written = old_names_page.PAGE.read_text(encoding="utf-8")
    assert written == old_names_page.page(), "run: python tests/old_names_page.py"


@pytest.mark.parametrize("version", old_names_page.LISTS)
def test_every_listed_name_has_a_row(sections, version):
    missing = []
    for module, name in old_names_page.listed(old_names_page.LISTS[version]):
        title = "tensorflow_addons.losses" if version == "Addons" else module
        while title not in sections or name not in sections[title]:
            if "." not in title:
                missing.append(f"{module}.{name}")
                break
            title = title.rpartition(".")[0]
    assert missing == []


def test_every_row_has_a_fate_and_no_name_is_made_up(sections):
    known = {
        name for file in old_names_page.LISTS.values() for _, name in old_names_page.listed(file)
    }
    for title, rows in sections.items():
        assert rows, title
        assert set(rows) <= known
        assert set(rows.values()) <= set(old_names_page.STATUS.values())
