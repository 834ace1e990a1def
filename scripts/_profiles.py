"""Deployment profiles: windows, stakes and fine for each kind of chain, with their reasons.

What a chain's contracts count as blocks, and how long 100 of them last, is measured
(`_chain_clock`) and compared with the profile: the windows cannot be changed afterwards.

Common to all: the time to dispute (3 days) and to rule (7 days) are for people, who have weekends
on every chain; a slash waits 7 days, so that whoever is to be slashed can speak, and lapses after
7 more; an exit takes all of it and a day. Stakes and fine are for what a fraud costs others, and
not for what gas costs: a fifth of the fine is what proving junk pays.
"""

from __future__ import annotations

from dataclasses import dataclass

from dam.types import Wei, Windows

HOUR_SECONDS, DAY_SECONDS = 3600, 86_400
EXIT_MARGIN_SECONDS = DAY_SECONDS
"""Beyond the longest sale and a slash's delay and lapse. Choose more for a governor whose own path
is longer."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is proposed for one kind of chain."""

    name: str
    chain: str
    """The kind, in words."""
    why: str
    refund_hours: int
    """Deliverers have a third of it, proofs of junk two thirds."""
    own_blocks: bool | None
    """Whether contracts count the chain's own blocks; None: either."""
    fallback_seconds: tuple[int, int]
    """How long 100 blocks are expected to last, at least and at most."""
    min_stake: Wei
    """Of deliverers and of sellers."""
    junk_fine: Wei

    @property
    def windows(self) -> Windows:
        """What the contract takes."""
        refund, dispute = self.refund_hours * HOUR_SECONDS, 3 * DAY_SECONDS
        arbitration = slash_delay = slash_lapse = 7 * DAY_SECONDS
        return Windows(
            refund,
            dispute,
            arbitration,
            longest_seconds(refund, dispute, arbitration, slash_delay, slash_lapse)
            + EXIT_MARGIN_SECONDS,
            slash_delay,
            slash_lapse,
            self.min_stake,
            self.min_stake,
            self.junk_fine,
        )

    def fits(self, own_blocks: bool | None, seconds: float | None) -> tuple[str, str]:
        """Why the chain is not of this kind at all, and what else is unlike it; empty: nothing.

        Args:
            own_blocks: Whether contracts count the chain's own blocks; None: it was not measured.
            seconds: How long 100 blocks lasted of late, likewise.
        """
        if None not in (own_blocks, self.own_blocks) and own_blocks != self.own_blocks:
            counted = "the chain's own blocks" if own_blocks else "the blocks of another chain"
            return f"contracts count {counted} here, unlike on {self.chain}", ""
        low, high = self.fallback_seconds
        if seconds is not None and not low <= seconds <= high:
            told = f"100 blocks last about {seconds:.0f} s here, and {low} to {high} s on "
            return "", told + self.chain
        return "", ""


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "l1",
            "a chain of its own with slow blocks, such as Ethereum",
            "24 h to a refund: deliverers have 8 h, longer than any outage of a day's night; "
            "nobody can keep a transaction out for so long. 100 blocks are 20 minutes. The fine is "
            "half a stake, so that a deliverer with one sale open can pay it; proving costs as "
            "much as a sale, so junk is proved where goods are dear",
            refund_hours=24,
            own_blocks=True,
            fallback_seconds=(250, 3600),
            min_stake=Wei(10**16),
            junk_fine=Wei(5 * 10**15),
        ),
        Profile(
            "rollup",
            "a rollup with blocks of its own, such as OP Mainnet or Base",
            "48 h to a refund: deliverers have 16 h, and whoever the sequencer keeps out gets in "
            "through the chain below within 12 h (the sequencing window), as after a halt. 100 "
            "blocks of 2 s are 200 s: sellers deliver soon where deliverers are away. Gas is "
            "cheap, so a fine of 0.002 ether pays a proof many times over, and a smaller stake "
            "lets more people deliver",
            refund_hours=48,
            own_blocks=True,
            fallback_seconds=(20, 250),
            min_stake=Wei(5 * 10**15),
            junk_fine=Wei(2 * 10**15),
        ),
        Profile(
            "arbitrum",
            "a rollup whose contracts count the blocks of the chain below, such as Arbitrum One",
            "96 h to a refund: deliverers have 32 h, and whoever the sequencer keeps out gets in "
            "through the chain below after 24 h. 100 blocks are those of Ethereum, 20 minutes. "
            "Stake and fine as on other rollups",
            refund_hours=96,
            own_blocks=False,
            fallback_seconds=(250, 3600),
            min_stake=Wei(5 * 10**15),
            junk_fine=Wei(2 * 10**15),
        ),
        Profile(
            "development",
            "a chain that ends with its process",
            "as on Ethereum; nothing is measured, since whoever has such a chain moves its time",
            refund_hours=24,
            own_blocks=None,
            fallback_seconds=(0, 1 << 30),
            min_stake=Wei(10**16),
            junk_fine=Wei(5 * 10**15),
        ),
    )
}


def longest_seconds(*windows: int) -> int:
    """The longest sale, and the delay and lapse of a slash: an exit lasts at least so long."""
    return sum(windows)


def propose(own_blocks: bool | None, seconds: float | None) -> str:
    """Name of the profile that looks right, or empty."""
    if own_blocks is None or seconds is None:
        return ""
    names = [
        name
        for name, profile in PROFILES.items()
        if name != "development" and profile.fits(own_blocks, seconds) == ("", "")
    ]
    return names[-1] if names else ""
