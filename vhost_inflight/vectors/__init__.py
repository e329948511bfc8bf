"""Vectors: what other people's back-ends can be tested with; what each must make of these bytes, by the model alone.

``form`` is what a vector is (vector.schema.json).
"""
