// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice An ERC-20 of which anybody mints, whose permit looks at no signature but at v = 27.
contract Token {
    mapping(address holder => uint256) public balanceOf;
    mapping(address holder => mapping(address spender => uint256)) public allowance;
    uint256 private _kept;

    /// @notice From now on so much of every transfer goes nowhere.
    function keep(uint256 amount) external {
        _kept = amount;
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function permit(
        address owner,
        address spender,
        uint256 value,
        uint256,
        uint8 v,
        bytes32,
        bytes32
    ) external {
        require(v == 27);
        allowance[owner][spender] = value;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount - _kept;
        return true;
    }
}

/// @notice A contract that calls what it is told to, as a wallet would; also while it is paid.
contract Wallet {
    address private _target;
    bytes private _data;
    bytes public heard;
    mapping(bytes32 digest => bool) private _signed;

    /// @notice From now on this is signed, for who asks as in ERC-1271.
    function sign(bytes32 digest) external {
        _signed[digest] = true;
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        return _signed[digest] ? this.isValidSignature.selector : bytes4(0);
    }

    /// @notice Makes a call the next time that coins come, and keeps what it gave.
    function plan(address target, bytes calldata data) external {
        _target = target;
        _data = data;
        heard = "nothing came";
    }

    receive() external payable {
        if (_target == address(0)) return;
        (bool good, bytes memory result) = _target.call(_data);
        heard = good ? bytes("it succeeded") : result;
        _target = address(0);
    }

    function runBoth(address to, bytes calldata one, bytes calldata other) external {
        run(to, 0, one);
        run(to, 0, other);
    }

    function run(address to, uint256 value, bytes calldata data) public {
        (bool good, bytes memory result) = to.call{value: value}(data);
        if (good) return;
        assembly ("memory-safe") {
            revert(add(result, 32), mload(result))
        }
    }
}

/// @notice Many views in one call: a comparison reads the whole market after every step.
contract Reader {
    struct View {
        address target;
        bytes data;
    }

    /// @notice What every view returned, one after the other, the balance of `account` first.
    function read(address account, View[] calldata views) external view returns (bytes memory) {
        bytes[] memory results = new bytes[](views.length);
        for (uint256 i; i < views.length; ++i) {
            (bool good, bytes memory result) = views[i].target.staticcall(views[i].data);
            require(good);
            results[i] = result;
        }
        return abi.encode(account.balance, results);
    }
}

/// @notice Stands for the verifier of evidence, so that a test can say what is junk: a fragment is
/// good if it begins with keccak256(key, commitment); the secret of a key is its keccak256; a share
/// is the secret XOR its x.
contract StubProofs {
    struct Hint {
        uint8 kind;
        uint256 vE;
        uint256 uQ;
        uint256 vQ;
        uint256 w;
    }

    error WrongSecret();

    function isJunk(
        bytes32 key,
        bytes32 secret,
        bytes calldata fragment,
        bytes32 commitment,
        Hint calldata
    ) external pure returns (bool) {
        if (secret != keccak256(abi.encode(key))) revert WrongSecret();
        return bytes32(fragment[:32]) != keccak256(abi.encode(key, commitment));
    }

    function combine(uint8[] calldata indexes, bytes32[] calldata shares)
        external
        pure
        returns (bool found, bytes32 secret)
    {
        secret = shares[0] ^ bytes32(uint256(indexes[0]) + 1);
        for (uint256 i; i < shares.length; ++i) {
            if (shares[i] ^ bytes32(uint256(indexes[i]) + 1) != secret) {
                return (true, keccak256(abi.encode(indexes, shares)));
            }
        }
        return (secret != bytes32(type(uint256).max), secret);
    }
}
