"""The reference's own judge: what both rings share, and each ring's own."""
