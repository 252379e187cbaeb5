-- How far each symbol is now.
SELECT symbol, state, lacking, last, lacks_from FROM freshness
WHERE market = $market AND kind = $kind AND interval = $interval
ORDER BY lacking DESC, symbol
