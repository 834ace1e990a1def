"""The launchers of private nodes: each stops its own process, and says why one did not start."""

import os

import pytest

from dam.testing.nodes import AnvilNode, KuboNode, NodeFailedError, NodeMissingError, find_program


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_each_stops_its_own() -> None:
    with AnvilNode(chain_id=5) as other:
        async with AnvilNode(chain_id=7, accounts=3) as node:
            assert node.request("eth_chainId") == "0x7"
            assert len(node.request("eth_accounts")) == 3
            pid, folder = node.pid, node.folder
            assert node.url != other.url
        assert not alive(pid)
        assert not folder.exists()
        assert other.request("eth_chainId") == "0x5"
        node.stop()


def test_mines_by_time_or_by_call() -> None:
    with AnvilNode(block_time=60) as node:
        node.mine(3)
        assert node.request("eth_blockNumber") == "0x3"


def test_starts_again_on_its_port() -> None:
    with AnvilNode() as node:
        port = node.port
    with AnvilNode(port=port) as again:
        assert again.url.endswith(f":{port}")


def test_failure_shows_the_log() -> None:
    node = AnvilNode(args=("--no-such-option",))
    with pytest.raises(NodeFailedError, match="no-such-option"):
        node.start()
    with AnvilNode() as first, pytest.raises(NodeFailedError):
        AnvilNode(port=first.port).start()


def test_missing_program_names_the_remedy() -> None:
    with pytest.raises(NodeMissingError, match="run make"):
        find_program("no-such-program-of-dam", "run make")


def test_rpc_errors_are_raised() -> None:
    with AnvilNode() as node, pytest.raises(NodeFailedError, match="no_such"):
        node.request("no_such_method")


@pytest.mark.kubo
def test_kubo_is_private(kubo: KuboNode) -> None:
    log = kubo.log.read_text()
    assert "Swarm not listening" in log
    listening = [line for line in log.splitlines() if "listening on" in line.lower()]
    assert listening
    assert all("/ip4/127.0.0.1/" in line for line in listening if "/ip4/" in line)
