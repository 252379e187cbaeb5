"""Upkeep of the file: old rejects go, slots are proved unique, closed months are put in order."""
