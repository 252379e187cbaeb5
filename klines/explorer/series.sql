-- Every series: from when on it should be there, and its newest kline.
SELECT market, kind, interval, symbol, epoch_ms(min(first)) AS since_ms, epoch_ms(max(last)) AS last_ms
FROM (SELECT market, kind, interval, symbol, first, last FROM stored_days()
      UNION ALL SELECT market, kind, interval, symbol, start_time, NULL FROM gaps WHERE kind <> 'funding')
GROUP BY ALL ORDER BY ALL
