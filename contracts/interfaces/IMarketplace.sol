// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IProofs} from "./IProofs.sol";

/// @notice What an item is sold for: one leaf of the store's catalogue tree.
/// @dev The leaf is keccak256(keccak256(abi.encode(terms))), as in OpenZeppelin's
/// StandardMerkleTree.
struct Terms {
    /// keccak256 of the UTF-8 bytes of the item's id.
    bytes32 itemId;
    /// Currency of the price; zero is the native coin.
    address token;
    /// Price of one copy, in the smallest unit of `token`.
    uint128 price;
    /// What all deliverers of one copy earn together, in wei; each part earns commission / parts,
    /// rounded down, and the rest of that division is never taken from anybody.
    uint128 commission;
    /// What the buyer receives of the seller's stake for a good that never arrives, in wei.
    uint128 penalty;
    /// What a dispute costs its loser, in wei; counts as 0 where `arbitrator` is zero.
    uint128 bond;
    /// Number of copies for sale: a sale's copy is below it.
    uint64 supply;
    /// True: each copy has parts of its own. False: all copies share the parts of copy 0.
    bool stock;
    /// Number of parts n of one copy, 1 to 32.
    uint8 parts;
    /// Number of parts k that rebuild the content key, 1 to n.
    uint8 threshold;
    /// Who rules on disputes; zero for nobody. Neither the seller nor the buyer.
    address arbitrator;
    /// Root of the tree over the item's part leaves.
    bytes32 partsRoot;
    /// Zero in a listed offer. In a sealed one its lower 64 bits are the one copy that it is for,
    /// and its upper 192 are random, so that nobody guesses the leaf.
    bytes32 salt;
}

/// @notice What a delivery needs to know of a sale. Every later call brings it along.
/// @dev The first 192 bits of keccak256(abi.encode(sale)) are kept in the sale's storage word.
struct Sale {
    address seller;
    address buyer;
    /// `block.number` of the purchase, as the contract saw it.
    uint64 purchaseBlock;
    /// `block.timestamp` of the purchase, in seconds.
    uint64 purchaseTime;
    uint64 copy;
    bool stock;
    uint8 parts;
    uint8 threshold;
    /// What one delivered part earns, in wei.
    uint128 fee;
    bytes32 partsRoot;
    /// keccak256(abi.encode(escrow)).
    bytes32 escrowHash;
}

/// @notice What closing a sale needs beyond `Sale`.
struct Escrow {
    /// SHA-256 digest in the CID of the store document that the buyer read.
    bytes32 storeDigest;
    /// keccak256 of the buyer's one-time X25519 keys, concatenated in the order of the parts.
    bytes32 keysHash;
    address token;
    /// What the buyer paid, in the smallest unit of `token`.
    uint128 price;
    /// In wei.
    uint128 penalty;
    /// In wei; 0 where `arbitrator` is zero.
    uint128 bond;
    address arbitrator;
}

/// @notice One part of one sale, opened against its leaf.
/// @dev The leaf is keccak256(keccak256(abi.encode(copy, index, deliverer, commitment, secretHash,
/// salt))) where copy is the sale's copy, or 0 where all copies share their parts.
struct Delivery {
    bytes32 copyId;
    Sale sale;
    /// 0 to n - 1. The share is the value at x = index + 1.
    uint8 index;
    /// The deliverer whom the leaf names.
    address deliverer;
    /// keccak256 of the 32-byte share.
    bytes32 commitment;
    /// keccak256 of the 32-byte content key.
    bytes32 secretHash;
    bytes32 salt;
    /// Zero: the fragment is sealed to the buyer's first key of this index. Otherwise the sale's
    /// fresh key, which a proof of junk named, for an index that was punished.
    bytes32 freshKey;
    bytes32[] proof;
    /// The share in a libsodium sealed box to the buyer's key: exactly 80 bytes.
    bytes fragment;
}

/// @notice An EIP-712 signature in the form of ERC-2098; a high s is refused.
struct Signature {
    bytes32 r;
    /// The parity of R's y in the highest bit, s below it.
    bytes32 vs;
}

/// @notice One sale to close, as in `settle` and `refund`.
struct Closure {
    bytes32 copyId;
    Sale sale;
    Escrow escrow;
}

/// @notice How buyer and seller end a sale together; both sign
/// `Agreement(bytes32 copyId,bytes32 saleHash,uint8 status,uint32 since,uint256 toBuyer,uint256
/// penalty,uint256 toArbitrator,uint256 deadline)`, with status and since as `sales` has them.
struct Split {
    /// Of the price, in its currency; the rest is the seller's.
    uint256 toBuyer;
    /// Of the penalty, to the buyer, in wei.
    uint256 penalty;
    /// In wei, half from each bond (an odd wei from the seller's); zero before a dispute.
    uint256 toArbitrator;
    /// Last second in which it can be carried out.
    uint256 deadline;
}

/// @notice What makes opening a box cheap to check; computed off chain, never trusted.
struct Hint {
    /// 0: half-size scalars. 1: the ephemeral key is off the curve. 2: no hint, the plain ladder.
    uint8 kind;
    /// v coordinate of the ephemeral key; for kind 1 the w with 2 w^2 = u^3 + A u^2 + u.
    uint256 vE;
    /// The shared point.
    uint256 uQ;
    uint256 vQ;
    /// Digits of the two half-size scalars, interleaved two bits each.
    uint256 w;
}

/// @notice One delivered part and what opens it, as evidence against whoever signed it.
struct JunkEvidence {
    uint8 index;
    /// The deliverer whom the leaf names.
    address deliverer;
    bytes32 commitment;
    bytes32 secretHash;
    bytes32 salt;
    bytes32[] proof;
    /// As in the entry that was signed.
    bytes32 freshKey;
    bytes fragment;
    /// Secret of the key that the entry names: `freshKey`, or the buyer's key of this index. Not
    /// looked at where the fragment's ephemeral key alone is junk.
    bytes32 secret;
    Hint hint;
}

/// @notice The list that a deliverer signed, mined or not.
struct SignedList {
    bytes32[] entries;
    Signature signature;
    /// Where the entry of the evidence stands in it.
    uint256 position;
}

/// @notice One part leaf under a sale's partsRoot.
struct Leaf {
    uint8 index;
    address deliverer;
    bytes32 commitment;
    bytes32 secretHash;
    bytes32 salt;
    bytes32[] proof;
}

/// @notice The state of a sale. `None` is also the state of every copy never sold.
enum Status {
    None,
    Purchased,
    Complete,
    Disputed,
    Settled,
    Refunded,
    Resolved,
    Agreed
}

/// @notice Windows fixed at deployment, in seconds. See `IMarketplace` for what each one rules.
struct Windows {
    uint64 refund;
    uint64 dispute;
    uint64 arbitration;
    uint64 exit;
    uint64 slashDelay;
    uint64 slashLapse;
}

/// @notice Everything that a deployment fixes.
struct Setup {
    Windows windows;
    /// Who may propose slashes; zero: nobody.
    address governor;
    /// In wei, as the three below.
    uint256 minDelivererStake;
    uint256 minSellerStake;
    uint256 junkFine;
    /// The verifier of evidence.
    IProofs proofs;
}

/// @notice When a sale's calls are possible: seconds, but for `fallbackBlock`. All of them are the
/// last second of something, but for `refundFrom`, `arbitratorPaidFrom` and `settleFrom`, which are
/// the first. Zero where the sale's state has none.
struct Deadlines {
    /// First block in which the seller's side may deliver, and in which the gate is open anyway.
    uint64 fallbackBlock;
    uint64 deliver;
    /// Until when a proof of junk clears a part.
    uint64 proof;
    uint64 fallbackDelivery;
    uint64 refundFrom;
    uint64 dispute;
    /// Until when a ruling, a concession or an agreement can end a dispute.
    uint64 ruling;
    /// From when on a concession, a proof against the seller or an agreement pays the arbitrator: a
    /// third of `ARBITRATION_SECONDS`, rounded down, after the dispute.
    uint64 arbitratorPaidFrom;
    uint64 settleFrom;
}

/// @notice An ERC-2612 permit of a token's holder for this contract.
struct Permit {
    uint256 value;
    uint256 deadline;
    uint8 v;
    bytes32 r;
    bytes32 s;
}

/// @notice A slash that the governor proposed.
struct Slash {
    address operator;
    /// First second in which it can be executed.
    uint48 firstTime;
    /// Last second in which it can be executed; 0: executed or cancelled.
    uint48 lastTime;
    /// Who is credited with what is taken.
    address beneficiary;
    /// In wei, at the most; never above the stake at the proposal.
    uint96 amount;
    /// Stake at the proposal, in wei.
    uint96 stake;
    /// What had left the deliverer's stake under proposed slashes, at this proposal, in wei.
    uint256 removed;
}

/// @title DAM marketplace
/// @notice Escrow and rules for digital goods whose keys independent deliverers hand to the buyer.
///
/// Clocks: the fallback counts blocks (`FALLBACK_BLOCKS`), everything else seconds of
/// `block.timestamp`. A sale carries block and time of its purchase.
///
/// A sale's *gate* is the moment when all n parts are there or were cleared, or when
/// `FALLBACK_BLOCKS` after the purchase have passed (so at the latest block purchase + 101). Nothing
/// but a refund by timeout closes a sale before its gate.
///
/// Deliveries are signed: EIP-712 over `Fragments(bytes32[] entries)`, domain (name "DAM", version
/// "2", chain id, market), with entry = keccak256(abi.encode(copyId, saleHash, part leaf, freshKey,
/// keccak256(fragment))). The contract computes every entry from what is delivered. The deliverer
/// is who signed; anybody may send it. *The seller's side* is the seller and their operator.
///
/// A part proved to be junk counts as never delivered: its deliverer is fined, its index is
/// *punished*: from then on the seller's side alone delivers it, sealed to the sale's one fresh key.
/// In time it is *cleared*, too: the part is missing again, and its fee stays paid.
///
/// Money: the purchase moves R = parts x fee + penalty + bond out of the seller's free stake into
/// the sale. F = fee x the number of parts that are there or were cleared: each index's fee is paid
/// once, to the deliverer, or to the buyer where the seller's side delivered it first. back = min(
/// what the seller gets of a native price, F):
///
/// | end | buyer | seller | stake | arbitrator |
/// |---|---|---|---|---|
/// | confirmed, settled | - | price - back | R - F + back | - |
/// | silence | their bond | price - back | R - F + back | - |
/// | refund; conceded, Complete; the seller's junk or shares proved | price, penalty | - | R - F -
/// penalty | - |
/// | the same, Disputed | price, penalty, both bonds | - | R - F - penalty - bond | - |
/// | the same from a third of the arbitration on | price, penalty, their bond | - | R - F - penalty
/// - bond | a bond |
/// | buyer concedes | - | price - back, the buyer's bond | R - F + back | - |
/// | the same from a third of the arbitration on | - | price - back | R - F + back | a bond |
/// | agreement (b, w, a) | b, w, their bond - a/2 | price - b - back | R - F - w + back - a/2 | a |
/// | ruling (b, w), not 0 | b, w, their bond | price - b - back | R - F - w + back - bond | a bond |
/// | ruling, b = w = 0 | - | price - back | R - F + back | a bond |
///
/// where b is the part of the price that goes to the buyer, w the penalty or 0 (by an agreement:
/// any part of it), a what both give to the arbitrator. Parts are paid as they arrive.
///
/// A fine takes max(`JUNK_FINE`, 10 x fee) from the deliverer's stake, then from earnings not
/// withdrawn, as far as they go: a fifth of it (rounded down) to the buyer, the rest is burnt: it
/// stays in the contract for ever, in `burnt`.
///
/// Immutable: no owner, no pause, no upgrade. Everything owed is a credit that its owner withdraws.
interface IMarketplace {
    // ------------------------------------------------------------------------------- errors: all

    /// @notice The call re-entered the marketplace.
    error Reentered();
    /// @notice An address that must be somebody is zero.
    error ZeroAddress();
    /// @notice There is nothing to withdraw.
    error NothingToWithdraw();
    /// @notice The recipient did not take the coins; nothing changed. Name another recipient.
    error TransferFailed(address to, uint256 amount);
    /// @notice `caller` may not do this.
    error NotAllowed(address caller);
    /// @notice An amount does not fit its field.
    error AmountTooLarge(uint256 amount);

    // ----------------------------------------------------------------------------- errors: stakes

    /// @notice The stake would be below the minimum.
    error StakeTooLow(uint256 stake, uint256 minimum);
    /// @notice The seller's free stake does not cover what the call needs.
    error SellerStakeTooLow(address seller, uint256 free, uint256 needed);
    /// @notice An X25519 key is not canonical (>= 2^255 - 19, the top bit included) or of low
    /// order.
    error InvalidKey(bytes32 key);
    /// @notice The operator is already registered; add stake instead.
    error AlreadyRegistered(address operator);
    /// @notice No deliverer is registered under this operator.
    error NotRegistered(address operator);
    /// @notice The deliverer asked to exit, which ended its right to deliver and to add stake.
    error ExitRequested(address operator);
    /// @notice The deliverer did not ask to exit.
    error ExitNotRequested(address operator);
    /// @notice The stake leaves from `availableTime` (seconds) on.
    error ExitPending(address operator, uint256 availableTime);

    // ----------------------------------------------------------------------------- errors: stores

    /// @notice The seller has a store already; update it instead.
    error StoreExists(address seller);
    /// @notice The seller has no store; create it first.
    error NoStore(address seller);
    /// @notice A store needs a document; the digest is zero.
    error EmptyStore();

    // ---------------------------------------------------------------------------- errors: buying

    /// @notice The document that the buyer read is no longer the store's. Read the new one.
    error StoreChanged(address seller, bytes32 read, bytes32 current);
    /// @notice The terms are not in the catalogue that the store's root commits to.
    error TermsNotInCatalogue(address seller, bytes32 itemId);
    /// @notice A sealed offer is for one copy, the lower 64 bits of its salt.
    error SealedForAnotherCopy(uint64 copy, uint64 sealedFor);
    /// @notice 1 <= threshold <= parts <= 32 does not hold, or a native commission exceeds the
    /// price.
    error InvalidTerms(bytes32 itemId);
    /// @notice The arbitrator is the seller or the buyer.
    error InvalidArbitrator(address arbitrator);
    /// @notice A store without a catalogue sells nothing: its seller closed it.
    error StoreClosed(address seller);
    /// @notice An item priced in a token takes no native coin.
    error CoinsWithToken(uint256 value);
    /// @notice The token did not move, or said so: too little balance or allowance, or an odd
    /// token.
    error TokenTransferFailed(address token);
    /// @notice The token moved another amount than it was asked to; such tokens are not taken.
    error TokenAmountWrong(address token, uint256 received, uint256 price);
    /// @notice The copy is not below the item's supply.
    error CopyBeyondSupply(uint64 copy, uint64 supply);
    /// @notice This copy is sold, or burned by a refund or a ruling. Take another.
    error CopyTaken(bytes32 itemId, uint64 copy);
    /// @notice Less was paid than the price.
    error Underpaid(uint256 paid, uint256 price);
    /// @notice There must be one key per part.
    error WrongKeyCount(uint256 keys, uint256 parts);

    // -------------------------------------------------------------------------- errors: delivering

    /// @notice The sale brought along is not the one that the slot commits to (or there is none).
    error WrongSale(bytes32 copyId);
    /// @notice The escrow brought along is not the sale's.
    error WrongEscrow(bytes32 copyId);
    /// @notice The sale is not in a state in which this call is possible.
    error WrongStatus(bytes32 copyId, Status status);
    /// @notice Deliveries counted until `lastTime` (seconds).
    error DeliveryClosed(bytes32 copyId, uint256 lastTime);
    /// @notice The signature is malformed, has a high s, or recovers nobody.
    error InvalidSignature();
    /// @notice The signer is neither the deliverer whom the leaf names, nor of the seller's side.
    error NotYourPart(address deliverer, address signer);
    /// @notice The deliverer's stake is below the minimum or below 10 x fee, or it asked to exit.
    error NotEligible(address operator);
    /// @notice The seller's side may deliver this part from block `firstBlock` on.
    error FallbackTooEarly(bytes32 copyId, uint256 firstBlock);
    /// @notice A first part of this index was proved to be junk: the seller's side alone delivers
    /// it.
    error IndexPunished(bytes32 copyId, uint8 index);
    /// @notice The fresh key is not the sale's, or the index was never punished.
    error WrongFreshKey(bytes32 copyId, bytes32 freshKey);
    /// @notice A fragment is exactly 80 bytes.
    error InvalidFragmentLength(uint256 length);
    /// @notice The part is not in the tree that the item's partsRoot commits to.
    error PartNotInItem(bytes32 copyId, uint8 index);
    /// @notice This part is there already.
    error AlreadyDelivered(bytes32 copyId, uint8 index);
    /// @notice Every part of the batch was skipped.
    error NothingDelivered();
    /// @notice A list has at most `most` entries, so that evidence, which brings it along, fits.
    error ListTooLong(uint256 entries, uint256 most);

    // ------------------------------------------------------------------------- errors: closing

    /// @notice Before its gate a sale only closes by a refund: parts are missing until `gateBlock`.
    error BeforeGate(bytes32 copyId, uint256 gateBlock);
    /// @notice This is possible from `firstTime` (seconds) on.
    error TooEarly(bytes32 copyId, uint256 firstTime);
    /// @notice This was possible until `lastTime` (seconds).
    error TooLate(bytes32 copyId, uint256 lastTime);
    /// @notice No sale of the list could be closed now.
    error NothingClosed();
    /// @notice A split gives more of the price, the penalty or the bonds than there is, or the
    /// arbitrator, who has worked, less than a bond.
    error InvalidSplit(bytes32 copyId);
    /// @notice Neither the party's own call nor its signature of this agreement.
    error NotAgreed(address party);
    /// @notice The item names no arbitrator, so there is nobody to rule on a dispute.
    error NoArbitrator(bytes32 copyId);
    /// @notice A dispute takes exactly the bond.
    error WrongBond(uint256 paid, uint256 bond);
    /// @notice A ruling cannot give the buyer more than the price.
    error RulingTooHigh(uint256 toBuyer, uint256 price);

    /// @notice A rating is from 1 to 5.
    error InvalidRating(uint8 stars);
    /// @notice The sale is rated already.
    error AlreadyRated(bytes32 copyId);

    // ------------------------------------------------------------------------- errors: proofs

    /// @notice The fragment opens to the share that was committed to, or the shares add up: nothing
    /// is proved.
    error NothingProved(bytes32 copyId);
    /// @notice These are not the keys that the buyer brought to the purchase.
    error WrongKeys(bytes32 copyId);
    /// @notice The entry of this evidence is not in the list, or not what the seller's side
    /// delivered.
    error EntryNotFound(bytes32 copyId, uint8 index);
    /// @notice The list was not signed by the deliverer whom the leaf names, or that is the seller.
    error NotTheDeliverers(address deliverer, address signer);
    /// @notice This index of this sale was punished before.
    error AlreadyPunished(bytes32 copyId, uint8 index);
    /// @notice An evidence of k shares has exactly k of distinct indices.
    error WrongShares(bytes32 copyId);

    // ----------------------------------------------------------------------- errors: slashing

    /// @notice There is no such open slash: never proposed, executed, cancelled or lapsed.
    error NoSlash(uint256 id);
    /// @notice A slash takes something: the amount is zero, or there is no stake.
    error NothingToSlash(address operator);
    /// @notice The slash can be executed from `firstTime` (seconds) on.
    error SlashTooEarly(uint256 id, uint256 firstTime);
    /// @notice A proposed slash keeps the stake in, until `lastTime` (seconds) at the latest.
    error StakeFrozen(address operator, uint256 lastTime);

    // --------------------------------------------------------------------- errors: deployment

    /// @notice A window is outside its bounds: `value` must be from `min` to `max` seconds.
    error InvalidWindow(bytes32 name, uint256 value, uint256 min, uint256 max);
    /// @notice The fine for junk is above the least stake of a deliverer.
    error JunkFineTooHigh(uint256 fine, uint256 minDelivererStake);
    /// @notice The verifier of evidence has no code.
    error NoProofs(address proofs);

    // ----------------------------------------------------------------------------- events: stakes

    /// @notice `amount` wei joined the seller's free stake, which is now `free`.
    event SellerStaked(address indexed seller, uint256 amount, uint256 free);
    /// @notice `amount` wei of free stake left to `to`; `free` is left.
    event SellerStakeWithdrawn(address indexed seller, address to, uint256 amount, uint256 free);
    /// @notice The seller's daemon works from `operator` from now on; zero: from the seller alone.
    event SellerOperatorSet(address indexed seller, address operator);
    /// @notice A deliverer registered. Its stake is `stake` wei. It is its own owner unless
    /// `DelivererOwnerSet` names another in the same transaction.
    /// @param key Ed25519 public key; parts are sealed to the X25519 key that follows from it.
    /// @param possession Ed25519 signature under `key`, 64 bytes, over "DAM deliverer key 2" ||
    /// chainId (32 bytes) || market (20) || operator (20). The contract does not check it; clients
    /// believe no key without it.
    event DelivererStaked(
        address indexed operator, bytes32 key, bytes32[2] possession, uint256 stake
    );
    /// @notice Stake and earnings of `operator` belong to `owner`.
    event DelivererOwnerSet(address indexed operator, address indexed owner);
    /// @notice The stake of a registered deliverer grew by `amount` wei to `stake`.
    event DelivererStakeAdded(address indexed operator, uint256 amount, uint256 stake);
    /// @notice Parts sealed from now on go to `key`; the old key still opens the old ones.
    event DelivererKeyRotated(address indexed operator, bytes32 key, bytes32[2] possession);
    /// @notice The deliverer no longer delivers; its stake leaves from `availableTime` on.
    event DelivererExitRequested(address indexed operator, uint256 availableTime);
    /// @notice The deliverer took its request to exit back.
    event DelivererExitCancelled(address indexed operator);
    /// @notice The whole stake of `amount` wei left to `to`.
    event DelivererStakeWithdrawn(address indexed operator, address to, uint256 amount);

    /// @notice What the deliverer asks for: at least `minFee` wei a part; `open`: new items
    /// welcome.
    event DelivererTermsPosted(address indexed operator, uint256 minFee, bool open);

    // --------------------------------------------------------------------------- events: slashing

    /// @notice The governor wants `amount` wei of the stake, for `reason` (SHA-256 digest in the
    /// CID of the case). It can be executed from `firstTime` to `lastTime` (seconds).
    event SlashProposed(
        uint256 indexed id,
        address indexed operator,
        address indexed beneficiary,
        uint256 amount,
        bytes32 reason,
        uint256 firstTime,
        uint256 lastTime
    );
    /// @notice `taken` wei of the stake became a credit of the beneficiary.
    event SlashExecuted(
        uint256 indexed id, address indexed operator, address indexed beneficiary, uint256 taken
    );
    /// @notice The governor took the slash back.
    event SlashCancelled(uint256 indexed id, address indexed operator);

    // ----------------------------------------------------------------------------- events: stores

    /// @notice `digest` is the SHA-256 in the CID of the store document, `root` its catalogue root.
    event StoreCreated(address indexed seller, bytes32 digest, bytes32 root);
    /// @notice As `StoreCreated`, for a later version.
    event StoreUpdated(address indexed seller, bytes32 digest, bytes32 root);

    // ------------------------------------------------------------------------------ events: sales

    /// @notice A copy was paid for. This rebuilds `Sale` and `Escrow`: no client ever takes a log's
    /// own block number for `purchaseBlock` (on some rollups they differ).
    /// @param keys The buyer's one-time X25519 keys, one per part.
    event ItemPurchased(
        bytes32 indexed copyId,
        address indexed seller,
        address indexed buyer,
        bytes32 storeDigest,
        uint64 copy,
        uint64 purchaseBlock,
        uint64 purchaseTime,
        Terms terms,
        bytes32[] keys
    );
    /// @notice Every call that delivers or supplies logs what was signed, before the parts of it
    /// that counted: entries of skipped parts, too.
    event FragmentsSigned(address indexed signer, bytes32 r, bytes32 vs, bytes32[] entries);
    /// @notice A part arrived and was paid. `by` is the deliverer, or the seller for a part of the
    /// seller's side (then the fee went to the buyer, or to nobody where the index was cleared).
    /// With the copy and a proof from the store document the event has the whole leaf: evidence of
    /// junk needs no calldata, which a contract that relays could hide.
    /// The fragment is ephemeralKey, tag and ciphertext, in this order and 80 bytes in all: its own
    /// fields are two words less than one of `bytes`.
    /// @param deliverer Whom the leaf names.
    event FragmentDelivered(
        bytes32 indexed copyId,
        address indexed by,
        uint8 index,
        address deliverer,
        bytes32 commitment,
        bytes32 secretHash,
        bytes32 salt,
        bytes32 ephemeralKey,
        bytes16 tag,
        bytes32 ciphertext
    );
    /// @notice The seller supplied a part that was there already; the first one may have been junk.
    /// Leaf and fragment are told as in `FragmentDelivered`.
    event FragmentSupplied(
        bytes32 indexed copyId,
        address indexed seller,
        uint8 index,
        address deliverer,
        bytes32 commitment,
        bytes32 secretHash,
        bytes32 salt,
        bytes32 ephemeralKey,
        bytes16 tag,
        bytes32 ciphertext
    );
    /// @notice A part was proved to be junk. `taken` wei left the deliverer's stake and earnings,
    /// `bounty` of them to the buyer.
    /// @param freshKey The sale's one fresh key, as in every such event of an open sale; zero after
    /// its end.
    /// @param cleared Whether the part is missing again.
    event JunkProved(
        bytes32 indexed copyId,
        address indexed deliverer,
        uint8 index,
        bytes32 freshKey,
        uint256 taken,
        uint256 bounty,
        bool cleared
    );
    /// @notice Junk of the seller's side, or shares that do not add up, were proved; the sale ends
    /// by the `SaleRefunded` that follows.
    event SellerFaultProved(bytes32 indexed copyId, address indexed seller);
    /// @notice Buyer and seller ended the sale together; see `Split`.
    event SaleAgreed(
        bytes32 indexed copyId, uint256 toBuyer, uint256 penalty, uint256 toArbitrator
    );
    /// @notice The sale ended well: by the buyer (confirmed, or conceded), or by anyone after time.
    event SaleSettled(bytes32 indexed copyId, address indexed by);
    /// @notice The buyer got the price back and `penalty` wei of the seller's stake.
    event SaleRefunded(bytes32 indexed copyId, address indexed by, uint256 penalty);
    /// @notice The buyer disputes; `evidence` is the SHA-256 digest in the CID of their
    /// evidence, or 0.
    event DisputeOpened(
        bytes32 indexed copyId, address indexed buyer, address indexed arbitrator, bytes32 evidence
    );
    /// @notice The arbitrator ruled: `toBuyer` of the price, and `penalty` wei, go to the buyer.
    event DisputeResolved(
        bytes32 indexed copyId, address indexed arbitrator, uint256 toBuyer, uint256 penalty
    );

    /// @notice Evidence in a dispute, in the form of ERC-1497: the group is uint256(copyId), the
    /// text a URI of the evidence's JSON, such as `/ipfs/...`.
    event Evidence(
        address indexed _arbitrator,
        uint256 indexed _evidenceGroupID,
        address indexed _party,
        string _evidence
    );
    /// @notice The buyer of a sale that ended gave it 1 to 5 stars.
    event SaleRated(
        bytes32 indexed copyId, address indexed seller, address indexed buyer, uint8 stars
    );

    // ---------------------------------------------------------------------------- events: credits

    /// @notice A credit left to `to`. A deliverer's earnings name its operator as `account`.
    event Withdrawn(address indexed account, address indexed token, address to, uint256 amount);

    // ------------------------------------------------------------------------------------ stakes

    /// @notice Adds the coins sent to the caller's free stake, which sales are backed with.
    function stakeAsSeller() external payable;

    /// @notice Takes `amount` wei of free stake, at once, to `to`. What sales have bound stays.
    function withdrawSellerStake(uint256 amount, address to) external;

    /// @notice Names the address of the seller's watchdog. It may deliver, supply, settle and
    /// refund; it can never publish, concede, withdraw or change this. Zero: nobody.
    function setSellerOperator(address operator) external;

    /// @notice Registers the caller, who will sign deliveries, as a deliverer with the coins sent
    /// (at least `MIN_DELIVERER_STAKE`) as stake. It is its own owner: whoever holds its key can
    /// take stake and earnings. A daemon on a hot key uses `stakeAsDelivererFor`.
    /// @param key Ed25519 public key; see `DelivererStaked`.
    /// @param possession See `DelivererStaked`.
    function stakeAsDeliverer(bytes32 key, bytes32[2] calldata possession) external payable;

    /// @notice As `stakeAsDeliverer`, for another owner.
    /// @param owner Who alone may withdraw stake and earnings. Warning: it cannot be changed.
    function stakeAsDelivererFor(address owner, bytes32 key, bytes32[2] calldata possession)
        external
        payable;

    /// @notice Adds the coins sent to the stake of `operator`. Anyone may; not during an exit.
    function addDelivererStake(address operator) external payable;

    /// @notice Announces a new key of `operator`; by itself or by its owner. See `DelivererStaked`.
    function rotateDelivererKey(address operator, bytes32 key, bytes32[2] calldata possession)
        external;

    /// @notice Announces what the deliverer asks for, which sellers' tools respect; by itself or by
    /// its owner. The contract does not enforce it: what is paid is in an item's terms.
    function postTerms(address operator, uint256 minFee, bool open) external;

    /// @notice Ends the right to deliver at once and starts the delay of `EXIT_SECONDS`; by the
    /// owner. The stake stays slashable until it leaves.
    function requestExit(address operator) external;

    /// @notice Takes a request to exit back; by the owner. A later request waits the whole delay.
    function cancelExit(address operator) external;

    /// @notice Takes the whole stake to `to` once the delay has passed, and clears the request, so
    /// that no matured request stands open for fresh stake; by the owner. Not while a proposed
    /// slash may still be executed, which ends at the latest `SLASH_DELAY_SECONDS` +
    /// `SLASH_LAPSE_SECONDS` after the exit's own delay.
    function withdrawDelivererStake(address operator, address to) external;

    /// @notice Takes what `operator` has earned to `to`; by the owner, at any time.
    function withdrawEarnings(address operator, address to) external;

    // ---------------------------------------------------------------------------------- slashing

    /// @notice The governor proposes to take up to `amount` wei, above zero, of a deliverer's stake:
    /// of what stands there now, never of what comes later. The stake cannot leave until the
    /// proposal is executed, cancelled or has lapsed.
    /// @param beneficiary Who is credited; never the contract's choice.
    /// @param reason SHA-256 digest in the CID of the public case.
    /// @return id Number of the proposal, from 1.
    function proposeSlashing(address operator, uint256 amount, address beneficiary, bytes32 reason)
        external
        returns (uint256 id);

    /// @notice Anyone executes a slash, from `SLASH_DELAY_SECONDS` after the proposal on and for
    /// `SLASH_LAPSE_SECONDS`: takes the amount, or what is left of the stake at the proposal.
    function executeSlashing(uint256 id) external;

    /// @notice The governor takes a proposal back.
    function cancelSlashing(uint256 id) external;

    // ------------------------------------------------------------------------------------ stores

    /// @notice Opens the caller's store, which needs `MIN_SELLER_STAKE` of free stake.
    /// @param digest SHA-256 digest in the CID of the store document. Never zero.
    /// @param root Catalogue root over the document's terms; zero sells nothing.
    function createStore(bytes32 digest, bytes32 root) external;

    /// @notice Points the caller's store to a new document. Sales made before keep their terms. A
    /// root of zero closes the store; an item is closed by a catalogue without it.
    function updateStore(bytes32 digest, bytes32 root) external;

    // ------------------------------------------------------------------------------------- sales

    /// @notice Pays for `copy` of an item, in the native coin (coins beyond the price become a
    /// credit of the buyer) or in a token that the buyer approved (then no native coin comes along,
    /// and exactly the price must arrive). Moves R out of the seller's free stake into the sale.
    /// @param proof Merkle proof of the terms under the store's root.
    /// @param storeDigest Digest of the document that the buyer read: the purchase reverts if it is
    /// no longer the store's.
    /// @param keys One fresh X25519 key per part; each used once.
    function buyItem(
        address seller,
        Terms calldata terms,
        bytes32[] calldata proof,
        bytes32 storeDigest,
        uint64 copy,
        bytes32[] calldata keys
    ) external payable;

    /// @notice As `buyItem`, after trying the buyer's ERC-2612 permit of the token. A permit that
    /// fails (somebody used it before, or the token has none) is ignored: the allowance decides.
    function buyItemByPermit(
        address seller,
        Terms calldata terms,
        bytes32[] calldata proof,
        bytes32 storeDigest,
        uint64 copy,
        bytes32[] calldata keys,
        Permit calldata permit
    ) external;

    /// @notice Delivers one part, while the sale is Purchased, Complete or Disputed. The deliverer
    /// whom the leaf names is paid the fee, until `DELIVERY_SECONDS` after the purchase; it needs
    /// the minimum stake, at least 10 x fee, and no exit requested. From block purchase + 101 on,
    /// until `REFUND_SECONDS` after the purchase, the seller's side may deliver missing parts: the
    /// fee goes to the buyer, or to nobody where the index was cleared. Whatever the seller's own
    /// address signs is such a part. An operator whom the leaf names delivers as its deliverer
    /// wherever that is possible, and else as the seller's side: nobody takes a fee from a deliverer
    /// by naming it operator. The contract keeps the entry of such a part (`sellerEntries`).
    /// @param signature Over the list of this one entry. Anybody may send it.
    function deliverFragment(Delivery calldata delivery, Signature calldata signature) external;

    /// @notice Delivers up to 50 parts of one signed list, skipping what may have changed before it
    /// was mined: a part already there, an index punished, a sale closed, replaced or never mined,
    /// too early, too late, a signer who is not eligible, or is now neither the leaf's deliverer nor
    /// of the seller's side, a fresh key that is not the sale's. Entries with a zero key are taken
    /// from the seller's side for a punished index, too. Reverts on what is malformed, and if
    /// nothing was delivered.
    function deliverFragments(Delivery[] calldata deliveries, Signature calldata signature)
        external;

    /// @notice The seller's side publishes up to 50 parts anew whose first delivery may have been
    /// junk, while the sale is Purchased, Complete or Disputed. No bit, no fee, no evidence. It
    /// skips as `deliverFragments` does.
    function supplyFragments(Delivery[] calldata deliveries, Signature calldata signature) external;

    /// @notice The buyer is content: settles a Complete sale from its gate on.
    function confirm(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external;

    /// @notice Anyone settles: a Complete sale, from its gate on, later than `DISPUTE_SECONDS` after
    /// the later of completion and the arrival of the last part; or a Disputed one later than
    /// `ARBITRATION_SECONDS` after the dispute.
    function settle(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external;

    /// @notice Anyone refunds a Purchased sale later than `REFUND_SECONDS` after the purchase:
    /// price and penalty to the buyer, however many parts came.
    function refund(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external;

    /// @notice Anyone settles or refunds several sales, skipping those that cannot be closed now.
    /// Reverts if nothing was closed.
    function closeMany(Closure[] calldata closures) external;

    /// @notice The seller gives in (Complete, from the gate on; or Disputed, until the ruling's last
    /// second): Refunded. Or the buyer does (Disputed, likewise): Settled.
    function concede(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external;

    /// @notice Anyone carries out what buyer and seller agreed, from the gate on, while the sale is
    /// Purchased, Complete or Disputed (until the ruling's last second): Agreed. Each party called
    /// this, or signed it (a contract by ERC-1271); the seller's operator cannot. Fails if the
    /// sale's state began anew since.
    function agree(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        Split calldata split,
        bytes calldata buyerSignature,
        bytes calldata sellerSignature
    ) external;

    /// @notice The buyer disputes a Complete sale from its gate on, until `DISPUTE_SECONDS` after
    /// the later of completion and the arrival of the last part, with exactly the bond.
    /// @param evidence SHA-256 digest in the CID of their evidence, or zero.
    function openDispute(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        bytes32 evidence
    ) external payable;

    /// @notice The arbitrator rules, until `ARBITRATION_SECONDS` after the dispute.
    /// @param toBuyer Part of the price that the buyer gets back, in the price's smallest unit.
    /// @param penaltyAwarded Whether the buyer gets the penalty, too.
    function resolveDispute(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        uint256 toBuyer,
        bool penaltyAwarded
    ) external;

    /// @notice The buyer, the seller or the arbitrator of a Disputed sale publishes evidence.
    /// @param evidence URI of its JSON (ERC-1497).
    function submitEvidence(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        string calldata evidence
    ) external;

    /// @notice The buyer of a sale that ended, however, rates it, once, with 1 to 5 stars.
    function rateSale(bytes32 copyId, Sale calldata sale, uint8 stars) external;

    // ------------------------------------------------------------------------------------ proofs

    /// @notice The sale's buyer proves that parts signed by their deliverers were junk: the fragment
    /// does not open with the key of its entry, not to the share that was committed to, or its
    /// ephemeral key is not canonical, of low order or off the curve. Each deliverer is fined, once
    /// for an index of a sale, also after the sale's end. Until `PROOF_SECONDS` after the purchase a
    /// part that is there, and not from the seller's side, is cleared in a sale that is Purchased or
    /// Complete; a Complete one with fewer than k parts left is Purchased again. As many
    /// lists as evidence, at least one; no entry with a fresh key is a deliverer's.
    /// @param keys All of the buyer's keys, as in the purchase.
    /// @param freshKey X25519 key to which punished indices are sealed from now on: the first proof
    /// of an open sale names it, every later one the same. Not looked at after the sale's end.
    function proveJunk(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        bytes32[] calldata keys,
        bytes32 freshKey,
        JunkEvidence[] calldata evidence,
        SignedList[] calldata lists
    ) external;

    /// @notice The buyer proves that a part which the seller's side delivered is junk, by the entry
    /// that the contract keeps, while the sale is open (in a dispute until somebody settles): it
    /// ends as if the seller had conceded.
    function proveSellerJunk(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        bytes32[] calldata keys,
        JunkEvidence calldata evidence
    ) external;

    /// @notice The buyer proves, from the gate on, while the sale is open (in a dispute until
    /// somebody settles), that k shares which the leaves commit to give another key than
    /// secretHash, or none: it ends as if the seller had conceded.
    function proveBadShares(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        Leaf[] calldata leaves,
        bytes32[] calldata shares
    ) external;

    /// @notice As `proveBadShares`, by two different leaves of this copy that contradict each other:
    /// of one index, or with two hashes of the secret. Indices are below n, as in all evidence.
    function proveBadLeaves(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        Leaf calldata one,
        Leaf calldata other
    ) external;

    /// @notice Takes the caller's credit in `token` (zero: native coin) to `to`.
    function withdraw(address token, address to) external;

    // ------------------------------------------------------------------------------------- views

    /// @notice Free stake of a seller, in wei.
    function sellerStakes(address seller) external view returns (uint256);
    /// @notice Address of the seller's watchdog, or zero.
    function sellerOperator(address seller) external view returns (address);
    /// @notice CIDv1 (DAG-JSON, SHA-256, base32) of the seller's store document; empty: no store.
    function sellerStoreCID(address seller) external view returns (string memory);
    /// @notice Digest of the seller's store document, and keccak256(abi.encode(digest, root)) with
    /// its catalogue root, which the last `StoreCreated` or `StoreUpdated` names.
    function stores(address seller) external view returns (bytes32 digest, bytes32 catalogue);
    /// @notice Stake of a deliverer, in wei.
    function delivererStakes(address operator) external view returns (uint256);
    /// @notice Everything the contract knows of a deliverer. `exitTime` (seconds) is 0 without a request.
    function deliverers(address operator)
        external
        view
        returns (address owner, uint256 stake, uint256 earned, uint256 delivered, uint256 exitTime);
    /// @notice The sale of a copy, unpacked from its storage word.
    /// @param copyId keccak256(abi.encode(seller, itemId, copy)).
    /// @return status Its state.
    /// @return delivered Bit i: part i is there.
    /// @return since Seconds after the purchase at which the present state began; for a Complete
    /// sale the later of completion and the last arrival after which all n parts were there or
    /// cleared, a replacement's too.
    /// @return rated Whether the buyer has rated it.
    /// @return marked Whether a part of it was proved to be junk; see `marks`.
    /// @return commitment First 192 bits of keccak256(abi.encode(sale)).
    function sales(bytes32 copyId)
        external
        view
        returns (
            Status status,
            uint32 delivered,
            uint32 since,
            bool rated,
            bool marked,
            bytes24 commitment
        );
    /// @notice The parts of a sale that were proved to be junk.
    /// @return punished Bit i: the deliverer of part i was fined; the seller's side alone delivers.
    /// @return cleared Bit i: its fee is paid, the part counts as never delivered.
    /// @return freshKey First 192 bits of keccak256 of the sale's fresh key; zero: none yet.
    function marks(bytes32 copyId)
        external
        view
        returns (uint32 punished, uint32 cleared, bytes24 freshKey);
    /// @notice The entry of a part that the seller's side delivered, or zero.
    function sellerEntries(bytes32 copyId, uint256 index) external view returns (bytes32);
    /// @notice `block.number` and `block.timestamp` as the contract sees them.
    function clock() external view returns (uint256 blockNumber, uint256 timestamp);
    /// @notice When this sale's calls are possible, from its state now.
    function deadlines(bytes32 copyId, Sale calldata sale) external view returns (Deadlines memory);
    /// @notice EIP-712 domain separator of deliveries and agreements, of the chain's id now: after a
    /// fork of the chain no signature is good on both.
    function DOMAIN_SEPARATOR() external view returns (bytes32);
    /// @notice What fines took and nobody gets, in wei.
    function burnt() external view returns (uint256);
    /// @notice A proposed slash; `lastTime` is 0 once it is executed or cancelled.
    function slashes(uint256 id) external view returns (Slash memory);
    /// @notice Last second in which a proposed slash keeps the stake of `operator` in; 0: none.
    function frozenUntil(address operator) external view returns (uint256);
    /// @notice What `account` may withdraw in `token`.
    function credits(address account, address token) external view returns (uint256);

    /// @notice Blocks after the purchase in which only deliverers deliver: 100.
    function FALLBACK_BLOCKS() external view returns (uint64);
    /// @notice Deliverers deliver until this many seconds after the purchase: a third of
    /// `REFUND_SECONDS`.
    function DELIVERY_SECONDS() external view returns (uint64);
    /// @notice A proof of junk clears a part until this many seconds after the purchase: two thirds
    /// of `REFUND_SECONDS`.
    function PROOF_SECONDS() external view returns (uint64);
    /// @notice The seller's side delivers until this many seconds after the purchase; refunds open
    /// after.
    function REFUND_SECONDS() external view returns (uint64);
    /// @notice Length of the buyer's time to dispute, in seconds.
    function DISPUTE_SECONDS() external view returns (uint64);
    /// @notice Length of the arbitrator's time to rule, in seconds.
    function ARBITRATION_SECONDS() external view returns (uint64);
    /// @notice Who may propose slashes: a DAO's timelock, an account, or zero for nobody.
    function GOVERNOR() external view returns (address);
    /// @notice Seconds between the proposal of a slash and its first execution.
    function SLASH_DELAY_SECONDS() external view returns (uint64);
    /// @notice Seconds in which a slash can be executed, after its delay.
    function SLASH_LAPSE_SECONDS() external view returns (uint64);
    /// @notice Delay of a deliverer's exit, in seconds; not shorter than the longest sale and a
    /// slash's delay and lapse.
    function EXIT_SECONDS() external view returns (uint64);
    /// @notice Least fine for junk, in wei.
    function JUNK_FINE() external view returns (uint256);
    /// @notice The verifier of evidence.
    function PROOFS() external view returns (IProofs);
    /// @notice The part of this contract's code that closes sales, at an address of its own; it is
    /// made by the constructor and only ever runs on this contract's storage.
    function CLOSING() external view returns (address);
    /// @notice Least stake of a deliverer that delivers, in wei.
    function MIN_DELIVERER_STAKE() external view returns (uint256);
    /// @notice Least free stake of a seller who opens a store, in wei.
    function MIN_SELLER_STAKE() external view returns (uint256);
}
