-- Of each symbol of an interval up to a day long, for each day: how many slots should be there, are stored, are explained.
-- $market, $kind, $interval; $symbols: names with blanks between, or '' for all; $start, $end: epoch ms
SELECT symbol, day, expected, stored, explained, unexplained
FROM daily_coverage($market, $kind, $interval, nullif($symbols, ''), epoch_ms($start::BIGINT), epoch_ms($end::BIGINT))
ORDER BY symbol, day
