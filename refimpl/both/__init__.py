"""What both rings share: the driver's kick and sleep, and the order of resubmission."""
