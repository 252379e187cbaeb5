-- What is stored in each month of the series of $market and $kind that can be read, and what tells that it has changed since: how
-- many klines (or rates) there are, when the newest was stored, their times, and how many were corrected.
WITH part AS (
    SELECT symbol, interval, date_trunc('month', open_time) AS month, count(*) AS klines,
           epoch_ms(max(fetched_at)) AS newest, bit_xor(epoch_ms(open_time)) AS times
    FROM SERIES
    WHERE market = $market AND kind = $kind AND INTERVALS AND ($symbols = '' OR is_among(symbol, $symbols))
      AND open_time >= epoch_ms($start::BIGINT) AND open_time < epoch_ms($end::BIGINT)
    GROUP BY ALL
), corrected AS (
    SELECT symbol, interval, date_trunc('month', open_time) AS month, count(*) AS corrections
    FROM restatements WHERE market = $market AND kind = $kind AND INTERVALS GROUP BY ALL
)
SELECT symbol, interval, epoch_ms(month::TIMESTAMP) AS month_ms, klines,
       concat_ws(' ', interval, klines, newest, times, coalesce(corrections, 0)) AS state
FROM part LEFT JOIN corrected USING (symbol, interval, month)
ORDER BY ALL
