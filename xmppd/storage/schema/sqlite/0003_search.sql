-- Up to where the search index has read an archive (XEP-0431); nothing of accounts without a row. The index itself
-- can be made again from the archive at any time, so it is none of the schema: search_index.py makes it.
CREATE TABLE search_position (
    account INTEGER PRIMARY KEY REFERENCES account (id),
    seq INTEGER NOT NULL                        -- history up to here is in the index
);
