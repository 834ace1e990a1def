// Hardhat's development chain; a block a second besides one for each transaction.
module.exports = {
  solidity: "0.8.30",
  networks: { hardhat: { mining: { auto: true, interval: 1000 } } },
};
