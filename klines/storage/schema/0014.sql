-- What is to be complete: ranges of series, each with who wants it. What is collected is wanted on and on.
CREATE TABLE wanted (
    market    VARCHAR NOT NULL,
    kind      VARCHAR NOT NULL,
    symbol    VARCHAR NOT NULL,
    interval  VARCHAR NOT NULL,
    since     TIMESTAMP NOT NULL,              -- UTC, the first slot
    until     TIMESTAMP,                       -- UTC, after the last slot; NULL: it goes on
    wanted_by VARCHAR NOT NULL,                -- shell, backfill, person, upgrade, or the name of a deployment
    noted_at  TIMESTAMP NOT NULL               -- UTC, since when
);
-- A database of before: a series that was collected within a day of the newest of its kind goes on; of others what is
-- stored, or was looked at.
INSERT INTO wanted
WITH series AS (
    SELECT market, kind, symbol, interval, min(since) AS since, max(last) AS last, bool_or(is_live) AS is_live FROM (
        SELECT market, kind, symbol, interval, min(open_time) AS since, max(open_time) AS last,
               arg_max(fetched_at - close_time < INTERVAL 1 DAY, open_time) AS is_live FROM klines GROUP BY ALL
        UNION ALL SELECT market, kind, symbol, interval, start_time, NULL, NULL FROM gaps WHERE kind <> 'funding'
        UNION ALL SELECT market, kind, symbol, interval, since, NULL, NULL FROM audits)
    GROUP BY ALL
), newest AS (
    SELECT market, kind, interval, max(last) AS newest FROM series GROUP BY ALL
)
SELECT market, kind, symbol, interval, since,
       CASE WHEN last IS NULL OR (is_live AND last >= newest - INTERVAL 1 DAY) THEN NULL
            WHEN interval = '1M' THEN last + INTERVAL 1 MONTH
            ELSE last + to_milliseconds(left(interval, -1)::BIGINT * CASE right(interval, 1)
                WHEN 's' THEN 1000 WHEN 'm' THEN 60000 WHEN 'h' THEN 3600000 WHEN 'd' THEN 86400000
                WHEN 'w' THEN 604800000 END) END,
       'upgrade', epoch_ms(epoch_ms(now()))
FROM series LEFT JOIN newest USING (market, kind, interval);
