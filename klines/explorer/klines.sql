-- A symbol's klines in steps of $width; of each step how many klines lack and why, and how many were restated.
WITH asked AS (
    SELECT epoch_ms($start::BIGINT) AS begin, epoch_ms($end::BIGINT) AS finish
), steps AS (
    SELECT $market AS market, $kind AS kind, $symbol AS symbol, $interval AS interval, time, greatest(time, begin) AS since,
           least(time + $width::INTERVAL, finish) AS until, slots_between($interval, since, until) AS expected
    FROM asked, range(epoch_ms($first::BIGINT), epoch_ms($end::BIGINT), $width::INTERVAL) AS steps(time)
), stored AS (
    SELECT time_bucket($width::INTERVAL, open_time, epoch_ms($origin::BIGINT)) AS time, count(*) AS stored,
           arg_min(open, open_time) AS open, max(high) AS high, min(low) AS low, arg_max(close, open_time) AS close,
           sum(volume)::DOUBLE AS volume
    FROM klines
    WHERE market = $market AND kind = $kind AND symbol = $symbol AND interval = $interval
      AND open_time >= epoch_ms($start::BIGINT) AND open_time < epoch_ms($end::BIGINT)
    GROUP BY ALL
), named AS (
    SELECT time, reason, sum(slots) AS slots FROM slots_within('steps', 'gaps') GROUP BY ALL
), missing AS (
    SELECT time, sum(slots)::BIGINT AS named, sum(slots) FILTER (is_explained(reason))::BIGINT AS explained,
           string_agg(slots || ' ' || reason, ', ' ORDER BY reason) AS reasons
    FROM named GROUP BY time
), changed AS (
    SELECT time_bucket($width::INTERVAL, open_time, epoch_ms($origin::BIGINT)) AS time, count(*) AS restated,
           arg_max(old, seen_at)::VARCHAR AS old, arg_max(new, seen_at)::VARCHAR AS new,
           arg_max(source, seen_at) || ', seen ' || strftime(max(seen_at), '%Y-%m-%d %H:%M') AS changed_by
    FROM restatements
    WHERE market = $market AND kind = $kind AND symbol = $symbol AND interval = $interval
      AND open_time >= epoch_ms($start::BIGINT) AND open_time < epoch_ms($end::BIGINT)
    GROUP BY ALL
)
SELECT epoch(time)::BIGINT AS time, open, high, low, close, volume, expected, coalesce(stored, 0) AS stored,
       coalesce(named, 0) AS named, coalesce(explained, 0) AS explained, reasons,
       coalesce(restated, 0) AS restated, old, new, changed_by
FROM steps LEFT JOIN stored USING (time) LEFT JOIN missing USING (time) LEFT JOIN changed USING (time)
ORDER BY time
