// Every sentence of the page. Each says what happened, what is with the money, and what comes next.
const one = new Intl.PluralRules('en');

function count(n: number, single: string, many: string): string {
  return `${n.toLocaleString('en')} ${one.select(n) === 'one' ? single : many}`;
}

export const words = {
  name: 'DAM',
  skip: 'Skip to the content',
  shop: 'Shop',
  library: 'Library',
  keys: 'Keys',
  settings: 'Settings',

  noToken:
    'This address lacks the token of this start. Nothing is lost: open the address that `dam web` printed in its terminal.',
  noServer:
    'The program behind this page does not answer. Nothing was paid. Start `dam web`, and open the address that it prints.',
  wrongToken:
    '`dam web` was started again since this tab was opened. Nothing is lost: open the address that it printed.',
  notFound: 'There is nothing at this address.',
  unknownMarket:
    'This page does not know this market, so it shows no price. Only your own settings can add one.',

  searchLabel: 'Search',
  searchHint: 'Your words stay on this machine.',
  sortLabel: 'Order',
  sorts: { best: 'Best', price: 'Price', new: 'New', rating: 'Rating' },
  marketLabel: 'Market',
  search: 'Search',
  more: 'Show more',
  nothing: 'Nothing is for sale here yet.',
  nothingFound: 'Nothing has all of these words.',
  looking: 'Looking at the market…',
  calls: (name: string) => `calls itself ${name}`,
  callsItself: 'Calls itself',
  noName: 'a store without a name',
  soldOut: 'Sold out',
  left: (free: number, of: number) =>
    `${free.toLocaleString('en')} of ${of.toLocaleString('en')} left`,
  notBacked: "The seller's stake covers no further sale now",
  noArbitrator: 'Nobody decides disputes',
  withArbitrator: 'Disputes are decided',
  notRated: 'not rated',
  stars: (tenths: number, ratings: number) => `${(tenths / 10).toFixed(1)} of 5 (${ratings})`,
  refunds: (n: number) => count(n, 'refund', 'refunds'),
  asOf: (block: number) => `As of block ${block.toLocaleString('en')}.`,
  waiting: (n: number) => `${count(n, 'store waits', 'stores wait')} to be read.`,
  unread: (n: number) => `${count(n, 'store', 'stores')} could not be read.`,
  hint: 'These rows are hints. What you open is checked against the chain before you can buy it.',
  trouble: (why: string) => `The list may be out of date: ${why}`,

  connect: 'Connect wallet',
  connectShort: 'Connect',
  wallet: 'Your wallet',
  close: 'Close',
  noWallet:
    'This browser has no wallet that this page can see. Nothing was paid. Install one that you trust, or turn it on for this page, then reload.',
  walletChoose: 'It signs and pays; this page never sees its keys.',
  walletAsking: 'Your wallet asks you: look there.',
  walletOf: (name: string) => `Connected by ${name}.`,
  walletChange: 'To use another account, change it in the wallet.',
  walletForget: 'Disconnect',
  walletRefused: {
    rejected: 'You said no in the wallet. Nothing was paid. Press again when you want to.',
    pending: 'Your wallet has the question open already: look there. Nothing was paid yet.',
    unknownChain:
      'Your wallet does not know this chain. Nothing was paid. Add the chain in the wallet, then press again.',
    disconnected:
      'Your wallet has no connection to its chain. Nothing was paid. Look at the wallet.',
    other:
      'Your wallet did not answer as wallets do. Nothing was paid. Look at the wallet, or use another.',
  },
  wrongChain: (chain: number, wanted: number) =>
    `Your wallet is on chain ${chain}, this market on chain ${wanted}. Nothing was paid.`,
  switchChain: (wanted: number) => `Switch the wallet to chain ${wanted}`,
  otherCopy:
    'Your wallet is on another copy of this chain. Nothing was paid. Set its node to the one that you use here.',

  store: 'Store',
  checking: 'Checking the store against the chain…',
  checked: (blocks: number, at: number) =>
    `Checked: ${count(blocks, 'block', 'blocks')}, root as on chain, block ${at.toLocaleString('en')}.`,
  storeStates: {
    none: 'This address has no store in this market. Nothing was paid.',
    closed: 'The seller has closed this store: nothing in it is for sale. Nothing was paid.',
    changed:
      'The seller changed the store a moment ago, or your index is behind. Nothing was paid. Look again.',
  },
  storeMissing: (why: string) =>
    `The good is not to be had now. Nothing was paid. Look again later. (${why})`,
  storeBroken: (why: string) =>
    `This store breaks a rule, so nothing in it can be bought. Nothing was paid. Only the seller can mend it. (${why})`,
  storeAway: (why: string) =>
    `The store could not be checked. Nothing was paid. Look again. (${why})`,
  noItem: 'This store does not have that item any more. Nothing was paid.',
  lookAgain: 'Look again',
  available: 'Available',
  risk: 'What you risk',
  youPay: 'You pay',
  andGas: 'and the gas of the purchase.',
  notHere: (until: string) => `Not here by ${until}?`,
  backAndMore: (penalty: string) => `You can take back all of it, and ${penalty} ETH more.`,
  wrong: 'Wrong?',
  complain: (span: string) => `Complain within ${span} of arrival, or the seller is paid.`,
  decides: 'This address decides (if it is silent, the seller is paid):',
  nobodyDecides: 'Nobody decides: no dispute is possible.',
  anyOf: (threshold: number, parts: number) =>
    parts === 1
      ? 'One deliverer holds all that opens it.'
      : `Any ${threshold} of ${parts} pieces, from as many deliverers, open it.`,
  buyByCommand: 'This page does not pay in tokens yet. Nothing was paid. The command line does:',
  buyFor: (price: string) => `Buy for ${price}`,
  knowsNobody: 'I know that nobody can give my money back if the good is worthless',
  details: 'Details',
  kind: 'Kind',
  language: 'Language',
  licence: 'Licence',
  fileName: 'File name',
  fileType: 'File type',
  itemName: 'Id',
  itemHash: 'Id on chain',
  deliverersEarn: 'Deliverers earn',
  document: 'Document',
  moment: (seconds: number) =>
    new Intl.DateTimeFormat('en', {
      weekday: 'short',
      day: 'numeric',
      month: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hour12: false,
      timeZoneName: 'short',
    }).format(seconds * 1000),
  span: (seconds: number) =>
    seconds >= 172_800
      ? count(Math.floor(seconds / 86_400), 'day', 'days')
      : seconds >= 3600
        ? count(Math.floor(seconds / 3600), 'hour', 'hours')
        : count(Math.floor(seconds / 60), 'minute', 'minutes'),

  pay: (price: string) => `Pay ${price}`,
  paySteps: ['Checked', 'Saved', 'Confirm in your wallet', 'On the chain'],
  stepDone: '(done)',
  payNoWallet:
    'Nothing is paid yet. Connect a wallet on the chain of this market; it asks you before it pays.',
  payNoKeys:
    'What opens the good is made from your keys, and you have none yet. Nothing was paid. Make them and their backup first.',
  unlockPassphrase: 'Passphrase of your keys',
  unlock: 'Open my keys',
  toPurchase: 'To the purchase',
  ownStore: 'This is your own store. Nothing was paid. Choose another account in the wallet.',
  arbitratorIsParty:
    'Whoever decides disputes here is a party to this sale. Nothing was paid. Buy elsewhere.',
  soldOutNow: 'The last copies were bought a moment ago. Nothing was paid. Look again later.',
  tooManyTries:
    'You have tried this copy too often. Nothing was paid. Go on with an earlier try: it is in your library.',
  buyChanged:
    'The seller changed the store while you were reading. Nothing was paid. Look again, and buy anew.',
  copyTaken:
    'Somebody bought this copy a moment ago. Nothing was paid. Press again: another is chosen, if one is free.',
  stakeTooLow:
    'The seller cannot cover another sale now. Nothing was paid. Look again when one of their sales has ended.',
  noMoney:
    'This account has less than the price. Nothing was paid. Fill it, or choose another in the wallet.',
  refused: (why: string) =>
    `The market would refuse this, so your wallet was not asked. Nothing was paid. Look again. (${why})`,
  payAway: (why: string) =>
    `That could not be looked up just now. Nothing changed. Try again. (${why})`,
  payRefused: {
    rejected: 'You said no in the wallet. Nothing was paid; your keys for this try are kept.',
    pending: 'Your wallet has the question open already: look there. Nothing was paid yet.',
    unknownChain: 'Your wallet does not know this chain. Nothing was paid. Add the chain there.',
    disconnected:
      'Your wallet has no connection to its chain. It may still send what it was asked; this page looks for it. Look at the wallet.',
    other:
      'Your wallet did not answer as wallets do. It may still send what it was asked; this page looks for it. Look at the wallet.',
  },
  switchAccount: (account: string) =>
    `Another account pays for this: switch the wallet to ${account}. Nothing was paid.`,
  otherTab:
    'Another tab is buying with this account. Nothing was paid here. Finish there, then press again.',
  undecided:
    'An earlier try at this good is open, and may have paid. Nothing was paid now. Look at that purchase first; if your wallet forgot it, ask again there.',
  buyAnew: 'This try was begun elsewhere and cannot be paid from here. Buy the good anew.',

  purchase: 'Purchase',
  noPurchase: 'This browser has no such purchase. Take its record in your library.',
  boughtFrom: 'From',
  purchaseStates: {
    saved: 'Nothing was paid. What opens the good is kept here: you can pay now.',
    asked:
      'Your wallet was asked. If you confirmed there, this page finds the purchase on the chain by itself; if the question is gone, ask again.',
    sent: 'Sent. Waiting until the chain has it; a transaction that you speed up in the wallet counts, too.',
    bought: 'Paid, and on the chain. Now the pieces come.',
    parts: 'Paid. Pieces are here.',
    open: 'The good is yours, and can be opened here any time.',
    done: 'This purchase has ended. The good can be opened here any time.',
    lost: 'Another buyer was faster. You paid nothing for this copy; others may be free.',
    failed: 'This try was refused: the price was not paid, at most its gas. You can buy anew.',
  },
  payNow: 'Pay now',
  askAgain: 'Ask the wallet again (only one of two can buy this copy; the other costs its gas)',
  stateNames: {
    saved: 'Not paid yet',
    asked: 'Your wallet was asked',
    sent: 'Sent to the chain',
    bought: 'Paid, waiting for pieces',
    parts: 'Paid, pieces are here',
    open: 'Opened',
    done: 'Ended',
    lost: 'Another buyer was faster; nothing was paid',
    failed: 'Refused; the price was not paid',
  },
  partsHere: (here: number, parts: number, needed: number) =>
    `Paid. ${here} of ${parts} pieces are here; ${needed === 1 ? 'one opens' : `any ${needed} open`} the good.`,
  partsUntil: (until: string) =>
    `They can come until ${until}. If too few do, you can take your money back from then on.`,
  partStates: {
    waiting: (n: number) => `Piece ${n} has not come yet.`,
    locked: (n: number) => `Piece ${n} is here; your keys look into it.`,
    good: (n: number) => `Piece ${n} is here, and good.`,
    junk: (n: number) => `Piece ${n} does not fit what the seller promised, and does not count.`,
    leftOut: (n: number) => `Your node left out piece ${n}. Nothing is lost: try another node.`,
  },
  logsLeftOut: (blocks: number) =>
    `Your node left out parts of the chain (asked ${count(blocks, 'block', 'blocks')}). Nothing is lost. Try another node.`,
  logsForged:
    'Your node told of a purchase that the market does not know. Nothing is lost. Try another node.',
  canOpen: 'Enough pieces are here: the good can be opened.',
  showCode: 'Show code',
  copyCode: 'Copy',
  saveGood: 'Save file',
  saved: 'Saved by your browser, among its downloads.',
  program: 'This is a program from a stranger. Opening it can harm your computer.',
  noPayload: 'The record of this purchase names no good. Nothing is lost: dam buyer open finds it.',
  tooLarge: (sale: string) =>
    `This file is too large for this page. It is yours: dam buyer open ${sale}`,
  late: 'Too few pieces came in time. You can take your money back, and the penalty on top:',
  confirmWhat:
    'Is it what you bought? Confirm, and the seller is paid now. If you do nothing, the seller is paid when the time for complaints has passed.',
  confirm: 'Confirm',
  confirmSent: 'Confirmed. Waiting until the chain has it.',
  settled:
    'The seller is paid: this purchase has ended well. The good can be opened here any time.',
  ended: 'This sale has ended. What came of it is in: dam buyer purchases.',
  saleId: 'Sale',
  payer: 'Paid by',
  transaction: 'Transaction',
  recordWhat:
    'The record of this purchase opens the good elsewhere together with your keys: dam buyer open.',
  recordSave: 'Save the record',
  recordTakeHead: 'Take a purchase from elsewhere',
  recordTake: 'Take this purchase',
  recordFile: 'Record file',
  recordLarge: 'the file is larger than any record',
  libraryEmpty: 'Nothing was bought in this browser yet.',

  keysWhat:
    'A seed makes the keys of your purchases. Whoever has it opens them; without it nobody does, you neither.',
  keysNone: 'This browser has no keys yet.',
  keysNoBackup: 'Your keys have no backup yet. Nothing can be paid before there is one.',
  keysBackedUp: 'Your keys are kept here, and their backup was read back.',
  keysBusy: 'Working: the passphrase is made slow to guess on purpose…',
  keysFailed: (why: string) => `That did not work: ${why}. Nothing was paid, and nothing is lost.`,
  keysNoWorker: 'this browser did not start a worker',
  keysLarge: 'the file is larger than any key file',
  keysMake: 'Make keys',
  keysTakeHead: 'Or take keys that you have',
  keysTake: 'Take these keys',
  keysWriteDown: 'Write this passphrase down, on paper',
  keysSaveWhat:
    'Then save the backup outside this browser. The command line opens it, too: dam keys restore buyer FILE.',
  keysSave: 'Save the backup',
  keysConfirmHead: 'Show that the backup can be read',
  keysConfirm: 'Read it back',
  keysFile: 'Key file',
  keysPassphrase: 'Passphrase',
  keysWipeHead: 'Remove the keys from this browser',
  keysWipeWhat: 'Purchases stay listed, but cannot be opened here without the backup.',
  keysWipeTick: 'I have the backup and its passphrase',
  keysWipe: 'Remove the keys',

  node: 'Node',
  nodeWell: (chain: number, block: number) =>
    `Your node is on chain ${chain} at block ${block.toLocaleString('en')}.`,
  nodeWrong: (chain: number, wanted: number) =>
    `Your node is on chain ${chain}, the market on chain ${wanted}. Nothing was paid. Set the right node: rpc in config.toml.`,
  nodeAway: (why: string) =>
    `Your node does not answer: ${why}. Nothing was paid. Look at it, or set another.`,
  markets: 'Markets',
  marketName: 'Market',
  chain: 'Chain',
  address: 'Address',
  governor: 'Governor',
  nobody: 'nobody',
  profile: 'Profile',
} as const;
