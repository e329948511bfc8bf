"""The reference: an executable writing of the text on real shared memory, with both ends of the connection.

It imports nothing of the model, so that comparing the two means something; what they share are names (step ids, gaps,
fields). Procedures read like the text, in its order, and readability comes before performance. Memory order is claimed
for x86-64 only (see ``refimpl.memory``).
"""
