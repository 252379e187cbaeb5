"""Moving all that a database holds to the other kind of place."""
