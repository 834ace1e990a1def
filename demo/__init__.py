"""The demo: a small world of real parts, the scenes played in it, and what must come out.

`world` starts the chain, the block store and the daemons; `scenes` plays the sales; `balances`
counts every wei; `report` prints and judges. The end-to-end tests are built on the same world.
"""
