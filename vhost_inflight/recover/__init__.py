"""Recover, the oracle: what a new back-end must make of the bytes of a region and of a ring.

The reference's own recovery runs over those bytes in memory, and what it stores, resubmits and ends with is recorded:
``given`` reads the question (``raw`` makes one of raw bytes), ``memory`` lays it, ``record`` runs and records,
``chains`` lists descriptors, ``doubt`` finds what speaks against an answer (``used`` what the ring shows as used all
the same), ``answer`` and ``story`` say it in JSON and in words (``block`` what a request asks of a disk), ``did``
judges what a back-end did, ``asking`` puts this together, ``lines`` does it line by line, ``command`` is the command.
Nothing here imports the model.
"""

from vhost_inflight.recover.answer import answer
from vhost_inflight.recover.doubt import Doubt, doubts
from vhost_inflight.recover.given import Given, GivenError, load, parse, schema
from vhost_inflight.recover.record import Recovery
from vhost_inflight.recover.running import recover
from vhost_inflight.recover.story import story

__all__ = [
    "Doubt",
    "Given",
    "GivenError",
    "Recovery",
    "answer",
    "doubts",
    "load",
    "parse",
    "recover",
    "schema",
    "story",
]
