"""Back-ends of others, made runnable: `prepare` builds them from Debian's packages; nothing of theirs is kept here."""
