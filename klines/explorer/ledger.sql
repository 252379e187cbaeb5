-- Rows of the ledger, newest first, with how many klines each takes up to $end.
-- $symbol: part of a name, or '' for all; $reason: '' for all; $start, $end: epoch ms; $most: rows
SELECT symbol, epoch_ms(start_time) AS start_ms, epoch_ms(end_time) AS end_ms,
       greatest(0, slots_between(interval, start_time, least(end_time, epoch_ms($end::BIGINT))))::BIGINT AS klines,
       reason, attempts, epoch_ms(first_seen) AS first_seen_ms, epoch_ms(last_checked) AS last_checked_ms,
       epoch_ms(next_check) AS next_check_ms
FROM gaps
WHERE market = $market AND kind = $kind AND interval = $interval AND contains(symbol, $symbol)
  AND ($reason = '' OR reason = $reason)
  AND start_time < epoch_ms($end::BIGINT) AND end_time > epoch_ms($start::BIGINT)
ORDER BY start_time DESC, symbol
LIMIT $most
