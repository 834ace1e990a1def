"""Set up this checkout: Python packages, Node tools, the compiler; when asked, Kubo and geth.

Standard library only, because it runs before anything is installed. Everything lands in
`.venv`, `node_modules`, `web/node_modules` and `.tools`, pinned by hash; a step whose inputs have
not changed since it last finished is skipped, so a second run takes a fraction of a second.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
BIN = TOOLS / "bin"
STAMPS = TOOLS / "stamps"
VENV = ROOT / ".venv"

# Raise it when a step puts other things in place than before, and every step runs again.
LAYOUT = "1"
SOLC = "0.8.30"
FOUNDRY = "1.7.1"
MIN_NODE = (20, 19, 0)
MIN_KUBO = (0, 30, 0)


class SetupError(Exception):
    """A missing prerequisite or a failed step, in one line that says what to do."""


def say(text: str) -> None:
    print(f"[set-up] {text}", flush=True)


# --- running things ---------------------------------------------------------------------------


def child_env() -> dict[str, str]:
    """The environment of every tool we call: the caller's, less what would redirect an install."""
    env = dict(os.environ)
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX", "MAKEFLAGS", "GOBIN"):
        env.pop(name, None)
    env["PIP_USER"] = "0"
    home = env.get("HOME", "")
    if not (home and Path(home).is_dir() and os.access(home, os.W_OK)):
        # Downloads are normally cached where the user's tools keep them; without a HOME, here.
        cache = TOOLS / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        env["HOME"] = str(cache)
    return env


def run(what: str, command: list[str | Path], env: dict[str, str] | None = None) -> None:
    """Run one tool quietly; its output is kept in a log and shown only when it fails."""
    log = TOOLS / "log" / (re.sub(r"\W+", "-", what.lower()).strip("-") + ".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    done = threading.Event()

    def heartbeat() -> None:
        started = time.monotonic()
        while not done.wait(20):
            say(f"  ... {what}: {time.monotonic() - started:.0f} s so far")

    threading.Thread(target=heartbeat, daemon=True).start()
    try:
        with log.open("wb") as out:
            result = subprocess.run(
                [str(part) for part in command],
                cwd=ROOT,
                env=env or child_env(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            )
    except OSError as error:
        raise SetupError(f"{what}: cannot run {command[0]}: {error}") from error
    finally:
        done.set()
    if result.returncode:
        tail = log.read_text(errors="replace").splitlines()[-15:]
        print("\n".join(f"    {line}" for line in tail), file=sys.stderr)
        raise SetupError(
            f"{what} failed (whole log: {log.relative_to(ROOT)}). A network is needed once; "
            "run the same command again to continue"
        )


def output(command: list[str | Path], env: dict[str, str] | None = None) -> str:
    """What a tool prints, or nothing where it is absent, broken or slow."""
    try:
        return subprocess.run(
            [str(part) for part in command],
            cwd=ROOT,
            env=env or child_env(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def version_in(text: str) -> tuple[int, ...]:
    """The first thing in `text` that looks like a version; zeros where nothing does."""
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in match.groups()) if match else (0, 0, 0)


def version_of(command: list[str | Path]) -> tuple[int, ...]:
    return version_in(output(command, go_env()))


def on_path(name: str) -> str | None:
    """`name` on the caller's PATH, outside this checkout: our own copies are not prerequisites."""
    outside = [
        folder
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)
        if folder and ROOT not in (Path(folder).resolve(), *Path(folder).resolve().parents)
    ]
    return shutil.which(name, path=os.pathsep.join(outside))


def link(name: str, target: Path) -> None:
    """Point `.tools/bin/NAME` at TARGET, in one step so that nobody finds it missing."""
    place(BIN / name, target)


def place(where: Path, target: Path) -> None:
    where.parent.mkdir(parents=True, exist_ok=True)
    fresh = where.with_name(f".{where.name}.new")
    fresh.unlink(missing_ok=True)
    if ROOT in target.parents:
        # Relative, so that the checkout may be moved.
        fresh.symlink_to(os.path.relpath(target, where.parent))
    else:
        fresh.symlink_to(target)
    fresh.replace(where)


# --- steps ------------------------------------------------------------------------------------


def key(*inputs: Path) -> str:
    """What a finished step depended on: the contents of its inputs."""
    digest = hashlib.sha256(LAYOUT.encode())
    for path in inputs:
        data = path.read_bytes()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def step(
    name: str, stamp: str, makes: list[Path], action: Callable[[], None], wipe: list[Path]
) -> None:
    """Do `action` unless it finished before with the same inputs.

    A step that was interrupted leaves its `.started` file: what it half wrote is wiped first.
    """
    finished, started = STAMPS / name, STAMPS / f"{name}.started"
    STAMPS.mkdir(parents=True, exist_ok=True)
    if (
        not started.exists()
        and finished.exists()
        and finished.read_text() == stamp
        and all(path.exists() for path in makes)
    ):
        return
    if started.exists():
        say(f"{name}: an earlier run did not finish, starting this step afresh")
        for path in wipe:
            shutil.rmtree(path, ignore_errors=True)
    begun = time.monotonic()
    finished.unlink(missing_ok=True)
    started.touch()
    action()
    finished.write_text(stamp)
    started.unlink()
    say(f"{name}: ready ({time.monotonic() - begun:.0f} s)")


def new_venv(path: Path, *, pip: bool) -> None:
    shutil.rmtree(path, ignore_errors=True)
    # The base interpreter: the one running may itself live in the folder just removed.
    python = getattr(sys, "_base_executable", None) or sys.executable
    run(f"venv {path.name}", [python, "-m", "venv", *([] if pip else ["--without-pip"]), path])


def uv(*args: str | Path) -> list[str | Path]:
    return [TOOLS / "uv" / "bin" / "uv", *args]


def sync(path: Path, wanted: Path) -> None:
    """Make the environment at `path` hold exactly what the hashed file lists."""
    if not (path / "bin" / "python").exists():
        new_venv(path, pip=False)
    # One package comes as source: what builds it is held to our hashes too.
    pinned: list[str | Path] = ["--require-hashes", "--build-constraints", requirements("dev")]
    # Compiled now: where Python may write no bytecode, each command would compile its imports.
    flags: list[str | Path] = ["--compile-bytecode", "--python", path / "bin" / "python"]
    run(f"installing {wanted.name}", uv("pip", "sync", *pinned, *flags, wanted))


def requirements(name: str) -> Path:
    return ROOT / "requirements" / f"{name}.txt"


def setup_uv() -> None:
    wanted = requirements("uv")

    def action() -> None:
        say("uv: installing the package installer")
        new_venv(TOOLS / "uv", pip=True)
        pip: list[str | Path] = [TOOLS / "uv" / "bin" / "python", "-m", "pip"]
        flags = ["--quiet", "--require-hashes", "--only-binary", ":all:"]
        run("installing uv", [*pip, "install", *flags, "-r", wanted])

    step("uv", key(wanted), [TOOLS / "uv" / "bin" / "uv"], action, [TOOLS / "uv"])


def setup_python() -> None:
    wanted = requirements("dev")
    stamp = key(wanted, ROOT / "pyproject.toml")

    def action() -> None:
        say("python: installing the packages (a minute with an empty cache)")
        sync(VENV, wanted)
        flags = ["--no-deps", "--no-build-isolation", "--editable"]
        python = VENV / "bin" / "python"
        run("installing dam", uv("pip", "install", "--python", python, *flags, ROOT))

    step("python", stamp, [VENV / "bin" / "ape", VENV / "bin" / "dam"], action, [VENV])


def setup_node() -> dict[str, str]:
    """A Node in `.tools/bin`; returns the environment in which its npm runs."""
    wanted = requirements("node")
    node = BIN / "node"

    def action() -> None:
        found = on_path("node")
        if found and on_path("npm") and version_of([found, "--version"]) >= MIN_NODE:
            say("node: taking the one on PATH")
        else:
            say("node: none on PATH that is recent enough, installing one")
            sync(TOOLS / "node", wanted)
            found = str(TOOLS / "node" / "bin" / "node")
        # The binary itself: what stands on PATH may be a version manager's script.
        link("node", Path(output([found, "-p", "process.execPath"])))

    step("node", key(wanted), [node], action, [TOOLS / "node"])
    env = child_env()
    own = TOOLS / "node" / "bin"
    env["PATH"] = f"{own if own.exists() else BIN}{os.pathsep}{env.get('PATH', os.defpath)}"
    return env


def setup_npm() -> None:
    lock, shim = ROOT / "package-lock.json", ROOT / "tools" / "solc.sh"
    stamp = key(lock, ROOT / "package.json", shim)
    tools = [TOOLS / "solc" / f"solc-v{SOLC}", BIN / "solc", BIN / "anvil", BIN / "forge"]
    env = setup_node()

    def action() -> None:
        say("npm: installing the compiler, Anvil and Forge")
        run("npm ci", ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], env)
        # py-solc-x takes a compiler by this very name.
        for place_of_solc in tools[:2]:
            place(place_of_solc, shim)
        for name in ("anvil", "forge"):
            link(name, native(name))
        if SOLC not in output([BIN / "solc", "--version"]):
            raise SetupError("the Solidity compiler does not start: try `make clean` and again")

    step("npm", stamp, [ROOT / "node_modules" / "solc", *tools], action, [ROOT / "node_modules"])


def setup_web() -> None:
    """What type-checks, tests and builds `web/`; and the page, which is built by it."""
    web = ROOT / "web"
    stamp = key(web / "package-lock.json", web / "package.json", web / ".npmrc")
    env = setup_node()

    def action() -> None:
        say("web: installing what checks and builds it")
        npm: list[str | Path] = ["npm", "ci", "--prefix", web, "--ignore-scripts"]
        run("npm ci of web", [*npm, "--prefer-offline", "--no-audit", "--no-fund"], env)

    modules = web / "node_modules"
    step("web", stamp, [modules / ".bin" / "vitest"], action, [modules])
    static = ROOT / "src" / "dam" / "web" / "static"
    sources = (path for name in ("src", "static") for path in (web / name).rglob("*"))
    inputs = [web / "build.mjs", *sorted(path for path in sources if path.is_file())]

    def build() -> None:
        run("building the page", [BIN / "node", web / "build.mjs"], env)

    step("page", stamp + key(*inputs), [static / "index.html"], build, [static])


def native(name: str) -> Path:
    """The binary itself: the npm wrapper of forge exits 0 when tests fail."""
    packages = ROOT / "node_modules" / "@foundry-rs"
    found = [path for path in packages.glob(f"{name}-*/bin/{name}") if path.is_file()]
    elsewhere = on_path(name)
    if elsewhere:
        found.append(Path(elsewhere))
    for path in found:
        if FOUNDRY in output([path, "--version"]):
            return path
    raise SetupError(
        f"no {name} {FOUNDRY} in package-lock.json runs on this machine: "
        f"install Foundry {FOUNDRY} so that `{name}` is on PATH, then run this again"
    )


def setup_go() -> Path:
    wanted = requirements("go")
    modfile = (ROOT / "tools" / "kubo" / "go.mod").read_text()
    found = on_path("go")
    needed = version_in(re.sub(r"(?s).*?^go ", "", modfile, count=1, flags=re.MULTILINE))
    if found and version_of([found, "version"]) >= needed:
        return Path(found)

    def action() -> None:
        say("go: none on PATH that is recent enough, installing one")
        sync(TOOLS / "go", wanted)

    setup_uv()
    step("go", key(wanted), [TOOLS / "go" / "bin" / "go"], action, [TOOLS / "go"])
    # Its launcher is a Python script; GOROOT holds the real one.
    goroot = output([TOOLS / "go" / "bin" / "go", "env", "GOROOT"], go_env())
    return Path(goroot) / "bin" / "go"


def setup_docs() -> None:
    wanted = requirements("docs")

    def action() -> None:
        say("docs: installing what builds the site")
        sync(TOOLS / "docs", wanted)

    step("docs", key(wanted), [TOOLS / "docs" / "bin" / "mkdocs"], action, [TOOLS / "docs"])


def go_env() -> dict[str, str]:
    env = child_env()
    env.update(
        GOTOOLCHAIN="local",  # never fetch another compiler than the one found
        GOWORK="off",
        GOFLAGS="-mod=readonly -modcacherw -trimpath -buildvcs=false",
        CGO_ENABLED="0",  # no C compiler is among the prerequisites
    )
    env.pop("GOROOT", None)
    return env


def setup_kubo(*, build: bool) -> None:
    found = on_path("ipfs")
    if found and not build and version_of([found, "version"]) >= MIN_KUBO:
        say(f"kubo: taking the ipfs on PATH, {found}")
        return
    go_build("kubo", "ipfs", "github.com/ipfs/kubo/cmd/ipfs")


def go_build(name: str, program: str, package: str) -> None:
    """Builds a Go program into `.tools/bin`, pinned by go.mod and go.sum in `tools/NAME`."""
    module, own = ROOT / "tools" / name, BIN / program

    def action() -> None:
        go = setup_go()
        say(f"{name}: building {program} from its source (2 to 5 minutes, once)")
        BIN.mkdir(exist_ok=True)
        fresh = TOOLS / f"{program}.new"
        run(f"building {name}", [go, "build", "-C", module, "-o", fresh, package], go_env())
        fresh.replace(own)

    step(name, key(module / "go.mod", module / "go.sum"), [own], action, [])


def setup_chains() -> None:
    """geth and Hardhat's node, whatever is on PATH: for the tests of chains other than Anvil."""
    go_build("geth", "geth", "github.com/ethereum/go-ethereum/cmd/geth")
    files = [
        ROOT / "tools" / "hardhat" / name
        for name in (".npmrc", "package.json", "package-lock.json", "hardhat.config.cjs")
    ]
    folder = TOOLS / "hardhat"

    def action() -> None:
        say("hardhat: installing it")
        folder.mkdir(exist_ok=True)
        for file in files:
            shutil.copy(file, folder)
        npm: list[str | Path] = ["npm", "ci", "--prefix", folder, "--ignore-scripts"]
        run("npm ci of hardhat", [*npm, "--no-audit", "--no-fund"], env)

    env = setup_node()
    step("hardhat", key(*files), [folder / "node_modules" / "hardhat"], action, [folder])


# --- the command ------------------------------------------------------------------------------


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One set-up at a time in one checkout."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("waiting for another set-up of this checkout")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def discard_if_moved() -> None:
    """Scripts in an environment name it by its absolute path, so a moved one is of no use."""
    place_then = TOOLS / "root"
    if place_then.exists() and place_then.read_text() != str(ROOT):
        say("this checkout has moved: setting up afresh")
        for path in (VENV, *(TOOLS / name for name in ("uv", "node", "go", "docs"))):
            shutil.rmtree(path, ignore_errors=True)
    place_then.write_text(str(ROOT))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kubo", action="store_true", help="also have an IPFS node")
    parser.add_argument("--build-kubo", action="store_true", help="... built, whatever is on PATH")
    parser.add_argument("--chains", action="store_true", help="also have geth and Hardhat's node")
    parser.add_argument("--docs", action="store_true", help="also have what builds the site")
    args = parser.parse_args()
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"Python's venv is missing: get it with 'apt install python{version}-venv'"
        ) from None
    begun = time.monotonic()
    with alone():
        discard_if_moved()
        setup_uv()
        setup_python()
        setup_npm()
        setup_web()
        if args.kubo or args.build_kubo:
            setup_kubo(build=args.build_kubo)
        if args.chains:
            setup_chains()
        if args.docs:
            setup_docs()
    if time.monotonic() - begun > 3:
        say(f"done in {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetupError as problem:
        print(f"set-up: {problem}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("set-up: interrupted; run the same command again to continue", file=sys.stderr)
        sys.exit(130)
