-- A series is of a kind: klines of trades, or of another price. What a kind does not publish is NULL.
ALTER TABLE klines ADD COLUMN kind VARCHAR DEFAULT 'klines';       -- klines, mark, index, premium, continuous
ALTER TABLE klines ALTER COLUMN volume DROP NOT NULL;
ALTER TABLE klines ALTER COLUMN quote_volume DROP NOT NULL;
ALTER TABLE klines ALTER COLUMN trades DROP NOT NULL;
ALTER TABLE klines ALTER COLUMN taker_buy_volume DROP NOT NULL;
ALTER TABLE klines ALTER COLUMN taker_buy_quote_volume DROP NOT NULL;
ALTER TABLE gaps ADD COLUMN kind VARCHAR DEFAULT 'klines';         -- as of klines, so the others
ALTER TABLE rejects ADD COLUMN kind VARCHAR DEFAULT 'klines';
ALTER TABLE restatements ADD COLUMN kind VARCHAR DEFAULT 'klines';
ALTER TABLE audits ADD COLUMN kind VARCHAR DEFAULT 'klines';
ALTER TABLE ends ADD COLUMN kind VARCHAR DEFAULT 'klines';
ALTER TABLE doubtful ADD COLUMN kind VARCHAR DEFAULT 'klines';
ALTER TABLE symbols ADD COLUMN kind VARCHAR DEFAULT 'klines';      -- of whose klines a row tells
