// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice A bare token, whose every step a hostile one may change.
abstract contract TestToken {
    mapping(address account => uint256) internal _balances;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    error TooLittle();

    function mint(address to, uint256 amount) external virtual {
        _balances[to] += amount;
    }

    function balanceOf(address account) public view virtual returns (uint256) {
        return _balances[account];
    }

    function approve(address spender, uint256 amount) external virtual returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external virtual returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount)
        external
        virtual
        returns (bool)
    {
        _spend(from, amount);
        _move(from, to, amount);
        return true;
    }

    function _spend(address from, uint256 amount) internal {
        if (allowance[from][msg.sender] < amount) revert TooLittle();
        allowance[from][msg.sender] -= amount;
    }

    function _move(address from, address to, uint256 amount) internal virtual {
        if (_balances[from] < amount) revert TooLittle();
        _balances[from] -= amount;
        _balances[to] += amount;
    }
}
