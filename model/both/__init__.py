"""What both rings share, said once: words of their state, the counters of merged, gaps and their alternatives.

The steps themselves stand in split/ and packed/, written out: a reader compares them sentence by sentence.
"""
