"""Scene d of the demo, as a test: the thieves get nothing while honest sales are served."""

import io

import pytest

from demo.cast import Cast
from demo.goods import draw
from demo.report import Report
from demo.scenes import thieves

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]


async def test_no_deliverer_serves_a_thief(world):
    cast = Cast(world, draw("thieves"), named=True)
    await cast.enter()
    await cast.publish()
    cast.raise_daemons()
    await cast.ready(*cast.daemons, cast.watchdog)
    told = io.StringIO()
    report = Report(told)
    with report.scene("d", "three thieves") as scene:
        await thieves.play(cast, report, scene)
    assert scene.good, told.getvalue()
    # Two honest sales; three thieves who got nothing, and three deliverers who refused each.
    assert scene.checks == 2 + 3 + 3 * 3
