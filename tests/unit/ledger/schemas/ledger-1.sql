-- The ledger of a daemon, schema version 1. Hashes and keys are raw bytes, wei are decimal text.
-- No table holds a secret: sealed parts stay sealed, shares are opened again when they are needed.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Where reading of the chain stands, and the hashes that tell a reorganisation.
CREATE TABLE cursor (
  one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE TABLE blocks (number INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;

-- Stores as the chain names them, and their documents as far as they were read.
CREATE TABLE versions (
  block INTEGER NOT NULL, block_hash BLOB NOT NULL, log_index INTEGER NOT NULL,
  seller TEXT NOT NULL, digest BLOB NOT NULL, root BLOB NOT NULL,
  PRIMARY KEY (block_hash, log_index)
) STRICT, WITHOUT ROWID;
CREATE INDEX versions_by_seller ON versions (seller, block, log_index);
CREATE TABLE documents (
  id INTEGER PRIMARY KEY,
  seller TEXT NOT NULL, digest BLOB NOT NULL, root BLOB NOT NULL,
  state TEXT NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'read', 'refused')),
  reason TEXT NOT NULL DEFAULT '',
  urgent INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
  parts INTEGER NOT NULL DEFAULT 0,
  pin TEXT NOT NULL DEFAULT '' CHECK (pin IN ('', 'wanted', 'held', 'refused')),
  pin_bytes INTEGER NOT NULL DEFAULT 0,
  UNIQUE (seller, digest, root)
) STRICT;
CREATE INDEX documents_by_state ON documents (state, urgent);
CREATE TABLE parts (
  document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
  item_id BLOB NOT NULL, copy INTEGER NOT NULL, idx INTEGER NOT NULL,
  parts_root BLOB NOT NULL, terms TEXT NOT NULL,
  page_key BLOB NOT NULL, sealed BLOB NOT NULL, proof BLOB NOT NULL,
  PRIMARY KEY (document, item_id, copy, idx)
) STRICT, WITHOUT ROWID;
CREATE INDEX parts_by_root ON parts (parts_root, copy);
CREATE INDEX parts_by_bytes ON parts (sealed);
CREATE TABLE refusals (
  document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
  item_id BLOB NOT NULL, copy INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
  PRIMARY KEY (document, item_id, copy, reason)
) STRICT, WITHOUT ROWID;

-- Sales as the chain tells them.
CREATE TABLE purchases (
  id INTEGER PRIMARY KEY,
  block INTEGER NOT NULL, block_hash BLOB NOT NULL, log_index INTEGER NOT NULL,
  tx_hash BLOB NOT NULL, timestamp INTEGER NOT NULL,
  copy_id BLOB NOT NULL, seller TEXT NOT NULL, buyer TEXT NOT NULL, store_digest BLOB NOT NULL,
  copy INTEGER NOT NULL, terms TEXT NOT NULL, keys BLOB NOT NULL,
  deadline INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'new'
    CHECK (state IN ('new', 'waiting', 'serving', 'done', 'not-mine', 'refused', 'late')),
  reason TEXT NOT NULL DEFAULT '',
  orphaned INTEGER NOT NULL DEFAULT 0,
  UNIQUE (block_hash, log_index)
) STRICT;
CREATE INDEX purchases_by_state ON purchases (state, orphaned);
CREATE INDEX purchases_by_copy ON purchases (copy_id);
CREATE TABLE delivered (
  block INTEGER NOT NULL, block_hash BLOB NOT NULL, log_index INTEGER NOT NULL,
  copy_id BLOB NOT NULL, idx INTEGER NOT NULL, deliverer TEXT NOT NULL, supplied INTEGER NOT NULL,
  PRIMARY KEY (block_hash, log_index)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivered_by_copy ON delivered (copy_id, idx);
-- What else happened to a sale: 'disputed', 'settled', 'refunded', 'resolved'.
CREATE TABLE turns (
  block INTEGER NOT NULL, block_hash BLOB NOT NULL, log_index INTEGER NOT NULL,
  copy_id BLOB NOT NULL, kind TEXT NOT NULL,
  PRIMARY KEY (block_hash, log_index)
) STRICT, WITHOUT ROWID;
CREATE INDEX turns_by_copy ON turns (copy_id);

-- Who a part was ever sealed to. The index is the one-buyer rule: the database itself refuses.
CREATE TABLE sealed (
  seller TEXT NOT NULL, item_id BLOB NOT NULL, copy INTEGER NOT NULL, idx INTEGER NOT NULL,
  purchase INTEGER NOT NULL REFERENCES purchases, buyer_key BLOB NOT NULL, fragment BLOB NOT NULL,
  orphaned INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (purchase, idx)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX one_buyer ON sealed (seller, item_id, copy, idx) WHERE orphaned = 0;

-- Outbox: what is to be sent. A job is live while a transaction of ours carries it.
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY,
  purchase INTEGER NOT NULL REFERENCES purchases, copy_id BLOB NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('deliver', 'supply', 'settle')),
  idx INTEGER NOT NULL, body TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'due'
    CHECK (state IN ('due', 'live', 'done', 'failed', 'cancelled')),
  reason TEXT NOT NULL DEFAULT '',
  not_before INTEGER NOT NULL, deadline INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
  slot INTEGER REFERENCES slots,
  UNIQUE (purchase, kind, idx)
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, not_before);
CREATE INDEX jobs_by_slot ON jobs (slot);
-- Never two live transactions for one part.
CREATE UNIQUE INDEX one_live ON jobs (copy_id, kind, idx) WHERE state = 'live';
-- A slot is a nonce of ours; its attempts are the transactions signed for it.
CREATE TABLE slots (
  id INTEGER PRIMARY KEY, nonce INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'mined', 'lost', 'abandoned')),
  block INTEGER NOT NULL DEFAULT -1, status INTEGER NOT NULL DEFAULT -1,
  hash BLOB NOT NULL DEFAULT x'', cost TEXT NOT NULL DEFAULT '0'
) STRICT;
CREATE UNIQUE INDEX one_nonce ON slots (nonce) WHERE state = 'live';
CREATE TABLE attempts (
  id INTEGER PRIMARY KEY, slot INTEGER NOT NULL REFERENCES slots,
  hash BLOB NOT NULL UNIQUE, raw BLOB NOT NULL, receiver TEXT NOT NULL, data BLOB NOT NULL,
  gas INTEGER NOT NULL, max_fee TEXT NOT NULL, tip TEXT NOT NULL,
  block INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX attempts_by_slot ON attempts (slot);

-- What an operator should know: refusals, failures, reorganisations. Bounded.
CREATE TABLE journal (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, event TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
