-- Every series: from when on it should be there, and its newest kline.
SELECT market, kind, interval, symbol, epoch_ms(min(first)) AS since_ms, epoch_ms(max(last)) AS last_ms
FROM (SELECT market, kind, interval, symbol, min(open_time) AS first, max(open_time) AS last FROM klines GROUP BY ALL
      UNION ALL SELECT market, kind, interval, symbol, start_time, NULL FROM gaps WHERE kind <> 'funding')
GROUP BY ALL ORDER BY ALL
