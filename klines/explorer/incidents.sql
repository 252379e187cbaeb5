-- Incidents that go on, or ended since $since, the newest first.
-- $since: epoch ms
SELECT market, kind, intervals, symbols, epoch_ms(began_at) AS began_ms, epoch_ms(ended_at) AS ended_ms, runs, loud, message
FROM incidents
WHERE ended_at IS NULL OR ended_at >= epoch_ms($since::BIGINT)
ORDER BY began_at DESC
LIMIT 200
