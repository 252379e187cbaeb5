"""The minute: what is missing, one run of it, and what it says."""
