-- Several deployments can collect one series, each by a schedule of its own: whose it is, as in the table wanted.
ALTER TABLE schedules ADD COLUMN wanted_by VARCHAR DEFAULT ''; -- the deployment; '': it was noted before
