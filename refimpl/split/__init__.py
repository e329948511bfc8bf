"""The split ring: a file for each block of the text, and the driver's side."""
