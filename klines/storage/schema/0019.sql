-- Funding rates have no grid: how many of a symbol there should be, and are not for which reason, is noted by the run
-- that counts them.
ALTER TABLE audits ADD COLUMN slots BIGINT;   -- of funding rates: how many there should be; NULL: what is between the times
ALTER TABLE audits ADD COLUMN holes BIGINT;   -- of these not stored, as the exchange has none
ALTER TABLE audits ADD COLUMN refused BIGINT; -- and as the checks refused what it sent
