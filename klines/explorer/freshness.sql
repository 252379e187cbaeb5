-- The newest kline of each symbol within the last two days, whether the ledger says that it trades, and whether it is
-- wanted on and on.
SELECT symbol, epoch_ms(newest) AS newest_ms, ended IS NULL AS is_trading, coalesce(goes_on, false) AS goes_on
FROM (SELECT symbol, max(open_time) AS newest FROM klines
      WHERE market = $market AND kind = $kind AND interval = $interval AND open_time >= epoch_ms($now::BIGINT) - INTERVAL 2 DAY
      GROUP BY symbol)
FULL JOIN (SELECT symbol, min(start_time) AS ended FROM gaps
           WHERE market = $market AND kind = $kind AND interval = $interval AND reason = 'delisted'
             AND start_time <= epoch_ms($now::BIGINT) AND end_time > epoch_ms($now::BIGINT)
           GROUP BY symbol) USING (symbol)
FULL JOIN (SELECT DISTINCT symbol, true AS goes_on FROM wanted
           WHERE market = $market AND kind = $kind AND interval = $interval AND until IS NULL) USING (symbol)
ORDER BY symbol
