"""createStore, updateStore: see test_store.tree."""

from dam.crypto.hashing import keccak

ETHER = 10**18
MIN = 2 * ETHER
ONE, TWO, ROOT = keccak(b"one"), keccak(b"two"), keccak(b"root")


def test_create(market, newcomer, seller, logged, event):
    market.stakeAsSeller(sender=newcomer, value=MIN)
    receipt = market.createStore(ONE, ROOT, sender=newcomer)
    assert logged(receipt) == [event("StoreCreated", seller=newcomer, digest=ONE, root=ROOT)]
    assert tuple(market.stores(newcomer)) == (ONE, keccak(ONE + ROOT))
    assert tuple(market.stores(seller)) == (bytes(32), bytes(32))


def test_create_needs_a_document(market, seller, reverts):
    with reverts("EmptyStore"):
        market.createStore(bytes(32), ROOT, sender=seller)


def test_create_once(market, seller, reverts):
    market.createStore(ONE, ROOT, sender=seller)
    with reverts("StoreExists", seller=seller):
        market.createStore(TWO, ROOT, sender=seller)


def test_create_needs_the_minimum_stake(market, newcomer, reverts):
    market.stakeAsSeller(sender=newcomer, value=MIN - 1)
    with reverts("SellerStakeTooLow", seller=newcomer, free=MIN - 1, needed=MIN):
        market.createStore(ONE, ROOT, sender=newcomer)
    market.stakeAsSeller(sender=newcomer, value=1)
    market.createStore(ONE, ROOT, sender=newcomer)


def test_update(market, seller, logged, event):
    market.createStore(ONE, ROOT, sender=seller)
    receipt = market.updateStore(TWO, bytes(32), sender=seller)
    assert logged(receipt) == [event("StoreUpdated", seller=seller, digest=TWO, root=bytes(32))]
    assert tuple(market.stores(seller)) == (TWO, keccak(TWO + bytes(32)))


def test_update_needs_a_document(market, seller, reverts):
    market.createStore(ONE, ROOT, sender=seller)
    with reverts("EmptyStore"):
        market.updateStore(bytes(32), ROOT, sender=seller)


def test_update_needs_a_store(market, seller, reverts):
    with reverts("NoStore", seller=seller):
        market.updateStore(ONE, ROOT, sender=seller)


def test_update_needs_no_stake(market, seller):
    market.createStore(ONE, ROOT, sender=seller)
    market.withdrawSellerStake(100 * ETHER, seller, sender=seller)
    market.updateStore(TWO, ROOT, sender=seller)
    assert market.stores(seller).digest == TWO


def test_attack_stolen_watchdog_key_publishes_nothing(market, seller, watchdog, reverts):
    market.createStore(ONE, ROOT, sender=seller)
    with reverts("NoStore", seller=watchdog):
        market.updateStore(TWO, ROOT, sender=watchdog)
    with reverts("SellerStakeTooLow", seller=watchdog, free=0, needed=MIN):
        market.createStore(TWO, ROOT, sender=watchdog)
    assert market.stores(seller).digest == ONE
