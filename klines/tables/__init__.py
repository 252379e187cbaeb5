"""The tables, one module each: what is read from them and written into them on a connection that the caller has."""
