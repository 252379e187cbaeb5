-- The newest kline of every series, so that nobody has to look for it through all that is stored.
CREATE TABLE ends (                            -- as maintenance saw them; what was fetched since may be newer
    market    VARCHAR NOT NULL,
    symbol    VARCHAR NOT NULL,
    interval  VARCHAR NOT NULL,
    open_time TIMESTAMP NOT NULL,
    kline     VARCHAR[] NOT NULL,              -- its other columns, in their order, as texts
    noted_at  TIMESTAMP NOT NULL               -- UTC, of all rows: nothing that was fetched before is newer
);
