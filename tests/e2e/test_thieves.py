"""Scene d of the demo, as a test: the thieves get nothing while honest sales are served."""

import io

import pytest

from demo.goods import draw
from demo.participants import Participants
from demo.report import Report
from demo.scenes import thieves

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]


async def test_no_deliverer_serves_a_thief(world):
    people = Participants(world, draw("thieves"), named=True)
    await people.enter()
    await people.publish()
    people.raise_daemons()
    await people.ready(*people.daemons, people.watchdog)
    told = io.StringIO()
    report = Report(told)
    with report.scene("d", "three thieves") as scene:
        await thieves.run(people, report, scene)
    assert scene.good, told.getvalue()
    # Two honest sales; three thieves who got nothing, and three deliverers who refused each.
    assert scene.checks == 2 + 3 + 3 * 3
