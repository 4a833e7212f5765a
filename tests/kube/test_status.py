"""Parts of Status errors and of metadata that every write makes."""

from __future__ import annotations

import os
import uuid
from collections import Counter

from tenantry.kube.status import new_uid


def test_uids_are_random_uuids_of_version_4() -> None:
    uids = [new_uid() for _ in range(4000)]
    assert len(set(uids)) == len(uids)
    for uid in uids:
        parsed = uuid.UUID(uid)
        assert (str(parsed), parsed.version, parsed.variant) == (uid, 4, uuid.RFC_4122)
    # Every digit that is not fixed takes every value.
    free = [index for index, character in enumerate(uids[0]) if character != "-" and index not in (14, 19)]
    assert all(len(Counter(uid[index] for uid in uids)) == 16 for index in free)
    assert {uid[19] for uid in uids} == set("89ab")


def test_a_forked_process_makes_other_uids() -> None:
    new_uid()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, "".join(new_uid() for _ in range(100)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as theirs:
        text = theirs.read()
    assert len(text) == 3600
    assert not any(new_uid() in text for _ in range(100))
