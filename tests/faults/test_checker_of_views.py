"""What the checker says of the reads and watches of a view."""

from __future__ import annotations

import pytest

from tests.faults.checker import check
from tests.faults.log import HIDDEN
from tests.faults.story import D, Story, v
from tests.faults.verdict import LIST, STALE, STRANGER, WATCH

SECRET = f"f-{HIDDEN}"


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_good_story(story: Story) -> None:
    """What is hidden is in etcd and in lists of the owner, and not in the view."""
    story.opened(v(5), view=True)
    first = story.wrote(10)
    hidden = story.wrote(11, name=SECRET)
    story.listed(v(11, 127), ("k", first, "v1"), view=True)
    story.listed(v(11, 127), ("k", first, "v1"), (SECRET, hidden, "v2"))
    story.absent(SECRET, view=True)
    story.got(first, "v1", view=True)
    story.watched("ADDED", first, "v1")
    story.watched("BOOKMARK", v(11, 127))
    story.opened(v(11, 127), view=True)
    second = story.wrote(12, "update", base=first)
    story.watched("MODIFIED", second, "v3")
    verdict = check(story.entries)
    assert not verdict.violations
    assert verdict.counts["reads of views"] == 3 and verdict.counts["events of views"] == 2


def test_a_view_must_show_what_was_answered(story: Story) -> None:
    first = story.wrote(10)
    story.wrote(11, "update", base=first)
    story.got(first, "v1", view=True)
    assert story.rules() == {STALE}


def test_a_view_must_show_what_an_owner_showed(story: Story) -> None:
    """Its write was not answered yet."""
    second = story.stored(11, "v1")
    story.did("create", value="v1", at=(1, 90), version=second)
    story.got(second, "v1", at=(10, 11))
    story.absent(view=True, at=(12, 13))
    assert story.rules() == {STALE}


def test_a_view_must_not_go_back(story: Story) -> None:
    second = story.stored(11, "v1")
    story.did("create", value="v1", at=(1, 90), version=second)
    story.got(second, "v1", at=(10, 11), view=True)
    story.absent(at=(12, 13), view=True)
    assert story.rules() == {STALE}


def test_an_owner_may_be_behind_a_view(story: Story) -> None:
    """The answer of etcd has not reached it yet."""
    second = story.stored(11, "v1")
    story.did("create", value="v1", at=(1, 90), version=second)
    story.got(second, "v1", at=(10, 11), view=True)
    story.absent(at=(12, 13))
    assert story.rules() == set()


def test_an_old_list(story: Story) -> None:
    first = story.wrote(10)
    story.wrote(11, "update", base=first)
    story.listed(v(10, 127), ("k", first, "v1"), view=True)
    assert story.rules() == {STALE}


def test_a_list_that_lost_something(story: Story) -> None:
    story.wrote(10)
    story.listed(v(11, 127), view=True)
    assert story.rules() == {LIST}


def test_what_is_hidden_in_a_list_and_in_a_read(story: Story) -> None:
    hidden = story.wrote(10, name=SECRET)
    story.listed(v(10, 127), (SECRET, hidden, "v1"), view=True)
    assert story.rules() == {STRANGER}
    story.entries.pop()
    story.got(hidden, "v1", SECRET, view=True)
    assert story.rules() == {STRANGER}


@pytest.mark.parametrize("cluster", ["", D])
def test_what_is_hidden_in_a_watch(story: Story, cluster: str) -> None:
    story.opened(v(5), view=True)
    hidden = story.wrote(10, name=SECRET)
    if cluster:
        story.watched("ADDED", hidden, "v1", "k", cluster)
    else:
        story.watched("ADDED", hidden, "v1", SECRET)
    assert story.rules() == {STRANGER}


def test_a_watch_that_lost_an_event(story: Story) -> None:
    story.opened(v(5), view=True)
    first = story.wrote(10)
    second = story.wrote(11, "update", base=first)
    story.watched("MODIFIED", second, "v2")
    assert story.rules() == {WATCH}
