"""What tables, views and macros a database has: frozen steps, text that is applied anew, and amounts as decimals."""
