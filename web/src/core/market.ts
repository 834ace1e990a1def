// The market's functions, events and errors; a test compares them with the compiler's ABI.

import {
  decodeFields,
  encodeFields,
  type Field,
  parseFields,
  parseSignature,
  type Signature,
  type Value,
} from './abi.js';
import { concat, toHex } from './bytes.js';
import { Malformed } from './errors.js';

const STRUCTS: Readonly<Record<string, string>> = {
  Closure: 'bytes32 copyId, Sale sale, Escrow escrow',
  Deadlines:
    'uint64 fallbackBlock, uint64 deliver, uint64 proof, uint64 fallbackDelivery, uint64 refundFrom, uint64 dispute, uint64 ruling, uint64 arbitratorPaidFrom, uint64 settleFrom',
  Delivery:
    'bytes32 copyId, Sale sale, uint8 index, address deliverer, bytes32 commitment, bytes32 secretHash, bytes32 salt, bytes32 freshKey, bytes32[] proof, bytes fragment',
  Escrow:
    'bytes32 storeDigest, bytes32 keysHash, address token, uint128 price, uint128 penalty, uint128 bond, address arbitrator',
  Hint: 'uint8 kind, uint256 vE, uint256 uQ, uint256 vQ, uint256 w',
  JunkEvidence:
    'uint8 index, address deliverer, bytes32 commitment, bytes32 secretHash, bytes32 salt, bytes32[] proof, bytes32 freshKey, bytes fragment, bytes32 secret, Hint hint',
  Leaf: 'uint8 index, address deliverer, bytes32 commitment, bytes32 secretHash, bytes32 salt, bytes32[] proof',
  Permit: 'uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s',
  Sale: 'address seller, address buyer, uint64 purchaseBlock, uint64 purchaseTime, uint64 copy, bool stock, uint8 parts, uint8 threshold, uint128 fee, bytes32 partsRoot, bytes32 escrowHash',
  Signature: 'bytes32 r, bytes32 vs',
  SignedList: 'bytes32[] entries, Signature signature, uint256 position',
  Slash:
    'address operator, uint48 firstTime, uint48 lastTime, address beneficiary, uint96 amount, uint96 stake, uint256 removed',
  Split: 'uint256 toBuyer, uint256 penalty, uint256 toArbitrator, uint256 deadline',
  Terms:
    'bytes32 itemId, address token, uint128 price, uint128 commission, uint128 penalty, uint128 bond, uint64 supply, bool stock, uint8 parts, uint8 threshold, address arbitrator, bytes32 partsRoot, bytes32 salt',
};

const FUNCTIONS = [
  'addDelivererStake(address operator)',
  'agree(bytes32 copyId, Sale sale, Escrow escrow, Split split, bytes buyerSignature, bytes sellerSignature)',
  'ARBITRATION_SECONDS() -> (uint64)',
  'burnt() -> (uint256)',
  'buyItem(address seller, Terms terms, bytes32[] proof, bytes32 storeDigest, uint64 copy, bytes32[] keys)',
  'buyItemByPermit(address seller, Terms terms, bytes32[] proof, bytes32 storeDigest, uint64 copy, bytes32[] keys, Permit permit)',
  'cancelExit(address operator)',
  'cancelSlashing(uint256 id)',
  'clock() -> (uint256 blockNumber, uint256 timestamp)',
  'closeMany(Closure[] closures)',
  'CLOSING() -> (address)',
  'concede(bytes32 copyId, Sale sale, Escrow escrow)',
  'confirm(bytes32 copyId, Sale sale, Escrow escrow)',
  'createStore(bytes32 digest, bytes32 root)',
  'credits(address account, address token) -> (uint256)',
  'deadlines(bytes32 copyId, Sale sale) -> (Deadlines)',
  'deliverers(address operator) -> (address owner, uint256 stake, uint256 earned, uint256 delivered, uint256 exitTime)',
  'delivererStakes(address operator) -> (uint256)',
  'deliverFragment(Delivery delivery, Signature signature)',
  'deliverFragments(Delivery[] deliveries, Signature signature)',
  'DELIVERY_SECONDS() -> (uint64)',
  'DISPUTE_SECONDS() -> (uint64)',
  'DOMAIN_SEPARATOR() -> (bytes32)',
  'executeSlashing(uint256 id)',
  'EXIT_SECONDS() -> (uint64)',
  'FALLBACK_BLOCKS() -> (uint64)',
  'frozenUntil(address operator) -> (uint256)',
  'GOVERNOR() -> (address)',
  'JUNK_FINE() -> (uint256)',
  'marks(bytes32 copyId) -> (uint32 punished, uint32 cleared, bytes24 freshKey)',
  'MIN_DELIVERER_STAKE() -> (uint256)',
  'MIN_SELLER_STAKE() -> (uint256)',
  'openDispute(bytes32 copyId, Sale sale, Escrow escrow, bytes32 evidence)',
  'postTerms(address operator, uint256 minFee, bool open)',
  'PROOF_SECONDS() -> (uint64)',
  'PROOFS() -> (address)',
  'proposeSlashing(address operator, uint256 amount, address beneficiary, bytes32 reason) -> (uint256 id)',
  'proveBadLeaves(bytes32 copyId, Sale sale, Escrow escrow, Leaf one, Leaf other)',
  'proveBadShares(bytes32 copyId, Sale sale, Escrow escrow, Leaf[] leaves, bytes32[] shares)',
  'proveJunk(bytes32 copyId, Sale sale, Escrow escrow, bytes32[] keys, bytes32 freshKey, JunkEvidence[] evidence, SignedList[] lists)',
  'proveSellerJunk(bytes32 copyId, Sale sale, Escrow escrow, bytes32[] keys, JunkEvidence evidence)',
  'rateSale(bytes32 copyId, Sale sale, uint8 stars)',
  'refund(bytes32 copyId, Sale sale, Escrow escrow)',
  'REFUND_SECONDS() -> (uint64)',
  'requestExit(address operator)',
  'resolveDispute(bytes32 copyId, Sale sale, Escrow escrow, uint256 toBuyer, bool penaltyAwarded)',
  'rotateDelivererKey(address operator, bytes32 key, bytes32[2] possession)',
  'sales(bytes32 copyId) -> (uint8 status, uint32 delivered, uint32 since, bool rated, bool marked, bytes24 commitment)',
  'sellerEntries(bytes32 copyId, uint256 index) -> (bytes32)',
  'sellerOperator(address seller) -> (address)',
  'sellerStakes(address seller) -> (uint256)',
  'sellerStoreCID(address seller) -> (string)',
  'setSellerOperator(address operator)',
  'settle(bytes32 copyId, Sale sale, Escrow escrow)',
  'SLASH_DELAY_SECONDS() -> (uint64)',
  'SLASH_LAPSE_SECONDS() -> (uint64)',
  'slashes(uint256 id) -> (Slash)',
  'stakeAsDeliverer(bytes32 key, bytes32[2] possession)',
  'stakeAsDelivererFor(address owner, bytes32 key, bytes32[2] possession)',
  'stakeAsSeller()',
  'stores(address seller) -> (bytes32 digest, bytes32 catalogue)',
  'submitEvidence(bytes32 copyId, Sale sale, Escrow escrow, string evidence)',
  'supplyFragments(Delivery[] deliveries, Signature signature)',
  'updateStore(bytes32 digest, bytes32 root)',
  'withdraw(address token, address to)',
  'withdrawDelivererStake(address operator, address to)',
  'withdrawEarnings(address operator, address to)',
  'withdrawSellerStake(uint256 amount, address to)',
];

const EVENTS = [
  'DelivererExitCancelled(address indexed operator)',
  'DelivererExitRequested(address indexed operator, uint256 availableTime)',
  'DelivererKeyRotated(address indexed operator, bytes32 key, bytes32[2] possession)',
  'DelivererOwnerSet(address indexed operator, address indexed owner)',
  'DelivererStakeAdded(address indexed operator, uint256 amount, uint256 stake)',
  'DelivererStaked(address indexed operator, bytes32 key, bytes32[2] possession, uint256 stake)',
  'DelivererStakeWithdrawn(address indexed operator, address to, uint256 amount)',
  'DelivererTermsPosted(address indexed operator, uint256 minFee, bool open)',
  'DisputeOpened(bytes32 indexed copyId, address indexed buyer, address indexed arbitrator, bytes32 evidence)',
  'DisputeResolved(bytes32 indexed copyId, address indexed arbitrator, uint256 toBuyer, uint256 penalty)',
  'Evidence(address indexed _arbitrator, uint256 indexed _evidenceGroupID, address indexed _party, string _evidence)',
  'FragmentDelivered(bytes32 indexed copyId, address indexed by, uint8 index, address deliverer, bytes32 commitment, bytes32 secretHash, bytes32 salt, bytes32 ephemeralKey, bytes16 tag, bytes32 ciphertext)',
  'FragmentsSigned(address indexed signer, bytes32 r, bytes32 vs, bytes32[] entries)',
  'FragmentSupplied(bytes32 indexed copyId, address indexed seller, uint8 index, address deliverer, bytes32 commitment, bytes32 secretHash, bytes32 salt, bytes32 ephemeralKey, bytes16 tag, bytes32 ciphertext)',
  'ItemPurchased(bytes32 indexed copyId, address indexed seller, address indexed buyer, bytes32 storeDigest, uint64 copy, uint64 purchaseBlock, uint64 purchaseTime, Terms terms, bytes32[] keys)',
  'JunkProved(bytes32 indexed copyId, address indexed deliverer, uint8 index, bytes32 freshKey, uint256 taken, uint256 bounty, bool cleared)',
  'SaleAgreed(bytes32 indexed copyId, uint256 toBuyer, uint256 penalty, uint256 toArbitrator)',
  'SaleRated(bytes32 indexed copyId, address indexed seller, address indexed buyer, uint8 stars)',
  'SaleRefunded(bytes32 indexed copyId, address indexed by, uint256 penalty)',
  'SaleSettled(bytes32 indexed copyId, address indexed by)',
  'SellerFaultProved(bytes32 indexed copyId, address indexed seller)',
  'SellerOperatorSet(address indexed seller, address operator)',
  'SellerStaked(address indexed seller, uint256 amount, uint256 free)',
  'SellerStakeWithdrawn(address indexed seller, address to, uint256 amount, uint256 free)',
  'SlashCancelled(uint256 indexed id, address indexed operator)',
  'SlashExecuted(uint256 indexed id, address indexed operator, address indexed beneficiary, uint256 taken)',
  'SlashProposed(uint256 indexed id, address indexed operator, address indexed beneficiary, uint256 amount, bytes32 reason, uint256 firstTime, uint256 lastTime)',
  'StoreCreated(address indexed seller, bytes32 digest, bytes32 root)',
  'StoreUpdated(address indexed seller, bytes32 digest, bytes32 root)',
  'Withdrawn(address indexed account, address indexed token, address to, uint256 amount)',
];

const ERRORS = [
  'AlreadyDelivered(bytes32 copyId, uint8 index)',
  'AlreadyPunished(bytes32 copyId, uint8 index)',
  'AlreadyRated(bytes32 copyId)',
  'AlreadyRegistered(address operator)',
  'AmountTooLarge(uint256 amount)',
  'BeforeGate(bytes32 copyId, uint256 gateBlock)',
  'CoinsWithToken(uint256 value)',
  'CopyBeyondSupply(uint64 copy, uint64 supply)',
  'CopyTaken(bytes32 itemId, uint64 copy)',
  'DeliveryClosed(bytes32 copyId, uint256 lastTime)',
  'EmptyStore()',
  'EntryNotFound(bytes32 copyId, uint8 index)',
  'ExitNotRequested(address operator)',
  'ExitPending(address operator, uint256 availableTime)',
  'ExitRequested(address operator)',
  'FallbackTooEarly(bytes32 copyId, uint256 firstBlock)',
  'IndexPunished(bytes32 copyId, uint8 index)',
  'InvalidArbitrator(address arbitrator)',
  'InvalidFragmentLength(uint256 length)',
  'InvalidKey(bytes32 key)',
  'InvalidRating(uint8 stars)',
  'InvalidSignature()',
  'InvalidSplit(bytes32 copyId)',
  'InvalidTerms(bytes32 itemId)',
  'InvalidWindow(bytes32 name, uint256 value, uint256 min, uint256 max)',
  'JunkFineTooHigh(uint256 fine, uint256 minDelivererStake)',
  'ListTooLong(uint256 entries, uint256 most)',
  'NoArbitrator(bytes32 copyId)',
  'NoProofs(address proofs)',
  'NoSlash(uint256 id)',
  'NoStore(address seller)',
  'NotAgreed(address party)',
  'NotAllowed(address caller)',
  'NotEligible(address operator)',
  'NothingClosed()',
  'NothingDelivered()',
  'NothingProved(bytes32 copyId)',
  'NothingToSlash(address operator)',
  'NothingToWithdraw()',
  'NotRegistered(address operator)',
  'NotTheDeliverers(address deliverer, address signer)',
  'NotYourPart(address deliverer, address signer)',
  'PartNotInItem(bytes32 copyId, uint8 index)',
  'Reentered()',
  'RulingTooHigh(uint256 toBuyer, uint256 price)',
  'SealedForAnotherCopy(uint64 copy, uint64 sealedFor)',
  'SellerStakeTooLow(address seller, uint256 free, uint256 needed)',
  'SlashTooEarly(uint256 id, uint256 firstTime)',
  'StakeFrozen(address operator, uint256 lastTime)',
  'StakeTooLow(uint256 stake, uint256 minimum)',
  'StoreChanged(address seller, bytes32 read, bytes32 current)',
  'StoreClosed(address seller)',
  'StoreExists(address seller)',
  'TermsNotInCatalogue(address seller, bytes32 itemId)',
  'TokenAmountWrong(address token, uint256 received, uint256 price)',
  'TokenTransferFailed(address token)',
  'TooEarly(bytes32 copyId, uint256 firstTime)',
  'TooLate(bytes32 copyId, uint256 lastTime)',
  'TransferFailed(address to, uint256 amount)',
  'Underpaid(uint256 paid, uint256 price)',
  'WrongBond(uint256 paid, uint256 bond)',
  'WrongEscrow(bytes32 copyId)',
  'WrongFreshKey(bytes32 copyId, bytes32 freshKey)',
  'WrongKeyCount(uint256 keys, uint256 parts)',
  'WrongKeys(bytes32 copyId)',
  'WrongSale(bytes32 copyId)',
  'WrongShares(bytes32 copyId)',
  'WrongStatus(bytes32 copyId, uint8 status)',
  'ZeroAddress()',
];

const parse = (text: string): Signature => parseSignature(text, STRUCTS);

export const functions: ReadonlyMap<string, Signature> = new Map(
  FUNCTIONS.map(parse).map((one) => [one.name, one]),
);
/** By first topic, as 0x-hex. */
export const events: ReadonlyMap<string, Signature> = new Map(
  EVENTS.map(parse).map((one) => [toHex(one.digest), one]),
);
/** First topic of each event, as 0x-hex, by its name. */
export const topics: ReadonlyMap<string, string> = new Map(
  [...events].map(([topic, one]) => [one.name, topic]),
);
/** By selector, as 0x-hex. */
export const errors: ReadonlyMap<string, Signature> = new Map(
  ERRORS.map(parse).map((one) => [toHex(one.digest.slice(0, 4)), one]),
);

const structs: ReadonlyMap<string, readonly Field[]> = new Map(
  Object.entries(STRUCTS).map(([name, text]) => [name, parseFields(text, STRUCTS)]),
);

export type Args = { readonly [name: string]: Value };

/** `abi.encode` of a struct of the market: what is hashed of it. */
export function encodeStruct(struct: string, value: object): Uint8Array {
  return encodeFields(structs.get(struct) as readonly Field[], value as Args);
}

/** Calldata of a call; arguments by their names in the contract. */
export function encodeCall(name: string, args: Args = {}): Uint8Array {
  const found = functions.get(name);
  if (!found) throw new Malformed(`the contract has no function ${name}`);
  return concat(found.digest.slice(0, 4), encodeFields(found.inputs, args));
}

/** What a view returned, by name; an output without one by its place. */
export function decodeResult(name: string, data: Uint8Array): { [name: string]: Value } {
  const found = functions.get(name);
  if (!found) throw new Malformed(`the contract has no function ${name}`);
  return decodeFields(found.outputs, data);
}

export interface DecodedEvent {
  name: string;
  args: { [name: string]: Value };
}

/** A log of the market, every word in its place. Texts are decoded with replacements. */
export function decodeEvent(topicList: readonly Uint8Array[], data: Uint8Array): DecodedEvent {
  const event = topicList[0] && events.get(toHex(topicList[0]));
  if (!event) throw new Malformed('no event of this contract');
  const indexed = event.inputs.filter((field) => field.indexed);
  const rest = event.inputs.filter((field) => !field.indexed);
  if (topicList.length !== 1 + indexed.length) {
    throw new Malformed(`${event.name} has ${indexed.length} indexed arguments`);
  }
  const args = {
    ...decodeFields(indexed, concat(...topicList.slice(1))),
    ...decodeFields(rest, data),
  };
  for (const { name, type } of rest) {
    if (type.kind === 'string') args[name] = lossy(args[name] as Uint8Array);
  }
  return { name: event.name, args };
}

function lossy(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: false, ignoreBOM: true }).decode(bytes);
}

export interface Revert {
  /** Of the custom error; '' without data, 'unknown' for what is no error of the market. */
  name: string;
  args: { [name: string]: Value };
}

/** What a revert's data says. */
export function decodeRevert(data: Uint8Array): Revert {
  if (!data.length) return { name: '', args: {} };
  const found = errors.get(toHex(data.slice(0, 4))) ?? STANDARD.get(toHex(data.slice(0, 4)));
  if (found) {
    try {
      const args = decodeFields(found.inputs, data.slice(4));
      if (args.message instanceof Uint8Array) args.message = lossy(args.message).slice(0, 200);
      return { name: found.name, args };
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
    }
  }
  return { name: 'unknown', args: { data: data.slice(0, 36) } };
}

const STANDARD: ReadonlyMap<string, Signature> = new Map(
  ['Error(string message)', 'Panic(uint256 code)']
    .map(parse)
    .map((one) => [toHex(one.digest.slice(0, 4)), one]),
);
