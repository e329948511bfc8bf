"""Real programs: QEMU with a Linux guest, whose disk the back-end serves."""
