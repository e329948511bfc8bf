"""Region and ring out of a live system: from a process's open files, or from the messages that a proxy passes on."""
