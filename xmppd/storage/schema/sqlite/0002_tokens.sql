-- Tokens that clients log in with instead of a password (XEP-0484): for each client the one in use, and the newer one
-- that it has been given and not used yet. All of an account go when its password changes.
CREATE TABLE token (
    account INTEGER NOT NULL REFERENCES account (id),
    client TEXT NOT NULL,                       -- what the client calls itself (XEP-0388: user-agent)
    used INTEGER NOT NULL,                      -- 1: the one in use; 0: not used yet
    mechanism TEXT NOT NULL,                    -- the only one that it is good for
    key BLOB NOT NULL,                          -- SHA-256 of the token
    issued INTEGER NOT NULL,                    -- seconds since 1970
    expires INTEGER NOT NULL,                   -- seconds since 1970
    PRIMARY KEY (account, client, used)
) WITHOUT ROWID;

CREATE INDEX token_expires ON token (expires);
