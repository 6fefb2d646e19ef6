import os

import pytest

from tensorflow_similarity._atomic_file import replacing


def write(path, text, fail=False, **kwargs):
    with replacing(path, **kwargs) as temporary:
        with open(temporary, "x") as file:
            file.write(text)
        if fail:
            raise RuntimeError("half way")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a"
    write(path, "old")
    with pytest.raises(RuntimeError, match="half way"):
        write(path, "half", fail=True)
    assert path.read_text() == "old"
    write(path, "new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a"]


def test_the_old_file_is_there_until_the_end(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with replacing(path, extension=".keras") as temporary:
        assert os.path.dirname(temporary) == str(tmp_path)
        assert temporary.endswith(".keras")
        with open(temporary, "x") as file:
            file.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_permissions_and_links_are_kept(tmp_path):
    path, link = tmp_path / "a", tmp_path / "link"
    path.touch(0o600)
    link.symlink_to(path)
    write(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_to_write_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        pass
    assert not os.listdir(tmp_path)
