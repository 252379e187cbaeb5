-- The symbols that are wanted on and on, and the newest kline of each within the last two days.
SELECT symbol, epoch_ms(max(open_time)) AS newest_ms
FROM (SELECT DISTINCT symbol FROM wanted
      WHERE market = $market AND kind = $kind AND interval = $interval AND until IS NULL)
LEFT JOIN (SELECT symbol, open_time FROM klines
           WHERE market = $market AND kind = $kind AND interval = $interval
             AND open_time >= epoch_ms($now::BIGINT) - INTERVAL 2 DAY) USING (symbol)
GROUP BY symbol
