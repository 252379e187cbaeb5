-- What exchangeInfo says of symbols.
ALTER TABLE symbols ADD COLUMN base VARCHAR;               -- of exchangeInfo, as these
ALTER TABLE symbols ADD COLUMN quote VARCHAR;
ALTER TABLE symbols ADD COLUMN status VARCHAR;             -- TRADING, BREAK, …; GONE: not listed any more
ALTER TABLE symbols ADD COLUMN contract_type VARCHAR;      -- of futures: PERPETUAL, CURRENT_QUARTER, …
ALTER TABLE symbols ADD COLUMN first_seen TIMESTAMP;       -- UTC, when exchangeInfo first listed it
ALTER TABLE symbols ADD COLUMN unseen_at TIMESTAMP;        -- and when it last did not, before that
ALTER TABLE symbols ADD COLUMN delisted_at TIMESTAMP;      -- UTC, when it was first seen not to trade
ALTER TABLE symbols ADD COLUMN last_checked TIMESTAMP;     -- UTC, when exchangeInfo was last asked
