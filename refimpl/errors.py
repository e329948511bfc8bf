"""Errors that say who broke a rule.

Everything that comes from the other side is hostile until checked; the class of an error names the side, its text the
rule. All of them are raised before the bad value is used.
"""

from typing import ClassVar


class InflightError(Exception):
    """Something that stops this program from going on; the base of all errors of the reference.

    Raised as such for a failure that is no peer's fault: a missing image, a socket that another process serves.
    """

    culprit: ClassVar[str] = ""

    @property
    def rule(self) -> str:
        """The broken rule alone, for who says otherwise who broke it."""
        return super().__str__()

    def __str__(self) -> str:
        """Return the broken rule, preceded by who broke it."""
        return f"{self.culprit}: {self.rule}" if self.culprit else self.rule


class UsageError(InflightError, ValueError):
    """The caller of the reference asked for what does not exist or is not allowed now.

    Raised for an unknown gap, choice, revision or step id, a size that virtio does not allow, a value too wide for its
    field, and a method called out of turn (a fetch while a batch is open, say).
    """

    culprit = "the caller"


class FrontEndError(InflightError):
    """The front-end broke a rule of vhost-user.

    Raised by the back-end for a malformed or untimely message, file descriptors too many or missing, a memory table
    that contradicts itself, and a file that is shorter than what the front-end says it holds.
    """

    culprit = "the front-end"


class BackEndError(InflightError):
    """The back-end broke a rule of vhost-user or of virtio.

    Raised by the front-end for a wrong reply, and by its driver for a used element that names a head which the driver
    does not have in the ring, or for a used index that has run past everything made available.
    """

    culprit = "the back-end"


class FewerQueuesError(BackEndError):
    """The back-end has fewer queues than are needed: a limit that it tells, and no rule broken."""


class DriverError(InflightError):
    """The driver broke a rule of virtio.

    Raised by the back-end for an index past the ring's size, an available index that is further ahead than the ring is
    long, a head that is made available while it is inflight, and a descriptor chain that breaks a rule (a loop, too
    long, an address outside the guest's memory, a wrong indirect table).
    """

    culprit = "the driver"


class RegionError(InflightError):
    """The bytes of a region are none that a back-end which follows the text can have left.

    Raised by the back-end for an unknown version, a number of entries other than expected, a list that leaves the
    table, and a batch longer than the ring. Whoever stored the region (an earlier back-end, or a front-end that
    changed it) is to blame; the reference cannot tell which.
    """

    culprit = "the region"
