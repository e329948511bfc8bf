"""Other people's back-ends, killed at each of their stores to the memory that they share, and judged.

``load`` says what the driver asks for, ``driver`` asks and looks what came back, ``process`` is the back-end,
``ptrace``, ``mappings`` and ``tracer`` find its stores and kill it there, ``life`` puts these together; ``points``
names stores and cases, ``judge`` judges a death, ``trying`` tries one case, ``campaign`` all; ``symbols``, ``report``,
``html`` tell, with ``lives``, ``picture`` and ``showing`` for one case; ``command`` is the command. ``backend.c`` is a
small back-end to try it on. None of these imports the model. ``under_guest`` does the killing under a Linux guest.
"""
