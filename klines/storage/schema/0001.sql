-- The tables of the first version.
CREATE TABLE klines (
    market                 VARCHAR NOT NULL,   -- spot, usdm, coinm
    symbol                 VARCHAR NOT NULL,
    interval               VARCHAR NOT NULL,   -- Binance's name: 1m, 1h, 1M …
    open_time              TIMESTAMP NOT NULL, -- UTC; on the interval's grid but for days of 2017 and 2018
    open                   DOUBLE NOT NULL,    -- quote asset per base asset, as high, low and close
    high                   DOUBLE NOT NULL,
    low                    DOUBLE NOT NULL,
    close                  DOUBLE NOT NULL,
    volume                 DOUBLE NOT NULL,    -- base asset; coinm: contracts
    close_time             TIMESTAMP NOT NULL, -- UTC, the last millisecond; an outage can cut it short
    quote_volume           DOUBLE NOT NULL,    -- quote asset; coinm: base asset
    trades                 BIGINT NOT NULL,
    taker_buy_volume       DOUBLE NOT NULL,    -- as volume
    taker_buy_quote_volume DOUBLE NOT NULL,    -- as quote_volume
    source                 VARCHAR NOT NULL,   -- rest, daily, monthly: where the values came from
    fetched_at             TIMESTAMP NOT NULL  -- UTC, when the kline was first stored
);
CREATE TABLE gaps (                            -- the ledger and work list; disjoint within a series
    market       VARCHAR NOT NULL,
    symbol       VARCHAR NOT NULL,
    interval     VARCHAR NOT NULL,
    start_time   TIMESTAMP NOT NULL,           -- UTC, the first slot
    end_time     TIMESTAMP NOT NULL,           -- UTC, after the last slot
    reason       VARCHAR NOT NULL,             -- due, rejected, unresolved, not_listed, …
    first_seen   TIMESTAMP NOT NULL,
    last_checked TIMESTAMP,                    -- the last check that the exchange answered
    attempts     INTEGER NOT NULL,             -- checks that the exchange answered
    next_check   TIMESTAMP                     -- NULL: settled, never asked for again
);
CREATE TABLE rejects (                         -- rows that Binance sent and the checks refused
    market     VARCHAR NOT NULL,
    symbol     VARCHAR NOT NULL,
    interval   VARCHAR NOT NULL,
    open_time  TIMESTAMP,                      -- NULL where the row's own is unreadable
    source     VARCHAR NOT NULL,
    reason     VARCHAR NOT NULL,
    row        VARCHAR NOT NULL,               -- JSON as received
    first_seen TIMESTAMP NOT NULL,
    last_seen  TIMESTAMP NOT NULL,
    seen       BIGINT NOT NULL
);
CREATE TABLE restatements (                    -- stored values that the exchange later gave differently
    market    VARCHAR NOT NULL,
    symbol    VARCHAR NOT NULL,
    interval  VARCHAR NOT NULL,
    open_time TIMESTAMP NOT NULL,
    old       VARCHAR NOT NULL,                -- JSON
    new       VARCHAR NOT NULL,                -- JSON
    source    VARCHAR NOT NULL,                -- where the new values came from
    seen_at   TIMESTAMP NOT NULL
);
CREATE TABLE archive_files (
    path        VARCHAR NOT NULL,
    sha256      VARCHAR NOT NULL,
    rows        BIGINT NOT NULL,
    loaded_at   TIMESTAMP NOT NULL,
    verified_at TIMESTAMP
);
CREATE TABLE bans (                            -- the exchange asked for silence
    pool    VARCHAR NOT NULL,                  -- spot, futures
    until   TIMESTAMP NOT NULL,
    message VARCHAR NOT NULL,
    state   VARCHAR NOT NULL,                  -- RateLimited, Blocked: the state of runs until then
    since   TIMESTAMP NOT NULL
);
CREATE TABLE symbols (                         -- what is known of a symbol itself
    market            VARCHAR NOT NULL,
    symbol            VARCHAR NOT NULL,
    listed_at         TIMESTAMP,               -- open time of its first kline, where it was asked for
    quarantined_until TIMESTAMP                -- the exchange did not know it: not asked before
);
