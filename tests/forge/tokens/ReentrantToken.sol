// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {TestToken} from "./TestToken.sol";

/// @notice Calls whatever it was told to, once, from within one of its own functions; and keeps the
/// answers.
contract ReentrantToken is TestToken {
    enum From {
        Nowhere,
        Transfer,
        TransferFrom,
        Permit
    }

    From private _from;
    address private _target;
    bytes private _calls;
    bytes[] private _answers;

    function prepare(From from, address target, bytes[] calldata calls) external {
        (_from, _target, _calls) = (from, target, abi.encode(calls));
        delete _answers;
    }

    /// @notice What each call returned or reverted with; a success is empty.
    function answers() external view returns (bytes[] memory) {
        return _answers;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        _callBack(From.Transfer);
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount)
        external
        override
        returns (bool)
    {
        _callBack(From.TransferFrom);
        _spend(from, amount);
        _move(from, to, amount);
        return true;
    }

    function permit(
        address owner,
        address spender,
        uint256 amount,
        uint256,
        uint8,
        bytes32,
        bytes32
    ) external {
        _callBack(From.Permit);
        allowance[owner][spender] = amount;
    }

    function _callBack(From here) private {
        if (here != _from) return;
        _from = From.Nowhere;
        if (_calls.length == 0) return;
        bytes[] memory calls = abi.decode(_calls, (bytes[]));
        for (uint256 i; i < calls.length; ++i) {
            (bool good, bytes memory answer) = _target.call(calls[i]);
            _answers.push(good ? bytes("") : answer);
        }
    }
}

/// @notice Whom `HookedToken` tells before it takes, and after it gives.
interface IHooks {
    function tokensToSend(uint256 amount) external;
    function tokensReceived(uint256 amount) external;
}

/// @notice Tells contracts before it takes and after it gives, as ERC-777.
contract HookedToken is TestToken {
    mapping(address account => bool) public wantsHooks;

    function register() external {
        wantsHooks[msg.sender] = true;
    }

    function _move(address from, address to, uint256 amount) internal override {
        if (wantsHooks[from]) IHooks(from).tokensToSend(amount);
        super._move(from, to, amount);
        if (wantsHooks[to]) IHooks(to).tokensReceived(amount);
    }
}
