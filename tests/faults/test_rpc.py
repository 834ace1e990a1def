"""F17 to F34: a node that hangs, lies, lags and breaks off."""

from __future__ import annotations

from tests.faults.ground import Ground
from tests.faults.oracle import oracle
from tests.faults.rpc_proxy import RpcProxy, TooMany
from tests.faults.table import Injected, fault


@fault(
    18,
    "429 Too Many Requests",
    by="P",
    breaks="src/dam/rpc.py:if response.status != 200 and not _is_answer(data):",
    instead="if False:",
)
async def test_f18_429(ground: Ground, proxy: RpcProxy, injected: Injected) -> None:
    daemon = await ground.deliverer(rpc=proxy.url).start()
    proxy.inject(TooMany(), times=3)
    await ground.buy()
    await ground.until_delivered()
    await ground.settle_down()
    await oracle(ground)
    assert await daemon.stop() == 0
