"""Which objects are about which export."""

from __future__ import annotations

from tenantry.storage.keys import Key
from tenantry.tenancy.exports.objects_by_export import ObjectsByExport

ONE, TWO = ("provider", "one"), ("provider", "two")
A, B = (Key("a", "views.tenantry.dev/virtualworkspaces", "", name) for name in ("first", "second"))


def test_an_object_is_about_one_export() -> None:
    known = ObjectsByExport()
    for key in (A, B):
        known.remember(key, ONE)
    assert (set(known.of(ONE)), ONE in known, TWO in known) == ({A, B}, True, False)
    known.remember(A, TWO)
    assert (list(known.of(ONE)), list(known.of(TWO)), set(known.all())) == ([B], [A], {A, B})


def test_nothing_is_left_of_what_is_forgotten() -> None:
    known = ObjectsByExport()
    known.remember(A, ONE)
    known.remember(B, TWO)
    known.remember(B, None)
    known.forget(A)
    known.forget(A)
    assert (ONE in known, TWO in known, list(known.of(ONE)), list(known.all())) == (False, False, [], [])
