-- What each hour has of its klines of a minute, of closed months, so that who reads longer klines need not add up minutes.
CREATE TABLE hours (
    market                 VARCHAR NOT NULL,
    kind                   VARCHAR NOT NULL,
    symbol                 VARCHAR NOT NULL,
    open_time              TIMESTAMP NOT NULL, -- UTC, where the hour begins
    parts                  SMALLINT NOT NULL,  -- how many klines of it are stored
    open                   DOUBLE,             -- of the first of them
    high                   DOUBLE,
    low                    DOUBLE,
    close                  DOUBLE,             -- of the last
    volume                 DECIMAL(38, 8),     -- sums, of what the kind has
    quote_volume           DECIMAL(38, 8),
    trades                 BIGINT,
    taker_buy_volume       DECIMAL(38, 8),
    taker_buy_quote_volume DECIMAL(38, 8),
    fetched_at             TIMESTAMP NOT NULL  -- UTC, when the last of them was first stored
);
CREATE TABLE hours_to_make (                   -- whose hours are not, or no longer, what klines say: none is read
    market VARCHAR NOT NULL,
    kind   VARCHAR NOT NULL,
    symbol VARCHAR NOT NULL,
    month  TIMESTAMP NOT NULL                  -- UTC, where it begins; before counted.hours_until
);
ALTER TABLE counted ADD COLUMN hours_until TIMESTAMP; -- UTC, where a month begins: earlier ones have hours; NULL: none has
