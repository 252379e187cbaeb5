-- A name that is used again has two lives.
ALTER TABLE symbols ADD COLUMN ended_at TIMESTAMP;    -- UTC, after the last kline of the life before
ALTER TABLE symbols ADD COLUMN relisted_at TIMESTAMP; -- UTC, open time of the first kline of the present one
-- What exchangeInfo said of a symbol, a row for each change. Rows are only ever added.
CREATE TABLE rules (
    market              VARCHAR NOT NULL,
    symbol              VARCHAR NOT NULL,
    unseen_at           TIMESTAMP,          -- UTC, the last answer that said otherwise; NULL: none was kept before
    first_seen          TIMESTAMP NOT NULL, -- UTC, the first answer that said so
    status              VARCHAR NOT NULL,   -- TRADING, BREAK, …; GONE: not listed (any more), and nothing else is said
    base                VARCHAR,
    quote               VARCHAR,
    contract_type       VARCHAR,            -- of futures, as all up to delivery_at: PERPETUAL, CURRENT_QUARTER, …
    pair                VARCHAR,
    margin_asset        VARCHAR,
    contract_size       VARCHAR,            -- coinm: what a contract is worth; a decimal as published, as below
    underlying_type     VARCHAR,            -- COIN, INDEX, …
    underlying_subtypes VARCHAR,            -- with commas between
    onboard_at          TIMESTAMP,          -- UTC, onboardDate
    delivery_at         TIMESTAMP,          -- UTC, deliveryDate; of perpetual ones 2100-12-25
    permissions         VARCHAR,            -- of spot: SPOT, MARGIN, …, with commas between
    tick_size           VARCHAR,            -- decimals, as published: of prices
    step_size           VARCHAR,            -- of quantities
    min_quantity        VARCHAR,
    min_notional        VARCHAR             -- price times quantity, in the quote asset
);
