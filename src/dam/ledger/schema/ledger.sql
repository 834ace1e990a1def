-- The ledger of a daemon, schema version 1. Hashes and keys are raw bytes, wei are decimal text,
-- times are seconds of the chain. No table holds a secret: sealed parts stay sealed, shares are
-- opened again when they are needed. `block` is a log's own block, which orders events; on some
-- rollups the contract counts others, which the fallback goes by.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Where reading of the chain stands, and the hashes that tell a reorganisation.
CREATE TABLE cursor (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  number INTEGER NOT NULL, hash BLOB NOT NULL, time INTEGER NOT NULL
) STRICT;
CREATE TABLE blocks (number INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;

-- Stores as the chain names them, and their documents as far as they were read.
CREATE TABLE store_versions (
  block INTEGER NOT NULL, block_hash BLOB NOT NULL, log_index INTEGER NOT NULL,
  seller TEXT NOT NULL, digest BLOB NOT NULL, root BLOB NOT NULL,
  PRIMARY KEY (block, log_index, block_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX store_versions_by_seller ON store_versions (seller, block, log_index);
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
  item_id BLOB NOT NULL, copy INTEGER NOT NULL, part_index INTEGER NOT NULL,
  parts_root BLOB NOT NULL, terms TEXT NOT NULL,
  page_key BLOB NOT NULL, sealed BLOB NOT NULL, proof BLOB NOT NULL,
  PRIMARY KEY (document, item_id, copy, part_index)
) STRICT, WITHOUT ROWID;
CREATE INDEX parts_by_root ON parts (parts_root, copy);
CREATE INDEX parts_by_bytes ON parts (sealed);
CREATE TABLE part_refusals (
  document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
  item_id BLOB NOT NULL, copy INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
  PRIMARY KEY (document, item_id, copy, reason)
) STRICT, WITHOUT ROWID;

-- Sales as the chain tells them.
CREATE TABLE purchases (
  id INTEGER PRIMARY KEY,
  block INTEGER NOT NULL, block_hash BLOB NOT NULL, log_index INTEGER NOT NULL,
  tx_hash BLOB NOT NULL,
  copy_id BLOB NOT NULL, seller TEXT NOT NULL, buyer TEXT NOT NULL, store_digest BLOB NOT NULL,
  copy INTEGER NOT NULL, purchase_block INTEGER NOT NULL, purchase_time INTEGER NOT NULL,
  terms TEXT NOT NULL, keys BLOB NOT NULL,
  last_time INTEGER NOT NULL, -- in which a delivery of ours counts
  state TEXT NOT NULL DEFAULT 'new'
    CHECK (state IN ('new', 'waiting', 'serving', 'done', 'not-mine', 'refused', 'late')),
  reason TEXT NOT NULL DEFAULT '',
  orphaned INTEGER NOT NULL DEFAULT 0,
  UNIQUE (block, log_index, block_hash)
) STRICT;
CREATE INDEX purchases_by_state ON purchases (state, orphaned);
CREATE INDEX purchases_by_copy ON purchases (copy_id);
CREATE TABLE deliveries (
  block INTEGER NOT NULL, block_hash BLOB NOT NULL, log_index INTEGER NOT NULL,
  copy_id BLOB NOT NULL, part_index INTEGER NOT NULL, delivered_by TEXT NOT NULL,
  supplied INTEGER NOT NULL,
  PRIMARY KEY (block, log_index, block_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_copy ON deliveries (copy_id, part_index);
-- What else happened to a sale: 'disputed', 'settled', 'refunded', 'resolved', 'agreed'.
CREATE TABLE sale_events (
  block INTEGER NOT NULL, block_hash BLOB NOT NULL, log_index INTEGER NOT NULL,
  copy_id BLOB NOT NULL, kind TEXT NOT NULL,
  PRIMARY KEY (block, log_index, block_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX sale_events_by_copy ON sale_events (copy_id);
-- Parts that were proved to be junk. `cleared`: the part is missing again.
CREATE TABLE junk_proofs (
  block INTEGER NOT NULL, block_hash BLOB NOT NULL, log_index INTEGER NOT NULL,
  copy_id BLOB NOT NULL, part_index INTEGER NOT NULL, deliverer TEXT NOT NULL,
  fresh_key BLOB NOT NULL, cleared INTEGER NOT NULL,
  PRIMARY KEY (block, log_index, block_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX junk_proofs_by_copy ON junk_proofs (copy_id, part_index);

-- Whose key a part was ever sealed to. The index is the one-buyer rule: the database itself refuses.
CREATE TABLE seals (
  seller TEXT NOT NULL, item_id BLOB NOT NULL, copy INTEGER NOT NULL, part_index INTEGER NOT NULL,
  purchase INTEGER NOT NULL REFERENCES purchases, buyer_key BLOB NOT NULL, fragment BLOB NOT NULL,
  orphaned INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (purchase, part_index)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX one_buyer ON seals (seller, item_id, copy, part_index) WHERE orphaned = 0;
-- What is left of a seal once its sale is archived, or its ledger was lost: never forgotten.
-- The fragment is there as long as it may have to be sent again.
CREATE TABLE archived_seals (
  copy_id BLOB NOT NULL, part_index INTEGER NOT NULL, buyer_key BLOB NOT NULL,
  fragment BLOB NOT NULL,
  PRIMARY KEY (copy_id, part_index)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER one_buyer_for_good BEFORE INSERT ON seals WHEN EXISTS (
  SELECT 1 FROM purchases JOIN archived_seals AS old ON old.copy_id = purchases.copy_id
  WHERE purchases.id = NEW.purchase AND old.part_index = NEW.part_index
  AND old.buyer_key <> NEW.buyer_key
) BEGIN SELECT RAISE(ABORT, 'the part is sealed to another buyer'); END;

-- Outbox: what is to be sent. A job is live while a transaction of ours carries it. 'replace' is a
-- delivery after the first part of its index was proved to be junk; 'close' is a settlement.
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY,
  purchase INTEGER NOT NULL REFERENCES purchases, copy_id BLOB NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('deliver', 'replace', 'supply', 'close')),
  part_index INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'due'
    CHECK (state IN ('due', 'live', 'done', 'failed', 'cancelled')),
  reason TEXT NOT NULL DEFAULT '',
  first_block INTEGER NOT NULL, -- as the contract counts; 0 but for a fallback
  first_time INTEGER NOT NULL, last_time INTEGER NOT NULL,
  retry_block INTEGER NOT NULL DEFAULT 0, -- of the node: not to be tried again before it
  tries INTEGER NOT NULL DEFAULT 0,
  nonce_slot INTEGER REFERENCES nonce_slots,
  UNIQUE (purchase, kind, part_index)
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, retry_block);
CREATE INDEX jobs_by_slot ON jobs (nonce_slot) WHERE nonce_slot IS NOT NULL;
-- What a job delivers or supplies, as calldata. Apart from it, for a job changes and this does not.
-- Its id is purchase * 128 + part_index * 4 + 0 (deliver), 1 (replace) or 2 (supply).
CREATE TABLE packed_deliveries (id INTEGER PRIMARY KEY, delivery BLOB NOT NULL) STRICT;
CREATE TRIGGER packed_delivery_goes AFTER DELETE ON jobs BEGIN
  DELETE FROM packed_deliveries WHERE id = OLD.purchase * 128 + OLD.part_index * 4
    + (OLD.kind = 'replace') + 2 * (OLD.kind = 'supply');
END;
-- Never two live transactions for one part.
CREATE UNIQUE INDEX one_live ON jobs (copy_id, kind, part_index) WHERE state = 'live';
-- A slot is a nonce of the account that sends; its attempts are the transactions signed for it.
CREATE TABLE nonce_slots (
  id INTEGER PRIMARY KEY, nonce INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'mined', 'lost', 'abandoned')),
  mined_block INTEGER NOT NULL DEFAULT -1, receipt_status INTEGER NOT NULL DEFAULT -1,
  mined_hash BLOB NOT NULL DEFAULT x'', cost_wei TEXT NOT NULL DEFAULT '0',
  -- How much of the cost a rollup took for the data.
  data_cost_wei TEXT NOT NULL DEFAULT '0'
) STRICT;
CREATE UNIQUE INDEX one_nonce ON nonce_slots (nonce) WHERE state = 'live';
CREATE INDEX slots_by_nonce ON nonce_slots (nonce);
CREATE TABLE attempts (
  id INTEGER PRIMARY KEY, nonce_slot INTEGER NOT NULL REFERENCES nonce_slots,
  hash BLOB NOT NULL UNIQUE, raw BLOB NOT NULL, recipient TEXT NOT NULL,
  gas INTEGER NOT NULL, max_fee_wei TEXT NOT NULL, tip_wei TEXT NOT NULL,
  head INTEGER NOT NULL, -- when it was signed
  sent INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX attempts_by_slot ON attempts (nonce_slot);

-- What an operator should know: refusals, failures, reorganisations. Bounded.
CREATE TABLE journal (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, event TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;

-- Sums over what is archived, so that nothing falls when rows go: wei and counts, decimal text.
CREATE TABLE archived_totals (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
