"""Tests of README, docs and the notebook."""
