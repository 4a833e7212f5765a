"""The ranges of this shard, for parts that keep something for each of them."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.base.tasks import call, call_each
from tenantry.storage.cell import Cell
from tenantry.storage.range import Range

Acquired = Callable[[Range], Callable[[], None]]
"""Called with a range that the shard acquired; what it returns is called when the range is released."""


class LocalRanges:
    """Notifies its followers of every range that the cell acquires and releases. Who changes the cell calls `changed`.

    Not a `base.broadcast.Broadcast`, because it keeps what each follower returns until the range is released.
    """

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._followers: list[Acquired] = []
        self._followed: dict[str, tuple[Range, dict[int, Callable[[], None]]]] = {}
        """By range: what to call, for each follower, when the range is released."""

    def follow(self, acquired: Acquired) -> Callable[[], None]:
        """Calls `acquired` for every range that this shard has, and later for every range that it acquires. Returns a function
        that ends this and releases them all."""
        self._followers.append(acquired)
        for range_, releases in self._followed.values():
            releases[id(acquired)] = acquired(range_)

        def stop() -> None:
            if acquired in self._followers:
                self._followers.remove(acquired)
            for _, releases in self._followed.values():
                released = releases.pop(id(acquired), None)
                if released is not None:
                    released()

        return stop

    def changed(self) -> None:
        """The cell acquired or released ranges; to be called right after."""
        now = dict(self._cell.ranges)
        for name in [name for name, (range_, _) in self._followed.items() if now.get(name) is not range_]:
            call_each(list(self._followed.pop(name)[1].values()), f"a follower of the released range {name}")
        for name, range_ in now.items():
            _, releases = self._followed.setdefault(name, (range_, {}))
            # A follower that raised is called again at the next change of the map.
            for acquired in [each for each in self._followers if id(each) not in releases]:
                call(self._acquire, f"a follower of range {name}", acquired, range_)

    def _acquire(self, acquired: Acquired, range_: Range) -> None:
        self._followed[range_.name][1][id(acquired)] = acquired(range_)
