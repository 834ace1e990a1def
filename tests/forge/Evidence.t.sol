// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IMarketplace} from "../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "./MarketTest.sol";

/// @notice Evidence of a dispute's parties, in the form of ERC-1497.
contract EvidenceTest is MarketTest {
    function _submit(Order memory order, address who) private {
        vm.prank(who);
        market.submitEvidence(order.copyId, order.sale, order.escrow, "/ipfs/evidence");
    }

    function test_byEachParty() external {
        Order memory order = _complete();
        _dispute(order);
        address[3] memory parties = [buyer, seller, arbitrator];
        for (uint256 i; i < parties.length; ++i) {
            vm.expectEmit(address(market));
            emit IMarketplace.Evidence(
                arbitrator, uint256(order.copyId), parties[i], "/ipfs/evidence"
            );
            _submit(order, parties[i]);
        }
        _balanced();
    }

    function test_byNobodyElse() external {
        Order memory order = _complete();
        _dispute(order);
        address[3] memory others = [stranger, three[0], governor];
        for (uint256 i; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAllowed.selector, others[i]));
            _submit(order, others[i]);
        }
    }

    function test_onlyInADispute() external {
        Order memory order = _complete();
        _refused(order);
        _dispute(order);
        _submit(order, buyer);
        vm.prank(arbitrator);
        market.resolveDispute(order.copyId, order.sale, order.escrow, 1, false);
        _refused(order);
    }

    function _refused(Order memory order) private {
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.WrongStatus.selector, order.copyId, _status(order))
        );
        _submit(order, buyer);
    }

    /// @dev Who brings another escrow is not its arbitrator.
    function test_anotherEscrow() external {
        Order memory order = _complete();
        _dispute(order);
        order.escrow.arbitrator = stranger;
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.WrongEscrow.selector, order.copyId));
        _submit(order, stranger);
    }

    function test_anotherSale() external {
        Order memory order = _complete();
        _dispute(order);
        order.sale.seller = stranger;
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.WrongSale.selector, order.copyId));
        _submit(order, stranger);
    }
}
