-- A ban is of an address that requests leave by.
ALTER TABLE bans ADD COLUMN egress VARCHAR DEFAULT ''; -- KLINES_EGRESS; empty: it was not set
