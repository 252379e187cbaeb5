-- How many klines are stored of each series and day, so that nobody has to count them.
CREATE TABLE daily_counts (                    -- what was added, in one row or more: their sum is stored
    market   VARCHAR NOT NULL,
    kind     VARCHAR NOT NULL,
    symbol   VARCHAR NOT NULL,
    interval VARCHAR NOT NULL,
    day      DATE NOT NULL,                    -- UTC, in which the klines open; before counted.until
    klines   BIGINT NOT NULL,
    first    TIMESTAMP NOT NULL,               -- UTC, open times of the first and the last of them
    last     TIMESTAMP NOT NULL
);
CREATE TABLE counted (                         -- one row; none: nothing is counted
    until TIMESTAMP NOT NULL                   -- UTC, a midnight: of later days the klines themselves are counted
);
