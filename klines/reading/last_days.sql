-- Of every series, for each of the last days: how many slots should be there, are stored, and are explained.
-- $from, $until: midnight 30 days ago, and the newest time that is to be covered, both TIMESTAMP
WITH stored AS (
    SELECT market, symbol, interval, date_trunc('day', open_time) AS day, count(*) AS stored, min(open_time) AS first
    FROM klines WHERE open_time >= $from AND open_time < $until GROUP BY ALL
), gap AS (
    SELECT market, symbol, interval, reason, greatest(start_time, $from) AS start_time,
           least(end_time, $until) AS end_time, next_check
    FROM gaps WHERE start_time < $until AND end_time > $from
), series AS (
    SELECT market, symbol, interval, min(first) AS first, any_value(next_check) AS next_check FROM (
        SELECT market, symbol, interval, min(first) AS first, NULL AS next_check FROM stored GROUP BY ALL
        UNION ALL SELECT market, symbol, interval, min(start_time), min(next_check) FROM gap GROUP BY ALL
        UNION ALL SELECT market, symbol, interval, greatest(since, $from), NULL FROM audits WHERE until > $from)
    GROUP BY ALL
), days AS (
    SELECT market, symbol, interval, next_check, day, greatest(first, day) AS since,
           least(day + INTERVAL 1 DAY, $until) AS until
    FROM series CROSS JOIN range($from, $until, INTERVAL 1 DAY) days(day)
    WHERE slot_length(interval) <= 86400000
), explained AS (
    SELECT market, symbol, interval, days.day,
           sum(slots_between(interval, greatest(start_time, day), least(end_time, days.until))) AS explained,
           sum(slots_between(interval, greatest(start_time, day), least(end_time, days.until)))
               FILTER (reason IN ('not_listed', 'delisted')) AS not_trading
    FROM days JOIN gap USING (market, symbol, interval)
    WHERE reason NOT IN ('due', 'unresolved') AND start_time < days.until AND end_time > day
    GROUP BY ALL
)
SELECT market, interval, symbol, next_check,
       list({'expected': greatest(0, slots_between(interval, since, until)), 'stored': coalesce(stored, 0),
             'explained': coalesce(explained, 0), 'not_trading': coalesce(not_trading, 0)} ORDER BY day)
FROM days LEFT JOIN stored USING (market, symbol, interval, day) LEFT JOIN explained USING (market, symbol, interval, day)
GROUP BY ALL ORDER BY ALL
