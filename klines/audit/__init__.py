"""What is missing and why: repaired, explained, compared with the archive, certified."""
