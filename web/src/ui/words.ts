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
  codeHash: 'Code hash',
  codeSame: 'as the record says',
  codeOther: 'another code than the record says: do not buy here',
  governor: 'Governor',
  nobody: 'nobody',
  profile: 'Profile',
} as const;
