"""A real guest: QEMU with a Linux kernel, whose disk is served by a back-end that may be killed."""
