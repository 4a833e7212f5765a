"""The checker can fail: for each rule a history that keeps it and one that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.checker import check, main
from tests.faults.log import Fault, Log, Operation, Owned, TakenOver, read_log
from tests.faults.story import C, D, Story, v
from tests.faults.verdict import (
    DOUBLED,
    LIST,
    LOST,
    OLD_OWNER,
    ORDER,
    PHANTOM,
    RELIST,
    STALE,
    TORN,
    WATCH,
    WRONG,
)


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_good_story(story: Story) -> None:
    story.opened(v(5))
    story.absent()
    first = story.wrote(10)
    story.got(first, "v1")
    second = story.wrote(11, "update", base=first)
    story.listed(v(11, 127), ("k", second, "v2"))
    story.did("update", value="refused", base=first, outcome="fail", status=409, present=True)
    story.did("create", value="refused too", outcome="fail", status=409, present=True)
    story.watched("ADDED", first, "v1")
    story.watched("BOOKMARK", v(10, 127))
    story.opened(v(10, 127))
    story.watched("MODIFIED", second, "v2")
    gone = story.wrote(12, "delete", base=second)
    story.watched("DELETED", gone, "v2")
    story.absent()
    story.listed(v(12, 127))
    story.did("update", value="late", base=second, outcome="fail", status=404, present=False)
    story.did("update", value="never", base=second, outcome="unknown")
    story.own(13, "B")
    again = story.wrote(14, writer="B")
    story.watched("ADDED", again, "v3")
    story.watched("BOOKMARK", v(20))
    story.entries += [
        Fault("kill owner", "shard-1", 1, 2),
        TakenOver("one", "kill owner", 2.5),
        TakenOver("two", "kill owner", 3),
    ]
    verdict = check(story.entries)
    assert not verdict.violations
    summary = verdict.summary()
    assert "0 commits by old owners, 0 stale reads, 0 lost acknowledged writes" in summary
    assert "kill owner: 2 ranges were served again after p50 3.00 s, p99 3.00 s, max 3.00 s" in summary
    assert "1 kill owner" in summary
    assert "4 watch events on 1 streams, 1 times resumed" in summary


def test_a_log_is_judged_as_it_was_written(story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = story.wrote(10)
    story.listed(v(10, 127), ("k", first, "v1"))
    story.opened(first)
    story.watched("BOOKMARK", first)
    with Log(tmp_path / "log") as log:
        log.add(*story.entries)
    assert list(read_log(tmp_path / "log")) == story.entries
    assert main([str(tmp_path / "log")]) == 0
    with (tmp_path / "log").open("ab") as file:
        file.write(b'{"cut": off')
    assert list(read_log(tmp_path / "log")) == story.entries
    with Log(tmp_path / "log") as log:
        log.path.write_bytes(log.path.read_bytes().rpartition(b"\n")[0] + b"\n")
        log.add(Operation(1, "create", C, 90.0, 91.0, "ok", "k2", "lost", 0, v(99)))
    assert main([str(tmp_path / "log")]) == 1
    assert "1 lost acknowledged writes" in capsys.readouterr().out


def test_an_acknowledged_write_is_lost(story: Story) -> None:
    story.did("create", value="v1", version=v(10))
    assert story.rules() == {LOST}


def test_an_acknowledged_deletion_is_lost(story: Story) -> None:
    first = story.wrote(10)
    story.did("delete", base=first)
    assert story.rules() == {LOST}


def test_an_answer_names_another_version(story: Story) -> None:
    story.stored(10, "v1")
    story.did("create", value="v1", version=v(9))
    assert story.rules() == {LOST}


def test_an_update_overwrites_what_it_did_not_know(story: Story) -> None:
    first = story.wrote(10)
    story.wrote(11, "update", base=first)
    story.wrote(12, "update", base=first)
    assert story.rules() == {LOST}


def test_a_creation_overwrites(story: Story) -> None:
    story.wrote(10)
    story.wrote(11)
    assert story.rules() == {LOST}


def test_an_update_revives_the_dead(story: Story) -> None:
    first = story.wrote(10)
    story.wrote(11, "delete", base=first)
    story.wrote(12, "update")
    assert story.rules() == {PHANTOM}


def test_a_write_takes_effect_twice(story: Story) -> None:
    first = story.wrote(10)
    story.stored(11, "v2")
    story.stored(12, "v2")
    story.did("update", value="v2", version=v(11), base=first)
    assert DOUBLED in story.rules()


def test_two_are_told_that_they_deleted_it(story: Story) -> None:
    first = story.wrote(10)
    story.wrote(11, "delete", base=first)
    story.did("delete", base=first, process=2)
    assert DOUBLED in story.rules()


def test_of_two_deletions_one_may_not_know(story: Story) -> None:
    first = story.wrote(10)
    story.did("delete", base=first, process=2, outcome="unknown")
    story.wrote(11, "delete", base=first)
    assert story.rules() == set()


def test_a_refused_write_takes_effect(story: Story) -> None:
    story.stored(10, "v1")
    story.did("create", value="v1", outcome="fail", status=503)
    assert story.rules() == {PHANTOM}


def test_a_refused_deletion_takes_effect(story: Story) -> None:
    first = story.wrote(10)
    story.stored(11, None)
    story.did("delete", base=first, outcome="fail", status=503)
    assert story.rules() == {PHANTOM}


def test_something_is_written_that_nobody_asked_for(story: Story) -> None:
    story.stored(10, "what?")
    assert story.rules() == {PHANTOM}


def test_a_write_is_torn(story: Story) -> None:
    story.stored(10, "v1", torn=True)
    story.did("create", value="v1", version=v(10))
    assert story.rules() == {TORN}


@pytest.mark.parametrize("came_true", [True, False])
def test_an_unknown_outcome_is_either(story: Story, came_true: bool) -> None:
    story.did("create", value="v1", outcome="unknown", at=(1, 2))
    if came_true:
        version = story.stored(10, "v1")
        # It may take effect long after its client gave up.
        story.absent(at=(3, 4))
        story.got(version, "v1", at=(5, 6))
    else:
        story.absent(at=(5, 6))
    assert story.rules() == set()
    assert check(story.entries).counts["came true"] == came_true


def test_an_unknown_outcome_goes_back_and_forth(story: Story) -> None:
    story.did("create", value="v1", outcome="unknown", at=(1, 2))
    version = story.stored(10, "v1")
    story.got(version, "v1", at=(3, 4))
    story.absent(at=(5, 6))
    assert story.rules() == {STALE}


def test_the_old_owner_writes(story: Story) -> None:
    story.own(11, "B")
    story.wrote(12, writer="A")
    assert story.rules() == {OLD_OWNER}


def test_the_new_owner_writes_before_it_is_one(story: Story) -> None:
    story.wrote(10, writer="B")
    story.own(11, "B")
    assert story.rules() == {OLD_OWNER}


def test_somebody_writes_without_a_journal(story: Story) -> None:
    story.wrote(10, writer="")
    assert story.rules() == {OLD_OWNER}


def test_a_write_to_no_range(story: Story) -> None:
    story.stored(10, "v1", cluster="zzz0000000000001")
    story.did("create", value="v1", version=v(10), cluster="zzz0000000000001")
    assert story.rules() == {OLD_OWNER}


def test_generations_go_back(story: Story) -> None:
    story.own(11, "B", 3)
    story.own(12, "A", 2)
    assert story.rules() == {ORDER}


def test_versions_that_are_not_of_their_revision(story: Story) -> None:
    story.stored(10, "v1", version=v(9))
    story.did("create", value="v1", version=v(9))
    assert story.rules() == {ORDER}


def test_a_version_is_used_twice(story: Story) -> None:
    story.wrote(10)
    story.wrote(10, name="other")
    assert ORDER in story.rules()


def test_deletions_in_two_ranges_may_have_one_version(story: Story) -> None:
    story.entries.append(Owned(2, "two", "aab", "aac", "A", 2))
    for cluster, index in ((C, 0), (D, 1)):
        first = story.stored(10, f"first in {cluster}", index=index, cluster=cluster)
        story.did("create", value=f"first in {cluster}", version=first, cluster=cluster, at=(1, 2))
        story.stored(11, None, index=126, cluster=cluster)
        story.did("delete", base=first, cluster=cluster, at=(3, 4))
    assert story.rules() == set()
    first, second = (story.stored(12, f"{at}", name, index=at) for at, name in enumerate("ab"))
    story.did("create", "a", value="0", version=first, at=(5, 6))
    story.did("create", "b", value="1", version=second, at=(5, 6))
    for name, base in (("a", first), ("b", second)):
        story.stored(13, None, name, index=126)
        story.did("delete", name, base=base, at=(7, 8))
    assert story.rules() == {ORDER}


def test_a_later_write_has_the_lower_version(story: Story) -> None:
    """On two keys, so that only the real time tells."""
    story.wrote(11, name="a", at=(1, 2))
    story.wrote(10, name="b", at=(3, 4))
    assert story.rules() == {ORDER}


def test_writes_at_one_time_have_any_order(story: Story) -> None:
    story.wrote(11, name="a", at=(1, 4))
    story.wrote(10, name="b", at=(2, 3))
    assert story.rules() == set()


def test_a_write_comes_below_what_was_read(story: Story) -> None:
    first = story.wrote(10, at=(1, 2))
    story.did("update", value="later", outcome="unknown", at=(2.5, 9))
    newest = story.stored(12, "later")
    story.got(newest, "later", at=(3, 4))
    story.wrote(11, "update", base=first, at=(5, 6))
    assert story.rules() == {ORDER}


def test_a_read_is_stale(story: Story) -> None:
    first = story.wrote(10, at=(1, 2))
    story.wrote(11, "update", base=first, at=(3, 4))
    story.got(first, "v1", at=(5, 6))
    assert story.rules() == {STALE}


def test_a_read_beside_a_write_may_be_either(story: Story) -> None:
    first = story.wrote(10, at=(1, 2))
    second = story.wrote(11, "update", base=first, at=(3, 6))
    story.got(second, "v2", at=(3.5, 5))
    story.got(first, "v1", at=(3.6, 5.1))
    assert story.rules() == set()


def test_reads_go_back(story: Story) -> None:
    """Beside a write that is under way all the time: what one has read, nobody may unread."""
    first = story.wrote(10, at=(1, 2))
    second = story.wrote(11, "update", base=first, at=(3, 9))
    story.got(second, "v2", at=(4, 5))
    story.got(first, "v1", at=(6, 7))
    assert story.rules() == {STALE}


def test_a_read_goes_back_behind_a_watch(story: Story) -> None:
    story.opened(v(5))
    first = story.wrote(10, at=(1, 2))
    second = story.wrote(11, "update", base=first, at=(3, 90))
    story.watched("ADDED", first, "v1")
    story.watched("MODIFIED", second, "v2")
    story.got(first, "v1", at=(60, 61))
    assert story.rules() == {STALE}


def test_an_object_is_missing(story: Story) -> None:
    story.wrote(10)
    story.absent()
    assert story.rules() == {STALE}


def test_an_object_is_still_there(story: Story) -> None:
    first = story.wrote(10)
    story.wrote(11, "delete", base=first)
    story.got(first, "v1")
    assert story.rules() == {STALE}


def test_a_refusal_is_stale(story: Story) -> None:
    first = story.wrote(10)
    story.did("update", value="x", base=first, outcome="fail", status=409, present=True)
    assert story.rules() == {STALE}


def test_a_read_sees_the_future(story: Story) -> None:
    story.got(v(10), "v1", at=(1, 2))
    story.wrote(10, at=(3, 4))
    # Told both ways: the read is wrong, and so is the write, which comes after it.
    assert story.rules() == {WRONG, ORDER}


def test_a_read_sees_what_never_was(story: Story) -> None:
    story.wrote(10)
    story.got(v(10), "another")
    assert story.rules() == {WRONG}


def test_a_list_is_stale(story: Story) -> None:
    first = story.wrote(10)
    story.wrote(11, "update", base=first)
    story.listed(v(10, 127), ("k", first, "v1"))
    assert story.rules() == {STALE}


def test_a_list_is_no_snapshot(story: Story) -> None:
    first = story.wrote(10, name="a", at=(1, 9))
    story.wrote(11, name="b", at=(1, 9))
    story.listed(v(11, 127), ("a", first, "v1"), at=(2, 3))
    assert story.rules() == {LIST}


def test_a_list_shows_more_than_its_version(story: Story) -> None:
    first = story.wrote(10, name="a", at=(1, 9))
    second = story.wrote(11, name="b", at=(1, 9))
    story.listed(v(10, 127), ("a", first, "v1"), ("b", second, "v2"), at=(2, 3))
    assert story.rules() == {LIST}


def test_a_list_shows_an_object_twice(story: Story) -> None:
    first = story.wrote(10)
    story.listed(v(10, 127), ("k", first, "v1"), ("k", first, "v1"))
    assert story.rules() == {LIST}


def test_a_read_goes_back_behind_a_list(story: Story) -> None:
    first = story.wrote(10, at=(1, 2))
    second = story.wrote(11, "update", base=first, at=(3, 9))
    story.listed(v(11, 127), ("k", second, "v2"), at=(4, 5))
    story.got(first, "v1", at=(6, 7))
    assert story.rules() == {STALE}


@pytest.fixture
def watched(story: Story) -> tuple[Story, list[int]]:
    """Three writes, to be told."""
    story.opened(v(5))
    first = story.wrote(10)
    second = story.wrote(11, "update", base=first)
    return story, [first, second, story.wrote(12, "delete", base=second)]


def test_a_watch_has_a_gap(watched: tuple[Story, list[int]]) -> None:
    story, (first, _, third) = watched
    story.watched("ADDED", first, "v1")
    story.watched("DELETED", third, "v2")
    assert story.rules() == {WATCH}


def test_a_watch_ends_early(watched: tuple[Story, list[int]]) -> None:
    story, (first, second, _) = watched
    story.watched("ADDED", first, "v1")
    story.watched("MODIFIED", second, "v2")
    assert story.rules() == {WATCH}


def test_a_watch_repeats_after_it_was_resumed(watched: tuple[Story, list[int]]) -> None:
    story, (first, second, third) = watched
    story.watched("ADDED", first, "v1")
    story.watched("MODIFIED", second, "v2")
    story.opened(second)
    story.watched("MODIFIED", second, "v2")
    story.watched("DELETED", third, "v2")
    assert story.rules() == {WATCH}


def test_a_watch_is_out_of_order(watched: tuple[Story, list[int]]) -> None:
    story, (first, second, third) = watched
    story.watched("MODIFIED", second, "v2")
    story.watched("ADDED", first, "v1")
    story.watched("DELETED", third, "v2")
    assert story.rules() == {WATCH}


def test_a_watch_tells_of_another_kind(watched: tuple[Story, list[int]]) -> None:
    story, (first, second, third) = watched
    story.watched("ADDED", first, "v1")
    story.watched("ADDED", second, "v2")
    story.watched("DELETED", third, "v2")
    assert story.rules() == {WATCH}


def test_a_watch_tells_what_never_was(watched: tuple[Story, list[int]]) -> None:
    story, (first, second, third) = watched
    story.watched("ADDED", first, "v1")
    story.watched("MODIFIED", second, "v2")
    story.watched("DELETED", third, "v2")
    story.watched("ADDED", v(13), "v3")
    assert story.rules() == {WATCH}


def test_a_bookmark_promises_what_was_not_told(watched: tuple[Story, list[int]]) -> None:
    story, (first, _, third) = watched
    story.watched("ADDED", first, "v1")
    story.watched("BOOKMARK", v(11, 127))
    story.watched("DELETED", third, "v2")
    assert story.rules() == {WATCH}


def test_a_bookmark_goes_back(watched: tuple[Story, list[int]]) -> None:
    story, (first, second, third) = watched
    story.watched("ADDED", first, "v1")
    story.watched("MODIFIED", second, "v2")
    story.watched("BOOKMARK", v(10, 127))
    story.watched("DELETED", third, "v2")
    assert story.rules() == {WATCH}


def test_a_watch_has_to_list_again(watched: tuple[Story, list[int]]) -> None:
    story, (first, _, third) = watched
    story.watched("ADDED", first, "v1")
    story.opened(v(11, 127), relisted=True)
    story.watched("DELETED", third, "v2")
    assert story.rules() == {RELIST}


def test_a_watch_tells_of_a_deletion_by_its_own_version(watched: tuple[Story, list[int]]) -> None:
    story, (first, second, _) = watched
    story.watched("ADDED", first, "v1")
    story.watched("MODIFIED", second, "v2")
    story.watched("DELETED", second, "v2")
    assert story.rules() == {WATCH}
