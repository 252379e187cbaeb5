"""A lake beside a file: what is measured, and what it stands on."""
