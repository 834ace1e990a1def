// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

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
}

/// @notice What a delivery needs to know of a sale. Every later call brings it along.
/// @dev The first 192 bits of keccak256(abi.encode(sale)) are kept in the sale's storage word.
struct Sale {
    address seller;
    address buyer;
    /// Block that holds the purchase.
    uint64 purchaseBlock;
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
    bytes32[] proof;
    /// The share in a libsodium sealed box to the buyer's key of this index: exactly 80 bytes.
    bytes fragment;
}

/// @notice The state of a sale. `None` is also the state of every copy never sold.
enum Status {
    None,
    Purchased,
    Complete,
    Disputed,
    Settled,
    Refunded,
    Resolved
}

/// @notice Blocks and amounts fixed at deployment. See `IMarketplace` for what each one rules.
struct Windows {
    uint64 refundBlocks;
    uint64 disputeBlocks;
    uint64 arbitrationBlocks;
    uint64 exitBlocks;
    uint64 slashDelayBlocks;
    uint64 slashLapseBlocks;
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
    /// First block in which it can be executed.
    uint48 firstBlock;
    /// Last block in which it can be executed; 0: executed or cancelled.
    uint48 lastBlock;
    /// Who is credited with what is taken.
    address beneficiary;
    /// In wei, at the most.
    uint96 amount;
}

/// @title DAM marketplace
/// @notice Escrow and rules for digital goods whose keys independent deliverers hand to the buyer.
///
/// A sale's *gate* is the moment when all n parts are there, or when `FALLBACK_BLOCKS` after the
/// purchase have passed (so at the latest block purchase + 101). Nothing but a refund by timeout
/// closes a sale before its gate.
///
/// Money: the purchase moves R = parts x fee + penalty + bond out of the seller's free stake into
/// the sale. With d parts paid to deliverers, f to the buyer (delivered by the seller himself),
/// F = (d + f) x fee, and back = min(what the seller gets of a native price, F):
///
/// | end | buyer | seller | stake | arbitrator |
/// |---|---|---|---|---|
/// | confirmed, settled | - | price - back | R - F + back | - |
/// | silence | his bond | price - back | R - F + back | - |
/// | refund; conceded when Complete | price, q | - | R - F - q | - |
/// | seller concedes, Disputed | price, penalty, both bonds | - | R - F - penalty - bond | - |
/// | buyer concedes | - | price - back, the bond | R - F + back | - |
/// | ruling (b, w), not 0 | b, w, bond | price - b - back | R - F - w + back - bond | a bond |
/// | ruling, b = w = 0 | - | price - back | R - F + back | a bond |
///
/// where q = penalty x (k - min(d, k)) / k rounded down (the dust stays in the seller's stake), b
/// is the part of the price ruled to the buyer, w the penalty or 0. Parts are paid as they arrive.
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
    /// @notice The stake leaves from block `availableBlock` on.
    error ExitPending(address operator, uint256 availableBlock);

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
    /// @notice Deliveries counted until block `lastBlock`.
    error DeliveryClosed(bytes32 copyId, uint256 lastBlock);
    /// @notice Deliveries come straight from a plain account, without code.
    error NotPlainAccount(address caller);
    /// @notice The caller is neither the deliverer whom the leaf names, nor the seller or his
    /// operator.
    error NotYourPart(address deliverer, address caller);
    /// @notice The deliverer's stake is below the minimum, or it asked to exit.
    error NotEligible(address operator);
    /// @notice The seller may deliver this part from block `firstBlock` on.
    error FallbackTooEarly(bytes32 copyId, uint256 firstBlock);
    /// @notice A fragment is exactly 80 bytes.
    error InvalidFragmentLength(uint256 length);
    /// @notice The part is not in the tree that the item's partsRoot commits to.
    error PartNotInItem(bytes32 copyId, uint8 index);
    /// @notice This part is there already.
    error AlreadyDelivered(bytes32 copyId, uint8 index);
    /// @notice Only a part that is there already can be supplied once more.
    error NotDelivered(bytes32 copyId, uint8 index);
    /// @notice Every part of the batch was skipped.
    error NothingDelivered();

    // ------------------------------------------------------------------------- errors: closing

    /// @notice Before its gate a sale only closes by a refund: parts are missing until `gateBlock`.
    error BeforeGate(bytes32 copyId, uint256 gateBlock);
    /// @notice This is possible from block `firstBlock` on.
    error TooEarly(bytes32 copyId, uint256 firstBlock);
    /// @notice This was possible until block `lastBlock`.
    error TooLate(bytes32 copyId, uint256 lastBlock);
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

    // ----------------------------------------------------------------------- errors: slashing

    /// @notice There is no such open slash: never proposed, executed, cancelled or lapsed.
    error NoSlash(uint256 id);
    /// @notice The slash can be executed from block `firstBlock` on.
    error SlashTooEarly(uint256 id, uint256 firstBlock);
    /// @notice A proposed slash keeps the stake in, until block `lastBlock` at the latest.
    error StakeFrozen(address operator, uint256 lastBlock);

    // --------------------------------------------------------------------- errors: deployment

    /// @notice A window is outside its bounds: `value` must be from `min` to `max` blocks.
    error InvalidWindow(bytes32 name, uint256 value, uint256 min, uint256 max);

    // ----------------------------------------------------------------------------- events: stakes

    /// @notice `amount` wei joined the seller's free stake, which is now `free`.
    event SellerStaked(address indexed seller, uint256 amount, uint256 free);
    /// @notice `amount` wei of free stake left to `to`; `free` is left.
    event SellerStakeWithdrawn(address indexed seller, address to, uint256 amount, uint256 free);
    /// @notice The seller's daemon works from `operator` from now on; zero: from the seller alone.
    event SellerOperatorSet(address indexed seller, address operator);
    /// @notice A deliverer registered. Its stake is `stake` wei; `key` is its X25519 public key. It
    /// is its own owner unless `DelivererOwnerSet` names another in the same transaction.
    event DelivererStaked(address indexed operator, bytes32 key, uint256 stake);
    /// @notice Stake and earnings of `operator` belong to `owner`.
    event DelivererOwnerSet(address indexed operator, address indexed owner);
    /// @notice The stake of a registered deliverer grew by `amount` wei to `stake`.
    event DelivererStakeAdded(address indexed operator, uint256 amount, uint256 stake);
    /// @notice Parts sealed from now on go to `key`; the old key still opens the old ones.
    event DelivererKeyRotated(address indexed operator, bytes32 key);
    /// @notice The deliverer no longer delivers; its stake leaves from `availableBlock` on.
    event DelivererExitRequested(address indexed operator, uint256 availableBlock);
    /// @notice The deliverer took its request to exit back.
    event DelivererExitCancelled(address indexed operator);
    /// @notice The whole stake of `amount` wei left to `to`.
    event DelivererStakeWithdrawn(address indexed operator, address to, uint256 amount);

    /// @notice What the deliverer asks for: at least `minFee` wei a part; `open`: new items
    /// welcome.
    event DelivererTermsPosted(address indexed operator, uint256 minFee, bool open);

    // --------------------------------------------------------------------------- events: slashing

    /// @notice The governor wants `amount` wei of the stake, for `reason` (SHA-256 digest in the
    /// CID of the case). It can be executed from `firstBlock` to `lastBlock`.
    event SlashProposed(
        uint256 indexed id,
        address indexed operator,
        address indexed beneficiary,
        uint256 amount,
        bytes32 reason,
        uint256 firstBlock,
        uint256 lastBlock
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

    /// @notice A copy was paid for. With the block that holds it, this rebuilds `Sale` and
    /// `Escrow`.
    /// @param keys The buyer's one-time X25519 keys, one per part.
    event ItemPurchased(
        bytes32 indexed copyId,
        address indexed seller,
        address indexed buyer,
        bytes32 storeDigest,
        uint64 copy,
        Terms terms,
        bytes32[] keys
    );
    /// @notice A part arrived and was paid. `by` is the deliverer, or the seller for a fallback
    /// (then the fee went to the buyer). The k-th one of a sale completes it.
    event FragmentDelivered(
        bytes32 indexed copyId,
        address indexed by,
        uint8 index,
        bytes32 commitment,
        bytes32 secretHash,
        bytes fragment
    );
    /// @notice The seller supplied a part that was there already; the first one may have been junk.
    event FragmentSupplied(
        bytes32 indexed copyId,
        address indexed seller,
        uint8 index,
        bytes32 commitment,
        bytes32 secretHash,
        bytes fragment
    );
    /// @notice The sale ended well: by the buyer (confirmed, or conceded), or by anyone after time.
    event SaleSettled(bytes32 indexed copyId, address indexed by);
    /// @notice The buyer got the price back and `penalty` wei of the seller's stake.
    event SaleRefunded(bytes32 indexed copyId, address indexed by, uint256 penalty);
    /// @notice The buyer disputes; `evidence` is the SHA-256 digest in the CID of his evidence, or
    /// 0.
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
    /// @notice The buyer of a settled sale gave it 1 to 5 stars.
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

    /// @notice Registers the caller, a plain account that will sign deliveries, as a deliverer with
    /// the coins sent (at least `MIN_DELIVERER_STAKE`) as stake. It is its own owner: whoever holds
    /// its key can take stake and earnings. A daemon on a hot key uses `stakeAsDelivererFor`.
    /// @param key X25519 public key, 32 bytes little-endian as in RFC 7748.
    function stakeAsDeliverer(bytes32 key) external payable;

    /// @notice As `stakeAsDeliverer`, for another owner.
    /// @param owner Who alone may withdraw stake and earnings. Warning: it cannot be changed.
    function stakeAsDelivererFor(address owner, bytes32 key) external payable;

    /// @notice Adds the coins sent to the stake of `operator`. Anyone may; not during an exit.
    function addDelivererStake(address operator) external payable;

    /// @notice Announces a new X25519 key of `operator`; by itself or by its owner.
    function rotateDelivererKey(address operator, bytes32 key) external;

    /// @notice Announces what the deliverer asks for, which sellers' tools respect; by itself or by
    /// its owner. The contract does not enforce it: what is paid is in an item's terms.
    function postTerms(address operator, uint256 minFee, bool open) external;

    /// @notice Ends the right to deliver at once and starts the delay of `EXIT_BLOCKS`; by the
    /// owner. The stake stays slashable until it leaves.
    function requestExit(address operator) external;

    /// @notice Takes a request to exit back; by the owner. A later request waits the whole delay.
    function cancelExit(address operator) external;

    /// @notice Takes the whole stake to `to` once the delay has passed, and clears the request, so
    /// that no matured request stands open for fresh stake; by the owner. Not while a proposed
    /// slash may still be executed.
    function withdrawDelivererStake(address operator, address to) external;

    /// @notice Takes what `operator` has earned to `to`; by the owner, at any time.
    function withdrawEarnings(address operator, address to) external;

    // ---------------------------------------------------------------------------------- slashing

    /// @notice The governor proposes to take up to `amount` wei of a deliverer's stake. The stake
    /// cannot leave until the proposal is executed, cancelled or has lapsed.
    /// @param beneficiary Who is credited; never the contract's choice.
    /// @param reason SHA-256 digest in the CID of the public case.
    /// @return id Number of the proposal, from 1.
    function proposeSlashing(address operator, uint256 amount, address beneficiary, bytes32 reason)
        external
        returns (uint256 id);

    /// @notice Anyone executes a slash, from `SLASH_DELAY_BLOCKS` after the proposal on and for
    /// `SLASH_LAPSE_BLOCKS`: takes the amount, or what is left of the stake.
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

    /// @notice Delivers one part. It counts, and is paid, until `REFUND_BLOCKS` after the purchase,
    /// while the sale is Purchased, Complete or Disputed. The deliverer whom the leaf names is paid
    /// the fee; it needs the minimum stake and no exit requested. From block purchase + 101 on the
    /// seller or his operator may deliver missing parts: the fee goes to the buyer. Whatever the
    /// seller's own address delivers is such a fallback. The caller is a plain account.
    function deliverFragment(Delivery calldata delivery) external;

    /// @notice Delivers several parts, skipping what may have changed before it was mined: a part
    /// already there, a sale closed, replaced or never mined, a fallback too early. Reverts on what
    /// is malformed, and if nothing was delivered.
    function deliverFragments(Delivery[] calldata deliveries) external;

    /// @notice The seller or his operator publishes parts anew whose first delivery may have been
    /// junk, while the sale is Purchased, Complete or Disputed. No bit, no fee. The caller is a
    /// plain account.
    function supplyFragments(Delivery[] calldata deliveries) external;

    /// @notice The buyer is content: settles a Complete sale from its gate on.
    function confirm(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external;

    /// @notice Anyone settles: a Complete sale later than `DISPUTE_BLOCKS` after the later of
    /// completion and gate, or a Disputed one later than `ARBITRATION_BLOCKS` after the dispute.
    function settle(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external;

    /// @notice Anyone refunds a sale not Complete when `REFUND_BLOCKS` after the purchase have
    /// passed. Nobody can before.
    function refund(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external;

    /// @notice The seller gives in (Complete, from the gate on; or Disputed, until the ruling's
    /// last block): Refunded. Or the buyer does (Disputed, likewise): Settled.
    function concede(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external;

    /// @notice The buyer disputes a Complete sale from its gate on, until `DISPUTE_BLOCKS` after
    /// the later of completion and gate, with exactly the bond.
    /// @param evidence SHA-256 digest in the CID of his evidence, or zero.
    function openDispute(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        bytes32 evidence
    ) external payable;

    /// @notice The arbitrator rules, until `ARBITRATION_BLOCKS` after the dispute.
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

    /// @notice The buyer of a Settled sale rates it, once, with 1 to 5 stars.
    function rateSale(bytes32 copyId, Sale calldata sale, uint8 stars) external;

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
    /// @notice Everything the contract knows of a deliverer. `exitBlock` is 0 without a request.
    function deliverers(address operator)
        external
        view
        returns (
            address owner,
            uint256 stake,
            uint256 earned,
            uint256 delivered,
            uint256 exitBlock
        );
    /// @notice The sale of a copy, unpacked from its storage word.
    /// @param copyId keccak256(abi.encode(seller, itemId, copy)).
    /// @return status Its state.
    /// @return delivered Bit i: part i is there.
    /// @return byDeliverers How many of them deliverers were paid for.
    /// @return since Blocks after the purchase at which the present state began; for a Complete
    /// sale the later of completion and the arrival of all parts (the latter counts as 101 at
    /// most).
    /// @return commitment First 192 bits of keccak256(abi.encode(sale)).
    function sales(bytes32 copyId)
        external
        view
        returns (
            Status status,
            uint32 delivered,
            uint8 byDeliverers,
            uint32 since,
            bytes24 commitment
        );
    /// @notice Whether the buyer has rated the sale.
    function rated(bytes32 copyId) external view returns (bool);
    /// @notice A proposed slash; `lastBlock` is 0 once it is executed or cancelled.
    function slashes(uint256 id) external view returns (Slash memory);
    /// @notice Last block in which a proposed slash keeps the stake of `operator` in; 0: none.
    function frozenUntil(address operator) external view returns (uint256);
    /// @notice What `account` may withdraw in `token`.
    function credits(address account, address token) external view returns (uint256);

    /// @notice Blocks after the purchase in which only deliverers deliver: 100.
    function FALLBACK_BLOCKS() external view returns (uint64);
    /// @notice Deliveries count until this many blocks after the purchase; refunds open after.
    function REFUND_BLOCKS() external view returns (uint64);
    /// @notice Length of the buyer's time to dispute.
    function DISPUTE_BLOCKS() external view returns (uint64);
    /// @notice Length of the arbitrator's time to rule.
    function ARBITRATION_BLOCKS() external view returns (uint64);
    /// @notice Who may propose slashes: a DAO's timelock, an account, or zero for nobody.
    function GOVERNOR() external view returns (address);
    /// @notice Blocks between the proposal of a slash and its first execution.
    function SLASH_DELAY_BLOCKS() external view returns (uint64);
    /// @notice Blocks in which a slash can be executed, after its delay.
    function SLASH_LAPSE_BLOCKS() external view returns (uint64);
    /// @notice Delay of a deliverer's exit; longer than the longest sale and a slash's delay.
    function EXIT_BLOCKS() external view returns (uint64);
    /// @notice Least stake of a deliverer that delivers, in wei.
    function MIN_DELIVERER_STAKE() external view returns (uint256);
    /// @notice Least free stake of a seller who opens a store, in wei.
    function MIN_SELLER_STAKE() external view returns (uint256);
}
