"""Tests of what is read out of live systems."""
