-- Funding rates of perpetual futures, at most one an hour: the hour is the slot, and each symbol has an interval of its
-- own, which changes.
CREATE TABLE funding (
    market         VARCHAR NOT NULL,
    symbol         VARCHAR NOT NULL,
    funding_time   TIMESTAMP NOT NULL, -- as published: some ms after the full hour
    rate           DECIMAL(38, 12) NOT NULL, -- of a position's value: 0.0001 is 0.01 %
    mark_price     DECIMAL(38, 12), -- quote asset; NULL where it was not published with the rate
    interval_hours INTEGER, -- NULL where it was not published with the rate
    source         VARCHAR NOT NULL, -- rest, monthly: where the values came from
    fetched_at     TIMESTAMP NOT NULL -- when it was first stored
);
