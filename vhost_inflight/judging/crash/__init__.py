"""The crash test: a driver, a front-end and a back-end as real processes, and kills."""
