"""What is stored, in the files of other programs: written whole or not at all, and again only where it has changed.

A room of this name, as `klines.export` is the function.
"""
