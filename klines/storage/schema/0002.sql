-- What audits looked at.
CREATE TABLE audits (                          -- what an audit looked at, per series; see the view `certificate`
    market     VARCHAR NOT NULL,
    symbol     VARCHAR NOT NULL,
    interval   VARCHAR NOT NULL,
    since      TIMESTAMP NOT NULL,             -- the first slot that should be there
    until      TIMESTAMP NOT NULL,             -- after the last one
    audited_at TIMESTAMP NOT NULL
);
