"""Mend: the proposed sentences as a patch of the reader's own copy of the specification's text.

``places`` finds the numbered items of the chapter in the copy, ``patch`` puts the sentences there and writes the
difference, ``command`` is the command. What is written is the model's proposal (``model.protocol.sentences``); of the
published text nothing is known here but its shape: a chapter, a part for each ring, three numbered lists.
"""

from vhost_inflight.mend.patch import mended, series
from vhost_inflight.mend.places import ShapeError

__all__ = ["ShapeError", "mended", "series"]
