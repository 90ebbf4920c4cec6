-- Tokens that clients log in with instead of a password (XEP-0484): for each client the one in use, and the newer one
-- that it has been given and not used yet. All of an account go when its password changes.
CREATE TABLE token (
    account BIGINT NOT NULL REFERENCES account (id),
    client TEXT NOT NULL,                       -- what the client calls itself (XEP-0388: user-agent)
    used SMALLINT NOT NULL,                     -- 1: the one in use; 0: not used yet
    mechanism TEXT NOT NULL,                    -- the only one that it is good for
    key BYTEA NOT NULL,                         -- SHA-256 of the token
    issued BIGINT NOT NULL,                     -- seconds since 1970
    expires BIGINT NOT NULL,                    -- seconds since 1970
    PRIMARY KEY (account, client, used)
);

CREATE INDEX token_expires ON token (expires);
