"""The runner itself: what it would miss, no page's test would see."""

import pytest

from code_blocks import blocks, run


def page(*parts):
    return "\n".join(parts) + "\n"


def test_blocks_run_in_order_and_share_variables():
    text = page("```python", "a = 1", "```", "then", "```python", "assert a == 1", "```")
    assert run(text, "page") == 2


def test_a_failing_block_fails():
    with pytest.raises(ZeroDivisionError):
        run(page("```python", "1 / 0", "```"), "page")


@pytest.mark.parametrize("comment", ["[1.0, 2.0]  # right", "[1.0, 2.0]\n# right"])
def test_values_in_comments_are_compared(comment):
    text = page("```python", comment, "```")
    assert run(text.replace("right", "[1., 2.]"), "page") == 1
    assert run(text.replace("right", "array([1., 2.])"), "page") == 1
    assert run(text.replace("right", "[(1 + 0) / 1, 2]"), "page") == 1
    assert run(text.replace("right", "the two numbers"), "page") == 1
    with pytest.raises(AssertionError, match="page, line 2"):
        run(text.replace("right", "[1., 2.1]"), "page")


def test_printed_text_is_compared():
    text = page("```python", "print(1.5)", "```", "", "```text", "{}", "```")
    assert run(text.format("1.5"), "page") == 1
    with pytest.raises(AssertionError, match="page, line 6"):
        run(text.format("1.6"), "page")


def test_numbers_may_vary_where_it_says_so_words_may_not():
    text = page("```python", "print('loss', 1.5)", "```", "<!-- varies -->", "```text", "{}", "```")
    assert run(text.format("loss -0.25"), "page") == 1
    with pytest.raises(AssertionError, match="page"):
        run(text.format("gain 1.5"), "page")


def test_text_after_prose_is_not_output():
    assert run(page("```python", "1", "```", "An aside:", "```text", "x", "```"), "page") == 1


def test_a_block_marked_so_is_not_run():
    assert run(page("<!-- not run: an example -->", "```python", "1 / 0", "```"), "page") == 0


def test_indented_blocks_are_found():
    text = page("- item", "", "    ```python", "    if True:", "        a = 1", "    ```")
    (block,) = blocks(text)
    assert block.code == "if True:\n    a = 1\n"
    assert run(text, "page") == 1
