-- Months that lie in order.
CREATE TABLE clustered (                       -- months whose klines lie by market, interval, symbol, open_time
    month        TIMESTAMP NOT NULL,           -- UTC, its first moment
    rows         BIGINT NOT NULL,              -- how many it had then: with more stored it is done again
    clustered_at TIMESTAMP NOT NULL
);
