-- Amounts are decimals: see exact.py, which brings klines over that have them as doubles.
ALTER TABLE schema_version ADD COLUMN exact BOOLEAN; -- whether the amounts of klines are DECIMAL(38, 8)
CREATE TABLE doubtful (                        -- klines with an amount that was a double, and may not be Binance's
    market    VARCHAR NOT NULL,
    symbol    VARCHAR NOT NULL,
    interval  VARCHAR NOT NULL,
    open_time TIMESTAMP NOT NULL
);
