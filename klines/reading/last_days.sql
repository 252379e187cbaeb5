-- Of every series up to a day long the last days, and when anything of them is looked at again.
-- $start, $end: epoch ms
WITH checks AS (
    SELECT market, kind, symbol, interval, min(next_check) AS next_check FROM gaps
    WHERE start_time < epoch_ms($end::BIGINT) AND end_time > epoch_ms($start::BIGINT)
    GROUP BY ALL
)
SELECT market, kind, interval, symbol, next_check,
       list({'expected': expected, 'stored': stored, 'explained': explained, 'not_trading': not_trading} ORDER BY day)
FROM daily_coverage(NULL, NULL, NULL, NULL, epoch_ms($start::BIGINT), epoch_ms($end::BIGINT))
     LEFT JOIN checks USING (market, kind, symbol, interval)
GROUP BY ALL ORDER BY ALL
