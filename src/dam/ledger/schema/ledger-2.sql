-- Version 1 to 2. Events are kept in the order of the chain, so that ranges of blocks are found by
-- their key; what is long over can be archived (`spent`, `totals`). Runs in one transaction.

CREATE TABLE versions_2 (
  block INTEGER NOT NULL, block_hash BLOB NOT NULL, log_index INTEGER NOT NULL,
  seller TEXT NOT NULL, digest BLOB NOT NULL, root BLOB NOT NULL,
  PRIMARY KEY (block, log_index, block_hash)
) STRICT, WITHOUT ROWID;
INSERT INTO versions_2 SELECT * FROM versions;
DROP TABLE versions;
ALTER TABLE versions_2 RENAME TO versions;
CREATE INDEX versions_by_seller ON versions (seller, block, log_index);

CREATE TABLE delivered_2 (
  block INTEGER NOT NULL, block_hash BLOB NOT NULL, log_index INTEGER NOT NULL,
  copy_id BLOB NOT NULL, idx INTEGER NOT NULL, deliverer TEXT NOT NULL, supplied INTEGER NOT NULL,
  PRIMARY KEY (block, log_index, block_hash)
) STRICT, WITHOUT ROWID;
INSERT INTO delivered_2 SELECT * FROM delivered;
DROP TABLE delivered;
ALTER TABLE delivered_2 RENAME TO delivered;
CREATE INDEX delivered_by_copy ON delivered (copy_id, idx);

CREATE TABLE turns_2 (
  block INTEGER NOT NULL, block_hash BLOB NOT NULL, log_index INTEGER NOT NULL,
  copy_id BLOB NOT NULL, kind TEXT NOT NULL,
  PRIMARY KEY (block, log_index, block_hash)
) STRICT, WITHOUT ROWID;
INSERT INTO turns_2 SELECT * FROM turns;
DROP TABLE turns;
ALTER TABLE turns_2 RENAME TO turns;
CREATE INDEX turns_by_copy ON turns (copy_id);

CREATE TABLE purchases_2 (
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
  UNIQUE (block, log_index, block_hash)
) STRICT;
INSERT INTO purchases_2 SELECT * FROM purchases;
DROP TABLE purchases;
ALTER TABLE purchases_2 RENAME TO purchases;
CREATE INDEX purchases_by_state ON purchases (state, orphaned);
CREATE INDEX purchases_by_copy ON purchases (copy_id);

CREATE TABLE spent (
  copy_id BLOB NOT NULL, idx INTEGER NOT NULL, buyer_key BLOB NOT NULL, fragment BLOB NOT NULL,
  PRIMARY KEY (copy_id, idx)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER one_buyer_for_good BEFORE INSERT ON sealed WHEN EXISTS (
  SELECT 1 FROM purchases JOIN spent ON spent.copy_id = purchases.copy_id
  WHERE purchases.id = NEW.purchase AND spent.idx = NEW.idx AND spent.buyer_key <> NEW.buyer_key
) BEGIN SELECT RAISE(ABORT, 'the part is sealed to another buyer'); END;

CREATE INDEX slots_by_nonce ON slots (nonce);
CREATE TABLE totals (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

DROP INDEX jobs_by_slot;
CREATE INDEX jobs_by_slot ON jobs (slot) WHERE slot IS NOT NULL;
-- What a job delivers or supplies, as calldata. Apart from it, for a job changes and this does not.
-- Its id is purchase * 64 + idx * 2 + (kind = 'supply').
CREATE TABLE bodies (id INTEGER PRIMARY KEY, packed BLOB NOT NULL) STRICT;
CREATE TRIGGER body_goes AFTER DELETE ON jobs BEGIN
  DELETE FROM bodies WHERE id = OLD.purchase * 64 + OLD.idx * 2 + (OLD.kind = 'supply');
END;
