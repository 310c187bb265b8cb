"""Run a command under the kernel constraints that a unit file names, without systemd as PID 1.

    python tests/sandbox.py systemd/drumwatchd.service -- python -m drumwatchd classify kick.wav

Applied, as systemd does it: ``NoNewPrivileges``, ``CapabilityBoundingSet=`` (when empty),
``MemoryDenyWriteExecute`` (the kernel's own refusal and, where asked, systemd's older and stricter
filter), ``RestrictAddressFamilies``, ``RestrictNamespaces``, ``RestrictSUIDSGID``,
``LockPersonality`` and ``SystemCallFilter``. What needs mounts is left to a real start.

References:
    systemd, ``src/shared/seccomp-util.c``; prctl(2), PR_SET_MDWE; libseccomp's seccomp.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

PR_SET_NO_NEW_PRIVS = 38
PR_CAPBSET_DROP = 24
PR_SET_MDWE = 65
PR_MDWE_REFUSE_EXEC_GAIN = 1
LINUX_CAPABILITY_VERSION_3 = 0x20080522

SCMP_ACT_ALLOW = 0x7FFF0000
SCMP_CMP_NE, SCMP_CMP_EQ, SCMP_CMP_GT, SCMP_CMP_MASKED_EQ = 1, 4, 6, 7
NOT_A_SYSCALL = -1
EXIT_UNAVAILABLE = 77

PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
S_ISUID, S_ISGID = 0o4000, 0o2000
NAMESPACE_FLAGS = (
    0x00000080,  # CLONE_NEWTIME
    0x00020000,  # CLONE_NEWNS
    0x02000000,  # CLONE_NEWCGROUP
    0x04000000,  # CLONE_NEWUTS
    0x08000000,  # CLONE_NEWIPC
    0x10000000,  # CLONE_NEWUSER
    0x20000000,  # CLONE_NEWPID
    0x40000000,  # CLONE_NEWNET
)


class SandboxUnavailableError(Exception):
    """This machine can't build the sandbox; the message says what is missing."""


class _Compare(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def _errno_action(code: int) -> int:
    return 0x00050000 | code


def _masked(arg: int, bits: int) -> _Compare:
    """Argument ``arg`` has all of ``bits`` set."""
    return _Compare(arg, SCMP_CMP_MASKED_EQ, bits, bits)


class Filter:
    """One seccomp program, loaded with `load`; the kernel runs all of them and the strictest wins."""

    def __init__(self, library: ctypes.CDLL, default_action: int) -> None:
        self.library = library
        self.handle = library.seccomp_init(default_action)
        if not self.handle:
            raise SandboxUnavailableError("seccomp_init failed")

    def rule(self, action: int, name: str, *compares: _Compare) -> None:
        """Add one rule; a call that this architecture doesn't have is passed over."""
        number = self.library.seccomp_syscall_resolve_name(name.encode())
        if number == NOT_A_SYSCALL:
            return
        array = (_Compare * max(1, len(compares)))(*compares)
        result = self.library.seccomp_rule_add_array(
            self.handle, action, number, len(compares), array
        )
        # EDOM: a call of another architecture, EACCES: the same as the default action.
        if result not in (0, -errno.EDOM, -errno.EACCES):
            raise OSError(-result, f"seccomp rule for {name}: {os.strerror(-result)}")

    def load(self) -> None:
        """Put the filter in force, for this process and all its children, for good.

        Raises:
            SandboxUnavailableError: the kernel has no seccomp filters, or forbids more of them.
        """
        result = self.library.seccomp_load(self.handle)
        if result:
            raise SandboxUnavailableError(f"the kernel takes no filter: {os.strerror(-result)}")


def load_libseccomp() -> ctypes.CDLL:
    """libseccomp, with the signatures used here.

    Raises:
        SandboxUnavailableError: the library isn't installed.
    """
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise SandboxUnavailableError("libseccomp.so.2 isn't installed") from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Compare),
    ]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    return library


def read_unit(path: str | Path) -> dict[str, list[str]]:
    """The directives of a unit file: each key with its values, in order.

    Continuation lines are not supported; our units have none.
    """
    directives: dict[str, list[str]] = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line.startswith(("#", ";", "[")) or "=" not in line:
            continue
        key, _, value = line.partition("=")
        directives.setdefault(key.strip(), []).append(value.strip())
    return directives


def expand_syscalls(words: Iterable[str], analyze: str = "systemd-analyze") -> set[str]:
    """Names of system calls, with every ``@set`` replaced by what systemd puts in it.

    Raises:
        SandboxUnavailableError: systemd-analyze isn't installed.
    """
    if shutil.which(analyze) is None:
        raise SandboxUnavailableError(f"{analyze} isn't installed")
    names: set[str] = set()
    waiting = list(words)
    seen: set[str] = set()
    while waiting:
        word = waiting.pop()
        if word in seen:
            continue
        seen.add(word)
        if not word.startswith("@"):
            names.add(word)
            continue
        listing = subprocess.run(
            [analyze, "--no-pager", "syscall-filter", word],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        members = (line.strip() for line in listing[1:])
        waiting += [member for member in members if member and not member.startswith("#")]
    return names


def allowed_syscalls(filters: Iterable[str]) -> set[str]:
    """What successive ``SystemCallFilter=`` lines leave; the first must be an allow-list."""
    allowed = expand_syscalls(["@default"])
    for line in filters:
        words = line.removeprefix("~").split()
        if line.startswith("~"):
            allowed -= expand_syscalls(words)
        else:
            allowed |= expand_syscalls(words)
    return allowed


def _filter_write_execute(library: ctypes.CDLL) -> None:
    """What systemd does where the kernel has no PR_SET_MDWE (before 6.3), and always did before."""
    program = Filter(library, SCMP_ACT_ALLOW)
    deny = _errno_action(errno.EPERM)
    program.rule(deny, "mmap", _masked(2, PROT_EXEC | PROT_WRITE))
    program.rule(deny, "mprotect", _masked(2, PROT_EXEC))
    program.rule(deny, "pkey_mprotect", _masked(2, PROT_EXEC))
    program.rule(deny, "shmat", _masked(2, SHM_EXEC))
    program.load()


def _filter_families(library: ctypes.CDLL, names: Iterable[str]) -> None:
    allowed = {int(getattr(socket, name)) for name in names}
    program = Filter(library, SCMP_ACT_ALLOW)
    deny = _errno_action(errno.EAFNOSUPPORT)
    highest = 64
    for family in set(range(highest)) - allowed:
        program.rule(deny, "socket", _Compare(0, SCMP_CMP_EQ, family, 0))
    program.rule(deny, "socket", _Compare(0, SCMP_CMP_GT, highest - 1, 0))
    program.load()


def _filter_namespaces(library: ctypes.CDLL) -> None:
    program = Filter(library, SCMP_ACT_ALLOW)
    deny = _errno_action(errno.EPERM)
    # clone3 hides its flags behind a pointer; glibc falls back to clone when it is missing.
    program.rule(_errno_action(errno.ENOSYS), "clone3")
    program.rule(deny, "setns")
    for flag in NAMESPACE_FLAGS:
        program.rule(deny, "unshare", _masked(0, flag))
        program.rule(deny, "clone", _masked(0, flag))
    program.load()


def _filter_suid_sgid(library: ctypes.CDLL) -> None:
    program = Filter(library, SCMP_ACT_ALLOW)
    deny = _errno_action(errno.EPERM)
    mode_argument = {
        "chmod": 1,
        "fchmod": 1,
        "fchmodat": 2,
        "fchmodat2": 2,
        "mkdir": 1,
        "mkdirat": 2,
        "mknod": 1,
        "mknodat": 2,
        "creat": 1,
    }
    for bit in (S_ISUID, S_ISGID):
        for name, argument in mode_argument.items():
            program.rule(deny, name, _masked(argument, bit))
        program.rule(deny, "open", _masked(1, os.O_CREAT), _masked(2, bit))
        program.rule(deny, "openat", _masked(2, os.O_CREAT), _masked(3, bit))
    program.rule(_errno_action(errno.ENOSYS), "openat2")
    program.load()


def _filter_syscalls(library: ctypes.CDLL, allowed: Iterable[str], code: int) -> None:
    program = Filter(library, _errno_action(code))
    for name in sorted(allowed):
        program.rule(SCMP_ACT_ALLOW, name)
    program.load()


def _drop_capabilities(prctl: Callable[..., int]) -> None:
    """Empty the bounding set (when allowed to) and this process's own sets."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    ctypes.CDLL(None).capset(header, data)


def confine(unit: str | Path, *, strict_mdwe: bool = False) -> None:
    """Put this process, for good, under the constraints of ``unit``.

    Args:
        unit: A unit file.
        strict_mdwe: Also refuse what systemd refused before it had PR_SET_MDWE: making any mapping
            executable afterwards.

    Raises:
        SandboxUnavailableError: libseccomp is missing, or the kernel refuses a filter.
    """
    directives = read_unit(unit)
    library = load_libseccomp()
    allowed = allowed_syscalls(directives["SystemCallFilter"])
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4

    if directives.get("CapabilityBoundingSet") == [""]:
        _drop_capabilities(prctl)
    if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise SandboxUnavailableError("the kernel refuses PR_SET_NO_NEW_PRIVS")
    if directives.get("MemoryDenyWriteExecute") == ["yes"]:
        native = prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0
        if strict_mdwe or not native:
            _filter_write_execute(library)
    _filter_families(library, directives["RestrictAddressFamilies"][0].split())
    if directives.get("RestrictNamespaces") == ["yes"]:
        _filter_namespaces(library)
    if directives.get("RestrictSUIDSGID") == ["yes"]:
        _filter_suid_sgid(library)
    if directives.get("LockPersonality") == ["yes"]:
        program = Filter(library, SCMP_ACT_ALLOW)
        program.rule(_errno_action(errno.EPERM), "personality", _Compare(0, SCMP_CMP_NE, 0, 0))
        program.load()
    code = getattr(errno, directives.get("SystemCallErrorNumber", ["EPERM"])[0])
    # Last, for it also forbids loading filters.
    _filter_syscalls(library, allowed, code)


def main(arguments: list[str]) -> None:
    """``sandbox.py [--strict-mdwe] UNIT -- COMMAND…``: confine, then become COMMAND.

    Exits with 77, and the reason on stderr, where this machine can't.
    """
    options, command = (
        arguments[: arguments.index("--")],
        arguments[arguments.index("--") + 1 :],
    )
    strict = "--strict-mdwe" in options
    unit = next(option for option in options if not option.startswith("--"))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        confine(unit, strict_mdwe=strict)
    except SandboxUnavailableError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_UNAVAILABLE)
    os.execvp(command[0], command)  # becoming the command is the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
