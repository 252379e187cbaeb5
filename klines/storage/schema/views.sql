-- Views and macros for SQL, applied to a file whenever this text has changed. All times are naive UTC, whatever the
-- session's time zone. Names between @ are lists of columns, from klines/columns.py.

CREATE OR REPLACE MACRO utc_now() AS epoch_ms(epoch_ms(now())); -- naive, as all times here

CREATE OR REPLACE MACRO is_among(name, names) AS -- names with blanks between
    name IN (SELECT unnest(string_split(names, ' ')));

CREATE OR REPLACE MACRO slot_length(name) AS -- in ms; a month has none
    CASE right(name, 1) WHEN 's' THEN 1000 WHEN 'm' THEN 60000 WHEN 'h' THEN 3600000 WHEN 'd' THEN 86400000
         WHEN 'w' THEN 604800000 END * left(name, -1)::BIGINT;

CREATE OR REPLACE MACRO slot_phase(name, open_time) AS -- of the grid against the epoch, in ms
    CASE name WHEN '1w' THEN 345600000 WHEN '3d' THEN epoch_ms(open_time) % 259200000 ELSE 0 END;

CREATE OR REPLACE MACRO slot_start(name, open_time) AS -- where the slot of a kline begins
    CASE name WHEN '1M' THEN date_trunc('month', open_time)
         ELSE epoch_ms((epoch_ms(open_time) - slot_phase(name, open_time)) // slot_length(name) * slot_length(name)
                       + slot_phase(name, open_time)) END;

CREATE OR REPLACE MACRO slot_after(name, slot_start) AS -- where the next one does
    CASE name WHEN '1M' THEN slot_start + INTERVAL 1 MONTH ELSE epoch_ms(epoch_ms(slot_start) + slot_length(name)) END;

CREATE OR REPLACE MACRO slots_between(name, start_time, end_time) AS
    CASE name WHEN '1M' THEN date_diff('month', start_time, end_time)
         ELSE (epoch_ms(end_time) - epoch_ms(start_time)) // slot_length(name) END;

CREATE OR REPLACE MACRO is_explained(reason) AS reason NOT IN ('due', 'unresolved');

-- How many slots each row of `parts` (start_time, end_time), such as the ledger, takes of each row of `spans` (since,
-- until) of its series. Both are names of tables; the columns of both are in the answer.
CREATE OR REPLACE MACRO slots_within(spans, parts) AS TABLE
SELECT *, slots_between(interval, greatest(start_time, since), least(end_time, until)) AS slots
FROM query_table(spans) JOIN query_table(parts) USING (market, kind, symbol, interval)
WHERE start_time < until AND end_time > since;

-- All that is wanted of every series, by whomever: ranges that neither overlap nor touch. What goes on has no end.
CREATE OR REPLACE VIEW promised AS
WITH ranges AS (
    SELECT market, kind, symbol, interval, since, coalesce(until, TIMESTAMP '9999-12-31') AS until FROM wanted
), beginnings AS (
    SELECT *, since > max(until) OVER (series ORDER BY since, until ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
              AS is_beginning
    FROM ranges WINDOW series AS (PARTITION BY market, kind, symbol, interval)
), numbered AS (
    SELECT *, count(*) FILTER (is_beginning) OVER (PARTITION BY market, kind, symbol, interval ORDER BY since, until)
              AS number
    FROM beginnings
)
SELECT market, kind, symbol, interval, min(since) AS since, max(until) AS until FROM numbered
GROUP BY market, kind, symbol, interval, number;

-- Until when the table daily_counts has all that is stored (UTC, a midnight).
CREATE OR REPLACE MACRO counted_until() AS (SELECT coalesce(max(until), TIMESTAMP '1970-01-01') FROM counted);

-- Klines by series and day, and the open times of the first and the last of them, in one row a day or more: as they were
-- counted, and of later days as they lie.
CREATE OR REPLACE MACRO stored_days() AS TABLE
SELECT market, kind, symbol, interval, day, klines, first, last FROM daily_counts
UNION ALL
SELECT market, kind, symbol, interval, open_time::DATE, count(*), min(open_time), max(open_time) -- half the time of date_trunc
FROM klines WHERE open_time >= counted_until() GROUP BY ALL;

-- Of each series of an interval up to 1d, for each day from from_time to to_time of which anything is wanted: how many
-- slots should be there, are stored, are explained by the ledger, and (part of these) could not be there, as the symbol
-- was not listed. What nobody wants does not count. NULL stands for all markets, kinds, intervals, symbols; these are
-- names with blanks between.
CREATE OR REPLACE MACRO daily_coverage(of_market, of_kind, of_interval, of_symbols, from_time, to_time) AS TABLE
WITH series AS (
    SELECT market, kind, symbol, interval, since,
           least(until, epoch_ms(epoch_ms(to_time) // slot_length(interval) * slot_length(interval))) AS finish
    FROM promised
    WHERE (of_market IS NULL OR market = of_market) AND (of_kind IS NULL OR kind = of_kind)
      AND (of_interval IS NULL OR interval = of_interval) AND (of_symbols IS NULL OR is_among(symbol, of_symbols))
      AND slot_length(interval) <= 86400000
), days AS (
    SELECT market, kind, symbol, interval, midnight, midnight::DATE AS day, greatest(since, midnight, from_time) AS since,
           least(midnight + INTERVAL 1 DAY, finish) AS until
    FROM (SELECT *, unnest(range(date_trunc('day', greatest(since, from_time)), finish, INTERVAL 1 DAY)) AS midnight
          FROM series)
), counts AS (
    SELECT market, kind, symbol, interval, day, sum(klines) AS klines, min(first) AS first, max(last) AS last
    FROM stored_days()
    WHERE (of_market IS NULL OR market = of_market) AND (of_kind IS NULL OR kind = of_kind)
      AND (of_interval IS NULL OR interval = of_interval) AND (of_symbols IS NULL OR is_among(symbol, of_symbols))
      AND day >= from_time::DATE AND day <= to_time::DATE
    GROUP BY ALL
), held AS (
    SELECT * FROM days JOIN counts USING (market, kind, symbol, interval, day) WHERE first < until AND last >= since
), odd AS ( -- of such days klines are counted as they lie, as some may be outside of what is asked for
    SELECT market, kind, symbol, interval, since, until, day < to_time::DATE AS is_early
    FROM held WHERE first < since OR last >= until
), parts AS (
    SELECT market, kind, symbol, interval, day, klines FROM held WHERE first >= since AND last < until
    UNION ALL
    SELECT market, kind, symbol, interval, open_time::DATE, count(*) FROM klines JOIN odd USING (market, kind, symbol, interval)
    WHERE open_time >= since AND open_time < until AND NOT is_early
      AND open_time >= date_trunc('day', to_time) AND open_time < to_time GROUP BY ALL -- so that little is read
    UNION ALL
    SELECT market, kind, symbol, interval, open_time::DATE, count(*) FROM klines JOIN odd USING (market, kind, symbol, interval)
    WHERE open_time >= since AND open_time < until AND is_early
      AND open_time >= (SELECT min(since) FROM odd WHERE is_early) AND open_time < (SELECT max(until) FROM odd WHERE is_early)
    GROUP BY ALL
), stored AS (
    SELECT market, kind, symbol, interval, day, sum(klines)::BIGINT AS stored FROM parts GROUP BY ALL
), gap AS (
    SELECT * FROM gaps WHERE is_explained(reason) AND start_time < to_time AND end_time > from_time
), explained AS (
    SELECT market, kind, symbol, interval, day, sum(slots) AS explained,
           sum(slots) FILTER (reason IN ('not_listed', 'delisted')) AS not_trading
    FROM slots_within('days', 'gap') GROUP BY ALL
), wanted_slots AS (
    SELECT market, kind, symbol, interval, day,
           sum(greatest(0, slots_between(interval, midnight, until) - slots_between(interval, midnight, since))) AS slots
    FROM days GROUP BY ALL
)
SELECT market, kind, symbol, interval, day, slots::BIGINT AS expected,
       coalesce(stored, 0) AS stored, coalesce(explained, 0)::BIGINT AS explained,
       coalesce(not_trading, 0)::BIGINT AS not_trading,
       greatest(0, expected - coalesce(stored, 0) - coalesce(explained, 0))::BIGINT AS unexplained
FROM wanted_slots LEFT JOIN stored USING (market, kind, symbol, interval, day)
                  LEFT JOIN explained USING (market, kind, symbol, interval, day);

-- What every audited range of a series should have, has, and lacks, and why.
CREATE OR REPLACE VIEW certificate AS
WITH stored AS (
    SELECT market, kind, symbol, interval, since, min(open_time) AS first, max(open_time) AS last, count(*) AS stored,
           @hash@ AS hash
    FROM klines JOIN audits USING (market, kind, symbol, interval)
    WHERE open_time >= since AND open_time < until
    GROUP BY ALL
    UNION ALL
    SELECT market, kind, symbol, interval, since, min(funding_time), max(funding_time), count(*),
           bit_xor(md5_number(concat_ws(',', epoch_ms(funding_time), rate)))
    FROM funding JOIN audits USING (market, symbol)
    WHERE kind = 'funding' AND funding_time >= since AND funding_time < until
    GROUP BY ALL
), of_klines AS (
    SELECT market, kind, symbol, interval, since, until FROM audits WHERE slots IS NULL
), explained AS (
    SELECT market, kind, symbol, interval, since, sum(slots) FILTER (reason = 'exchange_outage') AS exchange_outage,
           sum(slots) FILTER (reason = 'exchange_hole') AS exchange_hole,
           sum(slots) FILTER (reason = 'not_listed') AS not_listed, sum(slots) FILTER (reason = 'delisted') AS delisted,
           sum(slots) FILTER (reason = 'rejected') AS rejected, sum(slots) FILTER (is_explained(reason)) AS explained
    FROM slots_within('of_klines', 'gaps') GROUP BY ALL
    UNION ALL -- of funding rates as the run that asked for them counted
    SELECT market, kind, symbol, interval, since, NULL, holes, NULL, NULL, refused, holes + refused FROM audits
    WHERE slots IS NOT NULL
)
SELECT market, kind, symbol, interval, since, until, first, last,
       coalesce(slots, slots_between(interval, since, until)) AS expected,
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
FROM audits LEFT JOIN stored USING (market, kind, symbol, interval, since)
            LEFT JOIN explained USING (market, kind, symbol, interval, since);

-- What exchangeInfo said of each symbol at a time: the last that was said until then. Where that is after last_seen it
-- may have changed already. The answers that tell when it was last said are those of the rows before and after.
CREATE OR REPLACE MACRO symbols_at(at_time) AS TABLE
WITH said AS (
    SELECT rules AS rule, market, first_seen, lead(first_seen) OVER changes AS next_seen,
           lead(unseen_at) OVER changes AS last_of
    FROM rules WINDOW changes AS (PARTITION BY market, symbol ORDER BY first_seen)
), answers AS (
    SELECT market, max(last_checked) AS checked FROM symbols GROUP BY market
)
SELECT unnest(rule), coalesce(last_of, checked) AS last_seen
FROM said LEFT JOIN answers USING (market)
WHERE first_seen <= at_time AND (next_seen IS NULL OR next_seen > at_time);

-- Slots that the exchange never had, per series of these intervals: in an outage, in a hole, before the listing, after
-- the delisting.
CREATE OR REPLACE MACRO never_there(intervals) AS TABLE
SELECT market, kind, symbol, interval, start_time, end_time FROM gaps
WHERE list_contains(intervals, interval) AND reason IN ('exchange_outage', 'exchange_hole', 'delisted')
UNION ALL
SELECT market, kind, symbol, interval, TIMESTAMP '1970-01-01', max(listed_at) FROM (
    SELECT market, kind, symbol, interval, end_time AS listed_at FROM gaps
    WHERE list_contains(intervals, interval) AND reason = 'not_listed'
    UNION ALL SELECT market, kind, symbol, unnest(intervals), listed_at FROM symbols WHERE listed_at IS NOT NULL)
GROUP BY ALL;

-- The klines of an interval up to 1d: those that are stored, and, where none is, those derived from the longest of the
-- `shorter` intervals that is whole. See klines/reading/derived.py, which has the same rule for any interval.
CREATE OR REPLACE MACRO klines_in(own, length, shorter) AS TABLE
WITH slot AS (
    SELECT market, kind, symbol, interval, epoch_ms(open_time) // length * length AS start_ms, count(*) AS parts,
           min(open_time) AS opened, max(close_time) AS closed, @of_parts@, any_value(source) AS source
    FROM klines WHERE interval = own OR list_contains(shorter, interval)
    GROUP BY ALL
), short AS (
    SELECT market, kind, symbol, interval, start_ms, epoch_ms(start_ms) AS since, epoch_ms(start_ms + length) AS until
    FROM slot WHERE interval != own AND parts < length // slot_length(interval)
), never AS (
    FROM never_there(shorter)
), explained AS (
    SELECT market, kind, symbol, interval, start_ms, sum(slots) AS explained FROM slots_within('short', 'never') GROUP BY ALL
)
SELECT * REPLACE (own AS interval) FROM (SELECT @columns@ FROM (
    SELECT * EXCLUDE (source), if(interval = own, opened, epoch_ms(start_ms)) AS open_time,
           if(interval = own, closed, epoch_ms(start_ms + length - 1)) AS close_time,
           if(interval = own, source, interval) AS source
    FROM slot LEFT JOIN explained USING (market, kind, symbol, interval, start_ms)
    WHERE interval = own
       OR parts + coalesce(explained, 0) = length // slot_length(interval) AND start_ms + length <= epoch_ms(now())
    QUALIFY row_number() OVER (PARTITION BY market, kind, symbol, start_ms ORDER BY slot_length(slot.interval) DESC) = 1));

CREATE OR REPLACE VIEW klines_1h AS
FROM klines_in('1h', 3600000, ['1s', '1m', '3m', '5m', '15m', '30m']);

CREATE OR REPLACE VIEW klines_1d AS
FROM klines_in('1d', 86400000, ['1s', '1m', '3m', '5m', '15m', '30m', '1h', '2h', '4h', '6h', '8h', '12h']);

-- Klines that were fetched since may be newer than those of the table ends: a day before it was written, as clocks
-- differ; all klines where nothing was written yet. DuckDB skips what was fetched before without reading it.
CREATE OR REPLACE MACRO ends_in_doubt() AS
    (SELECT coalesce(min(noted_at) - INTERVAL 1 DAY, TIMESTAMP '-infinity') FROM ends);

-- The open time of the newest kline of every series.
CREATE OR REPLACE MACRO newest() AS TABLE
SELECT market, kind, symbol, interval, max(open_time) AS open_time FROM (
    SELECT market, kind, symbol, interval, open_time FROM ends
    UNION ALL SELECT market, kind, symbol, interval, max(open_time) FROM klines WHERE fetched_at >= ends_in_doubt() GROUP BY ALL)
GROUP BY ALL;

-- The newest kline of every series: fetched since ends were noted; or noted, and restated since; or as it was noted.
CREATE OR REPLACE VIEW latest AS
WITH newest AS (FROM newest()), restated AS (
    SELECT DISTINCT market, kind, symbol, interval, open_time
    FROM restatements JOIN ends USING (market, kind, symbol, interval, open_time) WHERE seen_at >= ends_in_doubt()
)
SELECT klines.* FROM klines JOIN newest USING (market, kind, symbol, interval, open_time)
WHERE fetched_at >= ends_in_doubt()
UNION ALL
SELECT klines.* FROM klines JOIN (FROM restated SEMI JOIN newest USING (market, kind, symbol, interval, open_time))
                            USING (market, kind, symbol, interval, open_time)
WHERE fetched_at < ends_in_doubt()
  AND open_time >= (SELECT coalesce(min(open_time), TIMESTAMP 'infinity') FROM restated) -- so that little is read
UNION ALL BY NAME
SELECT * FROM (SELECT market, kind, symbol, interval, open_time, @of_texts@
               FROM ends SEMI JOIN newest USING (market, kind, symbol, interval, open_time)
                         ANTI JOIN restated USING (market, kind, symbol, interval, open_time))
WHERE fetched_at < ends_in_doubt();

-- Up to when klines should be stored at at_time, where runs collect on schedule: the last run was to store what had closed
-- before it, and a run has 45 seconds. Of several shards the one that is furthest behind counts. A schedule that is not of
-- so many seconds, or that nobody knows, leaves each kline a minute.
CREATE OR REPLACE MACRO due_until_by(at_time) AS TABLE
SELECT market, kind, interval, wanted_by, min(greatest(asked_until, coalesce(
           time_bucket(to_seconds(every_s), at_time - INTERVAL 45 SECOND, anchor), at_time - INTERVAL 1 MINUTE))) AS due_until
FROM schedules GROUP BY ALL;

-- Of several deployments that collect a series the one counts that is due first.
CREATE OR REPLACE MACRO due_until(at_time) AS TABLE
SELECT market, kind, interval, max(due_until) AS due_until FROM due_until_by(at_time) GROUP BY ALL;

-- How far each series of a table or query `reached` (market, kind, symbol, interval, last: the open time of its newest
-- kline) is at at_time: the first slot after that, how many klines that are due it lacks, and whether that is fresh (none),
-- late (closed less than 5 minutes ago), stale, or as it should be, as the symbol is not trading: what a symbol that trades
-- has not published yet is in no row of the ledger but of what is due.
CREATE OR REPLACE MACRO freshness_of(reached, at_time) AS TABLE
WITH its AS ( -- by the schedules of those who want the symbol; where that is nobody's, of all
    SELECT market, kind, symbol, interval, max(due_until) AS its_due_until
    FROM (FROM wanted WHERE until IS NULL) JOIN due_until_by(at_time) USING (market, kind, interval, wanted_by)
    GROUP BY ALL
), next AS (
    SELECT reached.*, slot_after(interval, slot_start(interval, last)) AS lacks_from,
           coalesce(its_due_until, due_until, at_time - INTERVAL 1 MINUTE) AS due_until
    FROM query_table(reached) AS reached LEFT JOIN its USING (market, kind, symbol, interval)
                                         LEFT JOIN due_until(at_time) USING (market, kind, interval)
), ended AS (
    SELECT DISTINCT market, kind, symbol, interval, true AS has_ended
    FROM next JOIN gaps USING (market, kind, symbol, interval)
    WHERE start_time <= lacks_from AND end_time > lacks_from
      AND (reason = 'delisted' AND end_time > at_time -- others are between two lives of a name
           OR reason IN ('unresolved', 'exchange_outage', 'exchange_hole')
              AND slots_between(interval, end_time, due_until) <= 0)
)
SELECT market, kind, symbol, interval, last, lacks_from,
       greatest(0, slots_between(interval, lacks_from, due_until))::BIGINT AS lacking,
       CASE WHEN slot_after(interval, lacks_from) > due_until AND has_ended IS NULL THEN 'fresh'
            WHEN has_ended THEN 'not trading'
            WHEN slot_after(interval, lacks_from) + INTERVAL 5 MINUTE >= at_time THEN 'late'
            ELSE 'stale' END AS state,
       due_until
FROM next LEFT JOIN ended USING (market, kind, symbol, interval);

-- How far every series is now that is wanted on and on.
CREATE OR REPLACE VIEW freshness AS
WITH reached_now AS (
    SELECT market, kind, symbol, interval, open_time AS last
    FROM newest() SEMI JOIN (FROM wanted WHERE until IS NULL) USING (market, kind, symbol, interval)
)
FROM freshness_of('reached_now', utc_now());
