"""The front door of the model, the proofs and the reference of vhost-user inflight I/O tracking: the command line.

`vhost_inflight.explain` gives the same answers to a program as the command line prints.
"""
