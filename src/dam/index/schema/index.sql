-- The index of one market: what its logs and store documents add up to, as far as lists and
-- searches need it. Everything here can be made again from the chain and the block store, and a file
-- of another schema is: it is never migrated.
--
-- A place is block << 24 | index of the log, so that what a reorganisation takes away are the rows
-- from a place on. Amounts are hex of a fixed width, so that their order is that of the numbers.

CREATE TABLE identity (
  chain_id INTEGER NOT NULL,
  market TEXT NOT NULL,
  first_block INTEGER NOT NULL,
  code_hash BLOB NOT NULL,
  document_version INTEGER NOT NULL
) STRICT;

-- Ends of the ranges that were read, and blocks with logs: the newest is the cursor.
CREATE TABLE blocks (number INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;

CREATE TABLE accounts (id INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE terms (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;

-- An item of a seller's under whatever terms, from its first sale or document on.
CREATE TABLE listings (
  id INTEGER PRIMARY KEY,
  seller INTEGER NOT NULL,
  item_id BLOB NOT NULL,
  -- Place of the store's version in which it was seen first.
  since INTEGER,
  UNIQUE (seller, item_id)
) STRICT;

CREATE TABLE sales (
  place INTEGER PRIMARY KEY,
  copy_id BLOB NOT NULL UNIQUE,
  tx_hash BLOB NOT NULL,
  listing INTEGER NOT NULL,
  buyer INTEGER NOT NULL,
  digest BLOB NOT NULL,
  copy INTEGER NOT NULL,
  purchase_block INTEGER NOT NULL,
  purchase_time INTEGER NOT NULL,
  terms INTEGER NOT NULL,
  keys BLOB NOT NULL,
  -- What the events below add up to.
  status INTEGER NOT NULL DEFAULT 1,
  outcome TEXT NOT NULL DEFAULT '',
  bound TEXT NOT NULL DEFAULT '',
  stars INTEGER,
  weight TEXT NOT NULL DEFAULT '',
  arbiter INTEGER
) STRICT;
CREATE INDEX sales_by_listing ON sales (listing, copy);
CREATE INDEX sales_by_arbiter ON sales (arbiter) WHERE arbiter IS NOT NULL;

-- What happened to a sale after its purchase.
CREATE TABLE events (
  place INTEGER PRIMARY KEY,
  sale INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  part INTEGER NOT NULL,
  who INTEGER NOT NULL,
  -- Of a delivery: whether it was the first of its part, which is paid.
  paid INTEGER NOT NULL,
  data TEXT
) STRICT;
CREATE INDEX events_by_sale ON events (sale);

CREATE TABLE store_versions (
  place INTEGER PRIMARY KEY,
  seller INTEGER NOT NULL,
  digest BLOB NOT NULL,
  root BLOB NOT NULL
) STRICT;
CREATE INDEX store_versions_by_seller ON store_versions (seller);

-- Logs of deliverers, and proofs of junk: few enough to be replayed.
CREATE TABLE logs (
  place INTEGER PRIMARY KEY, name TEXT NOT NULL, tx_hash BLOB NOT NULL, data TEXT NOT NULL
) STRICT;

-- Sellers of whom something changed that `stores` has not yet.
CREATE TABLE dirty (seller INTEGER PRIMARY KEY) STRICT;

-- Each seller's store as it is now, and what is known of the seller.
CREATE TABLE stores (
  seller INTEGER PRIMARY KEY,
  digest BLOB NOT NULL,
  root BLOB NOT NULL,
  since INTEGER NOT NULL,
  free TEXT NOT NULL,
  bound TEXT NOT NULL,
  record TEXT NOT NULL,
  grade INTEGER NOT NULL,
  -- The mean rating in tenths of a star; -1: none.
  tenths INTEGER NOT NULL DEFAULT -1,
  -- Of its document: the digest that was read last, or why it could not be, and when to try again.
  document BLOB,
  name TEXT NOT NULL DEFAULT '',
  hidden INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  tries INTEGER NOT NULL DEFAULT 0,
  next_try REAL
) STRICT;

CREATE TABLE items (
  listing INTEGER PRIMARY KEY,
  seller INTEGER NOT NULL,
  -- Where it stands among all items: see `dam.index.stores`.
  rank INTEGER NOT NULL UNIQUE,
  slot INTEGER NOT NULL,
  name TEXT NOT NULL,
  title TEXT NOT NULL,
  terms INTEGER NOT NULL,
  token TEXT NOT NULL,
  price TEXT NOT NULL,
  reserve TEXT NOT NULL,
  summary TEXT NOT NULL,
  -- As JSON: ["...", ...].
  tags TEXT NOT NULL,
  -- Ranges of copies, as JSON: [[first, last], ...].
  withdrawn TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX items_by_seller ON items (seller);

-- rowid: the item's rank, so that the first matches are the best.
CREATE VIRTUAL TABLE words USING fts5 (body, prefix = '3', tokenize = 'unicode61');
