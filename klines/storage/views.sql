-- Views for plain SQL and BI tools. All times are naive UTC, whatever the session's time zone.

CREATE OR REPLACE MACRO utc_now() AS epoch_ms(epoch_ms(now())); -- naive, as all times here

CREATE OR REPLACE MACRO slot_start(name, open_time) AS -- where the slot of a kline begins
    CASE name WHEN '1M' THEN date_trunc('month', open_time)
         ELSE epoch_ms((epoch_ms(open_time) - slot_phase(name, open_time)) // slot_length(name) * slot_length(name)
                       + slot_phase(name, open_time)) END;

CREATE OR REPLACE MACRO slot_after(name, slot_start) AS -- where the next one does
    CASE name WHEN '1M' THEN slot_start + INTERVAL 1 MONTH ELSE epoch_ms(epoch_ms(slot_start) + slot_length(name)) END;

-- The klines of an interval up to 1d: those that are stored, and, where none is, those derived from the longest of the
-- `shorter` intervals that is whole. See klines/reading/derived.py, which has the same rule for any interval.
CREATE OR REPLACE MACRO klines_in(own, length, shorter) AS TABLE
WITH parts AS (
    SELECT market, symbol, interval, epoch_ms(open_time) // length * length AS slot, count(*) AS parts,
           min(open_time) AS opened, max(close_time) AS closed, arg_min(open, open_time) AS open, max(high) AS high,
           min(low) AS low, arg_max(close, open_time) AS close, sum(volume) AS volume, sum(quote_volume) AS quote_volume,
           sum(trades)::BIGINT AS trades, sum(taker_buy_volume) AS taker_buy_volume,
           sum(taker_buy_quote_volume) AS taker_buy_quote_volume, any_value(source) AS source,
           max(fetched_at) AS fetched_at
    FROM klines WHERE interval = own OR list_contains(shorter, interval)
    GROUP BY ALL
), short AS (
    SELECT market, symbol, interval, slot FROM parts
    WHERE interval != own AND parts < length // slot_length(interval)
), never AS (
    SELECT market, symbol, interval, start_time, end_time FROM gaps
    WHERE reason IN ('exchange_outage', 'exchange_hole', 'delisted')
    UNION ALL
    SELECT market, symbol, interval, TIMESTAMP '1970-01-01', max(listed_at) FROM (
        SELECT market, symbol, interval, end_time AS listed_at FROM gaps WHERE reason = 'not_listed'
        UNION ALL SELECT market, symbol, unnest(shorter), listed_at FROM symbols WHERE listed_at IS NOT NULL)
    GROUP BY ALL
), explained AS (
    SELECT market, symbol, interval, slot,
           sum((least(epoch_ms(end_time), slot + length) - greatest(epoch_ms(start_time), slot))
               // slot_length(interval)) AS explained
    FROM short JOIN never USING (market, symbol, interval)
    WHERE epoch_ms(start_time) < slot + length AND epoch_ms(end_time) > slot
    GROUP BY ALL
)
SELECT market, symbol, own AS interval, if(interval = own, opened, epoch_ms(slot)) AS open_time, open, high, low, close,
       volume, if(interval = own, closed, epoch_ms(slot + length - 1)) AS close_time, quote_volume, trades,
       taker_buy_volume, taker_buy_quote_volume, if(interval = own, source, interval) AS source, fetched_at
FROM parts LEFT JOIN explained USING (market, symbol, interval, slot)
WHERE interval = own
   OR parts + coalesce(explained, 0) = length // slot_length(interval) AND slot + length <= epoch_ms(now())
QUALIFY row_number() OVER (PARTITION BY market, symbol, slot ORDER BY slot_length(parts.interval) DESC) = 1;

CREATE OR REPLACE VIEW klines_1h AS
FROM klines_in('1h', 3600000, ['1s', '1m', '3m', '5m', '15m', '30m']);

CREATE OR REPLACE VIEW klines_1d AS
FROM klines_in('1d', 86400000, ['1s', '1m', '3m', '5m', '15m', '30m', '1h', '2h', '4h', '6h', '8h', '12h']);

-- The newest kline of every series.
CREATE OR REPLACE VIEW latest AS
SELECT klines.* FROM klines
JOIN (SELECT market, symbol, interval, max(open_time) AS open_time FROM klines GROUP BY ALL)
USING (market, symbol, interval, open_time);

-- How far every series is: the first slot after its newest kline, how many klines have closed since, and whether that is
-- fresh (none), late (under 5 minutes), stale, or as it should be, as the symbol is not trading any more.
CREATE OR REPLACE VIEW freshness AS
WITH newest AS (
    SELECT market, symbol, interval, max(open_time) AS last FROM klines GROUP BY ALL
), ends AS (
    SELECT *, slot_after(interval, slot_start(interval, last)) AS lacks_from FROM newest
), delisted AS (
    SELECT market, symbol, interval, min(start_time) AS delisted_at FROM gaps WHERE reason = 'delisted' GROUP BY ALL
)
SELECT market, symbol, interval, last, lacks_from,
       greatest(0, slots_between(interval, lacks_from, utc_now()))::BIGINT AS lacking,
       CASE WHEN delisted_at <= lacks_from THEN 'not trading'
            WHEN slot_after(interval, lacks_from) > utc_now() THEN 'fresh'
            WHEN slot_after(interval, lacks_from) + INTERVAL 5 MINUTE >= utc_now() THEN 'late'
            ELSE 'stale' END AS state
FROM ends LEFT JOIN delisted USING (market, symbol, interval);
