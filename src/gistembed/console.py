"""What a person sees while a run goes on: lines and progress bars on standard error, or nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text


class Console:
    """Talks to the person who started the run."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Open the console.

        Args:
            quiet: Say nothing at all.
        """
        self._console = RichConsole(stderr=True, quiet=quiet, highlight=False)
        self._warned: set[str] = set()

    def say(self, text: str) -> None:
        """One line; user text in it is shown as it is, never read as markup."""
        self._console.print(text, markup=False, soft_wrap=True)

    def answer(self, text: str) -> None:
        """One line in answer to what the person just did, such as Ctrl-C."""
        self._console.print(text, markup=False, soft_wrap=True)

    def show(self, table: Table) -> None:
        """A table."""
        self._console.print(table)

    def warn(self, text: str) -> None:
        """One line that should not be overlooked; once is enough."""
        if text in self._warned:
            return
        self._warned.add(text)
        self._console.print(f"warning: {text}", markup=False, style="yellow", soft_wrap=True)

    @contextmanager
    def stage(self, name: str, total: int, *, passing: bool = False) -> Iterator[Callable[[int], None]]:
        """A progress bar with the rate and an estimate of the time left.

        Args:
            name: What is being done.
            total: How many units there are to do.
            passing: Whether the bar goes away when the stage is done.

        Yields:
            A function that takes the number of units done since the call before.
        """
        columns = (
            # All of it fits into 80 columns, for tasks of up to 99,999 units.
            TextColumn("{task.description:<26}"),
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=passing) as progress:
            task = progress.add_task(name, total=total)
            yield lambda done: progress.update(task, advance=done)


class _Rate(ProgressColumn):
    """Units done in a second."""

    def render(self, task: Task) -> Text:
        """The mean since the start: units that are reported together say nothing of the moment."""
        elapsed = task.finished_time if task.finished else task.elapsed
        if not elapsed or not task.completed:
            return Text("")
        speed = task.completed / elapsed
        return Text(f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s")
