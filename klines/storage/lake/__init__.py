"""A lake: PostgreSQL has the catalog, a folder or S3 the Parquet files, and many machines write at once."""
