-- Of each reason in the ledger, how many rows there are, and klines up to $end.
SELECT reason, count(*) AS rows,
       sum(greatest(0, slots_between(interval, start_time, least(end_time, epoch_ms($end::BIGINT)))))::BIGINT AS klines
FROM gaps
WHERE market = $market AND kind = $kind AND interval = $interval AND contains(symbol, $symbol)
  AND start_time < epoch_ms($end::BIGINT) AND end_time > epoch_ms($start::BIGINT)
GROUP BY reason ORDER BY reason
