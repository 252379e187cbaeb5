-- When runs collect what, so that a kline is late when it should be there, not when the minute turns.
CREATE TABLE schedules (                       -- of deployments of collect, as their runs have seen them
    market      VARCHAR NOT NULL,
    kind        VARCHAR NOT NULL,
    interval    VARCHAR NOT NULL,
    shard       VARCHAR NOT NULL,              -- 3/10; '': all symbols
    every_s     INTEGER,                       -- seconds; NULL: its times are no such series, as those of a cron
    anchor      TIMESTAMP,                     -- UTC, one of its times
    asked_until TIMESTAMP NOT NULL,            -- UTC, the last run was to store what had closed up to then
    noted_at    TIMESTAMP NOT NULL             -- UTC, when the schedule was last asked for
);
