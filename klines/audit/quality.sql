-- What looks wrong in what is stored: findings, and never changes. Each query gives market, kind, symbol, interval, open_time
-- and a detail; $from and $until bound the open time.

-- name: two rows in a slot
SELECT market, kind, symbol, interval, min(open_time) AS open_time, count(*) || ' rows' AS detail
FROM klines
WHERE open_time >= $from AND open_time < $until AND interval <> '1M'
GROUP BY market, kind, symbol, interval, (epoch_ms(open_time) - slot_phase(interval, open_time)) // slot_length(interval)
HAVING count(*) > 1;

-- name: off the grid
SELECT market, kind, symbol, interval, open_time, 'opens ' || (epoch_ms(open_time) % slot_length(interval)) || ' ms late' AS detail
FROM klines
WHERE open_time >= $from AND open_time < $until AND interval NOT IN ('1M', '1w', '3d')
  AND epoch_ms(open_time) % slot_length(interval) <> 0;

-- name: high or low between open and close
SELECT market, kind, symbol, interval, open_time, printf('open %g, high %g, low %g, close %g', open, high, low, close) AS detail
FROM klines
WHERE open_time >= $from AND open_time < $until AND (high < greatest(open, close) OR low > least(open, close));

-- name: closed early
SELECT market, kind, symbol, interval, open_time, 'lasted ' || (epoch_ms(close_time) - epoch_ms(open_time) + 1) || ' ms' AS detail
FROM klines
WHERE open_time >= $from AND open_time < $until AND interval <> '1M'
  AND epoch_ms(close_time) - epoch_ms(open_time) + 1 < slot_length(interval);

-- name: an hour or more without a trade
SELECT market, kind, symbol, interval, min(open_time) AS open_time, count(*) || ' klines' AS detail
FROM (
    SELECT *, sum((trades > 0)::INTEGER) OVER (PARTITION BY market, kind, symbol, interval ORDER BY open_time) AS run
    FROM klines WHERE open_time >= $from AND open_time < $until AND interval <> '1M')
WHERE trades = 0
GROUP BY market, kind, symbol, interval, run
HAVING count(*) * slot_length(interval) >= 3600000 AND count(*) > 1;

-- name: a jump of more than half
SELECT market, kind, symbol, interval, open_time, printf('from %g to %g', before, close) AS detail
FROM (
    SELECT *, lag(close) OVER (PARTITION BY market, kind, symbol, interval ORDER BY open_time) AS before
    FROM klines WHERE open_time >= $from AND open_time < $until)
WHERE before > 0 AND (close > 1.5 * before OR close < before / 1.5) AND interval IN ('1s', '1m', '3m', '5m', '15m', '30m', '1h')
  AND list_contains(@priced@, kind);
