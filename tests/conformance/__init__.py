"""Back-ends that are killed at each of their stores."""
