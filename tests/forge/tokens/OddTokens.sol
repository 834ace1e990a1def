// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {TestToken} from "./TestToken.sol";

/// @notice Keeps a hundredth of what it moves, as some tokens do.
contract FeeToken is TestToken {
    bool public charging = true;

    function charge(bool yes) external {
        charging = yes;
    }

    function _move(address from, address to, uint256 amount) internal override {
        super._move(from, to, amount);
        if (charging) _balances[to] -= amount / 100;
    }
}

/// @notice Gives the recipient a hundredth more than it moves.
contract BonusToken is TestToken {
    function _move(address from, address to, uint256 amount) internal override {
        super._move(from, to, amount);
        _balances[to] += amount / 100;
    }
}

/// @notice Every balance grows or shrinks with `percent`, as those of stETH or AMPL do.
contract RebasingToken is TestToken {
    uint256 public percent = 100;

    function rebase(uint256 percent_) external {
        percent = percent_;
    }

    function balanceOf(address account) public view override returns (uint256) {
        return _balances[account] * percent / 100;
    }

    function _move(address from, address to, uint256 amount) internal override {
        super._move(from, to, amount * 100 / percent);
    }
}

/// @notice Returns nothing and allows no change from one allowance to another, as USDT.
contract SilentToken {
    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        require(amount == 0 || allowance[msg.sender][spender] == 0, "first to zero");
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice Returns false instead of reverting; or moves, and returns false all the same.
contract FalseToken is TestToken {
    enum Mood {
        Honest,
        Refuses,
        MovesAndRefuses
    }

    Mood public mood;

    function be(Mood mood_) external {
        mood = mood_;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        if (mood != Mood.Refuses) _move(msg.sender, to, amount);
        return mood == Mood.Honest;
    }

    function transferFrom(address from, address to, uint256 amount)
        external
        override
        returns (bool)
    {
        if (mood != Mood.Refuses) _move(from, to, amount);
        return mood == Mood.Honest;
    }
}

/// @notice Says that it moved, and did not.
contract IdleToken is TestToken {
    function _move(address, address, uint256) internal override {}
}

/// @notice Moves, and returns something that is no boolean.
contract BabblingToken {
    mapping(address account => uint256) public balanceOf;
    uint256 public word = 2;
    uint256 public words = 1;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function say(uint256 word_, uint256 words_) external {
        (word, words) = (word_, words_);
    }

    function approve(address, uint256) external {}

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        _move(from, to, amount);
    }

    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) external view {
        _babble();
    }

    function _move(address from, address to, uint256 amount) private {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        _babble();
    }

    function _babble() private view {
        uint256 said = word;
        uint256 size = words * 32;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, said)
            return(free, size)
        }
    }
}

/// @notice Reverts where it is told to: 1 balanceOf, 2 transfer, 4 transferFrom; 8 by all its gas.
contract RevertingToken is TestToken {
    uint256 public where;

    error Refused();

    function refuse(uint256 where_) external {
        where = where_;
    }

    function balanceOf(address account) public view override returns (uint256) {
        _at(1);
        return super.balanceOf(account);
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        _at(2);
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount)
        external
        override
        returns (bool)
    {
        _at(4);
        _move(from, to, amount);
        return true;
    }

    function _at(uint256 here) private view {
        if (where & here == 0) return;
        if (where & 8 != 0) while (true) {}
        revert Refused();
    }
}

/// @notice Its `balanceOf` tells what it likes.
contract LyingToken is TestToken {
    uint256 public added;
    uint256 public addedPerTransfer;

    function lie(uint256 now_, uint256 perTransfer) external {
        (added, addedPerTransfer) = (now_, perTransfer);
    }

    function balanceOf(address account) public view override returns (uint256) {
        return super.balanceOf(account) + added;
    }

    function _move(address, address, uint256) internal override {
        unchecked {
            added += addedPerTransfer;
        }
    }
}

/// @notice Pays nobody on its list, as USDC.
contract BlockingToken is TestToken {
    mapping(address account => bool) public blocked;

    function block_(address account, bool yes) external {
        blocked[account] = yes;
    }

    function _move(address from, address to, uint256 amount) internal override {
        require(!blocked[from] && !blocked[to], "blocked");
        super._move(from, to, amount);
    }
}

/// @notice Changes an allowance only from or to zero, as USDT; blocks accounts; knows no permit.
contract StubbornToken is BlockingToken {
    string public constant symbol = "STUB";
    uint8 public constant decimals = 6;

    function approve(address spender, uint256 amount) external override returns (bool) {
        require(amount == 0 || allowance[msg.sender][spender] == 0, "set it to zero first");
        allowance[msg.sender][spender] = amount;
        return true;
    }
}

/// @notice Its permit does what it is told: it may revert, lie or burn all its gas.
contract PermitToken is TestToken {
    enum Permits {
        Lies,
        Reverts,
        Burns
    }

    Permits public permits;

    function change(Permits permits_) external {
        permits = permits_;
    }

    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) external view {
        if (permits == Permits.Reverts) revert("no permits");
        if (permits == Permits.Burns) while (true) {}
    }
}

/// @notice A non-fungible token: what it moves is a number, and it has no `transfer`.
contract UniqueToken {
    mapping(uint256 id => address) public ownerOf;
    mapping(address account => uint256) public balanceOf;

    function mint(address to, uint256 id) external {
        ownerOf[id] = to;
        ++balanceOf[to];
    }

    function approve(address, uint256) external {}

    function transferFrom(address from, address to, uint256 id) external {
        require(ownerOf[id] == from, "not the owner");
        ownerOf[id] = to;
        --balanceOf[from];
        ++balanceOf[to];
    }
}
