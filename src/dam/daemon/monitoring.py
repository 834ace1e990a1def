"""What watches a daemon: heartbeat, service manager, metrics, health server.

It begins before the node is reached, so that a wait for the node can be seen from outside; the
daemon sets the fields of `sources` as its parts come.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from dam import __version__
from dam.config.settings import Settings
from dam.daemon.health import Answers, HealthServer
from dam.daemon.heartbeat import Heartbeat
from dam.daemon.metrics import Funds, Metrics, Sources
from dam.daemon.systemd import Notifier
from dam.errors import Retryable
from dam.log import Log, with_alerts
from dam.market.client import DelivererInfo
from dam.types import Windows

_STATUS_SECONDS = 1.0
_FUNDS_SECONDS = 60.0


class Monitoring:
    """One per daemon.

    Args:
        settings: `Settings.health_port` says whether and where the health server is.
        role: ``deliverer`` or ``watchdog``.
        log: Logger.
        environ: Where a service manager is named; nothing for a daemon that shares its process.
        end: Ends the process when it is stuck (see `heartbeat`); None: just log.

    Raises:
        ConfigError: The port of the health server cannot be had.
    """

    def __init__(
        self,
        settings: Settings,
        role: str,
        log: Log,
        *,
        environ: Mapping[str, str] | None = None,
        end: Callable[[], None] | None = None,
    ) -> None:
        self._metrics = Metrics(role, __version__)
        log = with_alerts(log, self.alert)
        self._notifier = Notifier(environ or {})
        self.beats = Heartbeat(self._notifier, log=log, end=end, lag=self._metrics.lag)
        self.sources.silent = lambda: self.beats.silent
        self._server: HealthServer | None = None
        if settings.health_port is not None:
            answers = Answers(
                lambda: self.beats.healthy, self.obstacles, self._metrics.text, self.notes
            )
            self._server = HealthServer(settings.health_port, answers)
            log.info("health", url=f"http://127.0.0.1:{self._server.port}/metrics")

    def alert(self, event: str, level: str) -> None:
        """Counts a line of the log."""
        self._metrics.alert(event, level)

    @property
    def sources(self) -> Sources:
        """Where the metrics look: set its fields as they come."""
        return self._metrics.sources

    def obstacles(self) -> list[str]:
        """Why the daemon is not at work; none if it is. For any thread."""
        pulse, funds = self.sources.pulse, self.sources.funds
        if not self.beats.healthy:
            return ["the event loop is blocked, or rounds do not end"]
        found = ["waiting for the node"] if pulse is None else pulse.obstacles()
        nodes = self.sources.endpoints
        if nodes is not None and nodes.disagreement:
            found.append(f"nodes disagree: {nodes.disagreement}")
        if funds is not None and funds.eligible is False:
            found.append("not eligible: stake below the minimum, or an exit is requested")
        return found

    def notes(self) -> list[str]:
        """Nodes that are not well, each with the reason. For any thread."""
        nodes = self.sources.endpoints
        troubles = {} if nodes is None else nodes.troubles
        return [f"node {host}: {why}" for host, why in troubles.items()]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Beats, reports to the service manager and serves metrics while inside."""
        server = contextlib.nullcontext() if self._server is None else self._server.serving()
        with self.beats.watched(), server, contextlib.closing(self._notifier):
            tasks = [asyncio.create_task(self.beats.beat()), asyncio.create_task(self._report())]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def watch_funds(
        self,
        balance: Callable[[], Awaitable[int]],
        stake: Callable[[], Awaitable[DelivererInfo]] | None,
        windows: Windows,
    ) -> None:
        """Looks up what the account has, once a minute, until cancelled.

        Args:
            balance: Gives the coins of the account, in wei.
            stake: Gives what the contract knows of the deliverer; None for another daemon.
            windows: With the least stake.
        """
        while self._server is not None:
            with contextlib.suppress(Retryable):
                coins = await balance()
                if stake is None:
                    self.sources.funds = Funds(coins)
                else:
                    info = await stake()
                    enough = info.stake >= windows.min_deliverer_stake and info.exit_time == 0
                    self.sources.funds = Funds(coins, info.stake, enough)
            await asyncio.sleep(_FUNDS_SECONDS)
        await asyncio.Event().wait()

    async def _report(self) -> None:
        sent = ""
        while True:
            text = "; ".join(self.obstacles())
            pulse = self.sources.pulse
            if not text and pulse is not None:
                text = f"at work, block {pulse.cursor} of {pulse.head}"
            if text != sent:
                self._notifier.status(text)
                sent = text
            await asyncio.sleep(_STATUS_SECONDS)
