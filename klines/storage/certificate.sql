-- Macros and the view `certificate`: of every audited series what is expected, stored, explained and unexplained.

CREATE OR REPLACE MACRO slot_length(name) AS -- in ms; a month has none
    CASE right(name, 1) WHEN 's' THEN 1000 WHEN 'm' THEN 60000 WHEN 'h' THEN 3600000 WHEN 'd' THEN 86400000
         WHEN 'w' THEN 604800000 END * left(name, -1)::BIGINT;

CREATE OR REPLACE MACRO slot_phase(name, open_time) AS -- of the grid against the epoch, in ms
    CASE name WHEN '1w' THEN 345600000 WHEN '3d' THEN epoch_ms(open_time) % 259200000 ELSE 0 END;

CREATE OR REPLACE MACRO slots_between(name, start_time, end_time) AS
    CASE name WHEN '1M' THEN date_diff('month', start_time, end_time)
         ELSE (epoch_ms(end_time) - epoch_ms(start_time)) // slot_length(name) END;

CREATE OR REPLACE VIEW certificate AS
WITH stored AS (
    SELECT market, symbol, interval, min(open_time) AS first, max(open_time) AS last, count(*) AS stored,
           bit_xor(md5_number(concat_ws(',', epoch_ms(open_time), open, high, low, close, volume, epoch_ms(close_time),
                                        quote_volume, trades, taker_buy_volume, taker_buy_quote_volume))) AS hash
    FROM klines JOIN audits USING (market, symbol, interval)
    WHERE open_time >= since AND open_time < until
    GROUP BY ALL
), named AS (
    SELECT market, symbol, interval, reason,
           slots_between(interval, greatest(start_time, since), least(end_time, until)) AS slots
    FROM gaps JOIN audits USING (market, symbol, interval)
    WHERE start_time < until AND end_time > since
), explained AS (
    SELECT market, symbol, interval, sum(slots) FILTER (reason = 'exchange_outage') AS exchange_outage,
           sum(slots) FILTER (reason = 'exchange_hole') AS exchange_hole,
           sum(slots) FILTER (reason = 'not_listed') AS not_listed, sum(slots) FILTER (reason = 'delisted') AS delisted,
           sum(slots) FILTER (reason = 'rejected') AS rejected,
           sum(slots) FILTER (reason NOT IN ('due', 'unresolved')) AS explained
    FROM named GROUP BY ALL
)
SELECT market, symbol, interval, since, until, first, last,
       slots_between(interval, since, until) AS expected,
       coalesce(stored, 0) AS stored,
       coalesce(exchange_outage, 0)::BIGINT AS exchange_outage,
       coalesce(exchange_hole, 0)::BIGINT AS exchange_hole,
       coalesce(not_listed, 0)::BIGINT AS not_listed,
       coalesce(delisted, 0)::BIGINT AS delisted,
       coalesce(rejected, 0)::BIGINT AS rejected,
       (expected - coalesce(stored, 0) - coalesce(explained, 0))::BIGINT AS unexplained,
       round(100 * (expected - unexplained) / greatest(expected, 1), 6) AS percent_complete,
       audited_at,
       lpad(format('{:x}', hash), 32, '0') AS hash
FROM audits LEFT JOIN stored USING (market, symbol, interval) LEFT JOIN explained USING (market, symbol, interval);
