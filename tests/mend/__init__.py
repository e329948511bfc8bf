"""The patch of a copy of the text: a chapter of the same shape, in words of our own, stands beside these tests."""
