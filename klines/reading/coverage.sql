-- Of each symbol of an interval up to a day long, for each day: how many slots should be there, are stored, are explained.
-- $market, $interval; $symbols: names with blanks between, or '' for all; $start, $end: epoch ms
WITH kline AS NOT MATERIALIZED (
    SELECT symbol, open_time FROM klines
    WHERE market = $market AND interval = $interval
      AND ($symbols = '' OR symbol IN (SELECT unnest(string_split($symbols, ' '))))
), gap AS (
    SELECT symbol, start_time, end_time, reason FROM gaps
    WHERE market = $market AND interval = $interval
      AND ($symbols = '' OR symbol IN (SELECT unnest(string_split($symbols, ' '))))
), asked AS (
    SELECT epoch_ms($start::BIGINT) AS begin, epoch_ms($end::BIGINT // slot_length($interval) * slot_length($interval)) AS finish
), series AS ( -- what is known of a symbol begins with its first kline, its first gap, or where an audit looked
    SELECT symbol, min(first) AS first FROM (
        SELECT symbol, min(open_time) AS first FROM kline GROUP BY symbol
        UNION ALL SELECT symbol, min(start_time) FROM gap GROUP BY symbol
        UNION ALL SELECT symbol, since FROM audits
        WHERE market = $market AND interval = $interval
          AND ($symbols = '' OR symbol IN (SELECT unnest(string_split($symbols, ' ')))))
    GROUP BY symbol
), days AS (
    SELECT symbol, day, greatest(first, day, begin) AS since, least(day + INTERVAL 1 DAY, finish) AS until
    FROM asked, (SELECT symbol, first, unnest(range(date_trunc('day', greatest(first, begin)), finish, INTERVAL 1 DAY)) AS day
                 FROM series, asked)
), stored AS (
    SELECT symbol, open_time::DATE AS day, count(*) AS stored
    FROM kline -- the bounds are written out, so that only their part of the table is read
    WHERE open_time >= epoch_ms($start::BIGINT)
      AND open_time < epoch_ms($end::BIGINT // slot_length($interval) * slot_length($interval))
    GROUP BY ALL
), explained AS (
    SELECT symbol, day, sum(slots_between($interval, greatest(start_time, since), least(end_time, until))) AS explained
    FROM days JOIN (SELECT symbol, start_time, end_time, unnest(range(date_trunc('day', greatest(start_time, begin)),
                                                                      least(end_time, finish), INTERVAL 1 DAY)) AS day
                    FROM gap, asked WHERE reason NOT IN ('due', 'unresolved')) USING (symbol, day)
    WHERE start_time < until AND end_time > since
    GROUP BY ALL
)
SELECT symbol, day::DATE AS day, greatest(0, slots_between($interval, date_trunc('day', since), until)
           - slots_between($interval, date_trunc('day', since), since))::BIGINT AS expected,
       coalesce(stored, 0) AS stored, coalesce(explained, 0)::BIGINT AS explained,
       greatest(0, expected - coalesce(stored, 0) - coalesce(explained, 0))::BIGINT AS unexplained
FROM days LEFT JOIN stored USING (symbol, day) LEFT JOIN explained USING (symbol, day)
ORDER BY symbol, day
