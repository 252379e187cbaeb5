-- Whom was told what of an incident, and whether it has arrived.
CREATE TABLE alarms (                          -- what is to be told of incidents; rows are kept, as theirs are
    market       VARCHAR NOT NULL,
    incident     VARCHAR NOT NULL,             -- its kind: ExchangeDown, Blocked, Degraded, stale
    began_at     TIMESTAMP NOT NULL,           -- UTC, the incident
    message      VARCHAR NOT NULL,
    made_at      TIMESTAMP NOT NULL,           -- UTC, when there was something to tell
    is_end       BOOLEAN NOT NULL,             -- whether it tells that the incident is over
    url          VARCHAR NOT NULL,             -- the host of the webhook, which is no secret; '': not tried yet
    attempts     INTEGER NOT NULL,
    next_attempt TIMESTAMP,                    -- UTC; NULL: it was delivered, or is given up
    last_error   VARCHAR,                      -- of the last attempt that did not arrive
    delivered_at TIMESTAMP                     -- UTC
);
