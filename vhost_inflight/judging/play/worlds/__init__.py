"""The world around one back-end: memory, driver, device; what both rings share, and each ring's own."""
