"""What runs for the time of a `with` block, in processes of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.logs import excerpts


class Running(ABC):
    """A context manager that starts and closes. An error in the block, or in the start, is told with what the processes logged:
    their logs may go with them."""

    @property
    @abstractmethod
    def logs(self) -> Sequence[Path]:
        """The files that its processes write."""

    @abstractmethod
    def start(self) -> Any:
        """Returns when it serves."""

    @abstractmethod
    def close(self) -> None:
        """Ends whatever still runs. Called also where `start` failed."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException as error:
            self.__exit__(type(error), error)
            raise
        return self

    def __exit__(self, _: object, error: BaseException | None, *more: object) -> None:
        if error is not None:
            error.add_note(excerpts(self.logs))
        self.close()
