-- Views and macros are applied apart, whenever their text has changed: which text a file has.
ALTER TABLE schema_version ADD COLUMN views VARCHAR; -- SHA-256 of the text
