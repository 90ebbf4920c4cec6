-- What the whole database has once: its schema version, and secrets that the server makes on its first start.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- One row an account, kept in memory by the server. A removed account keeps its row, and so its name, until the
-- operator releases it: nobody else is to receive what is meant for the former owner.
CREATE TABLE account (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- never given out twice: archive ids are made of it
    domain TEXT NOT NULL,
    name TEXT NOT NULL,                         -- the local part, as RFC 7622 normalises it
    state TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'removed')),
    created BIGINT NOT NULL,                    -- seconds since 1970
    cursor BIGINT NOT NULL DEFAULT 0,           -- low-water mark: every archive row to deliver up to it is confirmed
    confirmed BYTEA NOT NULL DEFAULT '',        -- the few confirmed rows above the mark (marks.py encodes them)
    UNIQUE (domain, name)
);

-- What SCRAM needs to check a password (RFC 5802), never the password; one row a hash function.
CREATE TABLE credential (
    account BIGINT NOT NULL REFERENCES account (id),
    hash TEXT NOT NULL,                         -- as in the name of the mechanism: SHA-1, SHA-256, SHA-512
    salt BYTEA NOT NULL,
    iterations BIGINT NOT NULL,
    stored_key BYTEA NOT NULL,
    server_key BYTEA NOT NULL,
    PRIMARY KEY (account, hash)
);

-- The version of an account's roster (RFC 6121 section 2.6), counted up with every change.
CREATE TABLE roster (
    account BIGINT PRIMARY KEY REFERENCES account (id),
    version BIGINT NOT NULL,
    floor BIGINT NOT NULL DEFAULT 0             -- older than this, what was removed since is no longer known
);

CREATE TABLE roster_item (
    account BIGINT NOT NULL REFERENCES account (id),
    jid TEXT NOT NULL,                          -- bare JID of the contact
    name TEXT NOT NULL,                         -- empty: none
    groups TEXT NOT NULL,                       -- JSON list, in the order of the client
    subscription TEXT NOT NULL CHECK (subscription IN ('none', 'to', 'from', 'both')),
    ask SMALLINT NOT NULL,                      -- 1: our request is not answered yet
    approved SMALLINT NOT NULL,                 -- 1: the contact's request will be granted without asking
    version BIGINT NOT NULL,                    -- of the roster, at the last change of this item
    removed SMALLINT NOT NULL,                  -- 1: a tombstone that tells older versions of the removal
    PRIMARY KEY (account, jid)
);

CREATE INDEX roster_item_version ON roster_item (account, version);

-- Requests of others for the account's presence that it has not answered; delivered again with each login.
CREATE TABLE roster_request (
    account BIGINT NOT NULL REFERENCES account (id),
    jid TEXT NOT NULL,                          -- bare JID of who asks
    stanza BYTEA NOT NULL,                      -- the whole <presence type='subscribe'/>
    PRIMARY KEY (account, jid)
);

-- The message archive: one row a message and owner, in order of reception. Offline messages, replay and resumption
-- are positions in it.
-- The owner is no foreign key: it would be looked up for each row.
CREATE TABLE archive (
    account BIGINT NOT NULL,                    -- the owner
    seq BIGINT NOT NULL,                        -- time of reception in microseconds since 1970, made unique
    peer TEXT NOT NULL,                         -- bare JID of the other side
    resource TEXT NOT NULL,                     -- of the other side; empty: none
    own_resource TEXT NOT NULL,                 -- of the owner: who sent it, or whom it was addressed to; empty: none
    outgoing SMALLINT NOT NULL,                 -- 1: sent by the owner
    history SMALLINT NOT NULL,                  -- 1: part of what archive queries show (XEP-0313)
    deliver SMALLINT NOT NULL,                  -- 1: to be delivered until it is confirmed (RFC 6121 section 8)
    kind SMALLINT NOT NULL,                     -- bits: 1 groupchat, 2 encrypted, 4 tombstone
    stanza BYTEA NOT NULL,                      -- a complete <message xmlns='jabber:client'>
    PRIMARY KEY (account, seq)
);

CREATE INDEX archive_peer ON archive (account, peer, seq);

-- Sessions of stream management (XEP-0198) that can be resumed after a restart, and the last count of ended ones.
CREATE TABLE session (
    account BIGINT NOT NULL REFERENCES account (id),
    token TEXT NOT NULL,                        -- the id that the client resumes with
    handled BIGINT NOT NULL,                    -- h: stanzas of the client that were handled
    expires BIGINT NOT NULL,                    -- seconds since 1970
    payload BYTEA,                              -- the session; NULL once it is taken up again or has ended
    PRIMARY KEY (account, token)
);

CREATE INDEX session_expires ON session (expires);

-- Whom an account has blocked (XEP-0191): bare or full JIDs, domains.
CREATE TABLE block (
    account BIGINT NOT NULL REFERENCES account (id),
    jid TEXT NOT NULL,
    PRIMARY KEY (account, jid)
);

-- What an account wants to be archived (XEP-0441). No row: the default of the configuration.
CREATE TABLE archive_preference (
    account BIGINT PRIMARY KEY REFERENCES account (id),
    fallback TEXT NOT NULL CHECK (fallback IN ('always', 'never', 'roster')),
    always TEXT NOT NULL,                       -- JSON list of JIDs
    never TEXT NOT NULL                         -- JSON list of JIDs
);

-- Pieces of XML that clients keep at the server (XEP-0049, vCards), by name.
CREATE TABLE private (
    account BIGINT NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,                         -- who uses it and for what: '{namespace}element'
    content BYTEA NOT NULL,
    PRIMARY KEY (account, name)
);
