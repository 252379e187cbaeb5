-- What was wrong for a while.
CREATE TABLE incidents (                       -- trouble of a market, from its beginning to its end
    market    VARCHAR NOT NULL,
    kind      VARCHAR NOT NULL,                -- ExchangeDown, Blocked, Degraded, stale
    intervals VARCHAR[] NOT NULL,              -- whose last run saw it
    symbols   VARCHAR[] NOT NULL,              -- of stale: all that were, since it began
    began_at  TIMESTAMP NOT NULL,
    ended_at  TIMESTAMP,                       -- NULL: it goes on
    runs      INTEGER NOT NULL,                -- how many runs saw it
    loud      BOOLEAN NOT NULL,                -- whether it deserves an alarm
    message   VARCHAR NOT NULL                 -- of the run that saw it first
);
