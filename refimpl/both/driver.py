"""The driver of either ring: kick, use what comes back, sleep and wake. What is a ring's own is in its driver.

One method a step, for a schedule to play; ``use_all`` and ``try_sleep`` put the steps together for real use.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from refimpl.errors import UsageError
from refimpl.hooks import Hook, silent
from refimpl.memory import full_fence


@dataclass(frozen=True, slots=True)
class IndirectTables:
    """Room for one indirect table a head: ``view`` at guest address ``address``, ``entries`` descriptors for each."""

    view: memoryview
    address: int
    entries: int


class Driver(ABC):
    """The driver of one ring, but for the ring: ``outstanding`` (heads or ids that the device has), ``asleep``."""

    outstanding: set[int]

    def __init__(
        self,
        hook: Hook = silent,
        *,
        kick: Callable[[], None] = lambda: None,
        call_taken: Callable[[], None] = lambda: None,
        event_index: bool,
        tables: IndirectTables | None = None,
        strict: bool = True,
    ) -> None:
        """Begin awake. ``kick()`` notifies the device, ``call_taken()`` consumes a call.

        With ``event_index`` the driver asks to be notified of one used element, else of every one. Without ``strict``,
        memory safety alone is checked of what the device says, so that a run may go on after it broke a rule.
        """
        self.hook = hook
        self._kick = kick
        self._call_taken = call_taken
        self.event_index = event_index
        self.tables = tables
        self.strict = strict
        self._rise()

    def _rise(self) -> None:
        """Be awake, with nothing outstanding."""
        self.asleep = False
        self.outstanding = set()
        self._kick_wanted: bool | None = None

    # Kick

    @abstractmethod
    def _wants_kick(self) -> bool:
        """Read whether the device wants a kick."""

    def kick_look(self) -> bool:
        """Read whether the device wants a kick for what was made available since the last look (driver.kick.look)."""
        full_fence()  # the device arms and then looks at the ring: one of both sees the other's store
        wanted = self._kick_wanted = self._wants_kick()
        self.hook("driver.kick.look", None)
        return wanted

    def kick(self) -> None:
        """Kick the device, which wants it (driver.kick.1). Raises UsageError when ``kick_look`` did not say so."""
        if not self._kick_wanted:
            raise UsageError("no kick is wanted")
        self._kick_wanted = None
        self._kick()
        self.hook("driver.kick.1", None)

    def kick_none(self) -> None:
        """Leave out the kick (driver.kick.none). Raises UsageError when ``kick_look`` did not say so."""
        if self._kick_wanted is not False:
            raise UsageError("a kick is wanted, or nobody looked")
        self._kick_wanted = None
        self.hook("driver.kick.none", None)

    def kick_if_wanted(self) -> None:
        """Look whether the device wants a kick, and kick or do not."""
        if self.kick_look():
            self.kick()
        else:
            self.kick_none()

    # Use what comes back

    @property
    @abstractmethod
    def used_waiting(self) -> bool:
        """Whether the ring shows a used element that is not yet used."""

    @abstractmethod
    def use(self) -> tuple[int, int]:
        """Use the next used element and free its head or id; return (id, len) (driver.use)."""

    def use_all(self) -> list[tuple[int, int]]:
        """Use everything that waits; return (id, len) of each. Raises BackEndError as ``use`` does."""
        used = []
        while self.used_waiting:
            used.append(self.use())
        return used

    # Sleep and wake

    @abstractmethod
    def sleep_store(self) -> None:
        """Ask for a notification (driver.sleep.1)."""

    def sleep_again(self) -> None:
        """See that something came meanwhile, so do not sleep (driver.sleep.again). Raises UsageError if not."""
        full_fence()  # what is published after this look brings a notification
        if not self.used_waiting:
            raise UsageError("nothing waits to be used")
        self._settle(asleep=False)

    def sleep(self) -> None:
        """See that nothing came meanwhile, and sleep (driver.sleep.2). Raises UsageError if something did."""
        full_fence()  # what is published after this look brings a notification
        if self.used_waiting:
            raise UsageError("something waits to be used")
        self._settle(asleep=True)

    def _settle(self, *, asleep: bool) -> None:
        """Sleep or do not, as the one look after ``sleep_store`` said."""
        self.asleep = asleep
        self.hook("driver.sleep.2" if asleep else "driver.sleep.again", None)

    def wake(self) -> None:
        """Take the notification, and sleep no longer (driver.wake)."""
        self._call_taken()
        self.asleep = False
        self.hook("driver.wake", None)

    def try_sleep(self) -> bool:
        """Ask for a notification and sleep unless something waits; return whether the driver is asleep now."""
        self.sleep_store()
        full_fence()
        self._settle(asleep=not self.used_waiting)
        return self.asleep
