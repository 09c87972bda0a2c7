"""From a forked child to the command: the steps that take its rights away, in their order."""

# ruff: noqa: PTH123
from __future__ import annotations

import os
import resource
import signal
import stat

from . import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module typing is slow to load
    from typing import NoReturn

    from .spec import Confinement, Rlimits, Spec

#: Rights that mean something for a single file; the kernel refuses a rule with others.
_FILE_RIGHTS = 0b1100_0000_0000_0111
#: Where nothing is found and where nothing may be run, as a shell has it.
NOT_FOUND, NOT_ALLOWED = 127, 126
#: Where a wrapper finds the filter.
FILTER_FD = 9


def become(spec: Spec, uid: int | None, supervisor: int) -> NoReturn:
    """Run the command in this process. Raises OSError if a right could not be taken away."""
    os.setsid()
    _signals_as_at_birth()
    os.umask(0o022)
    _die_before_the_service()
    confinement = spec["confinement"]
    wrapper = confinement["wrapper"] if confinement is not None else []
    ruleset = _ruleset(confinement) if confinement is not None and not wrapper else None
    if uid is not None:
        _drop_to(uid)
    if confinement is not None:
        kernel.drop_capabilities()
    # A change of user clears it, so it comes after.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(NOT_ALLOWED)
    _enter(spec["cwd"])
    _limit(spec["rlimits"], shared_user=uid is None and os.geteuid() != 0)
    if confinement is not None and ruleset is not None:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.landlock_restrict(ruleset)
        kernel.install_filter(confinement["seccomp"])
    if confinement is not None and wrapper:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        _pass_filter(confinement["seccomp"])
    _execute([*wrapper, *spec["argv"]], spec["env"])


def only_stdio(stdio: tuple[int, int, int], keep: int) -> int:
    """Close all descriptors but stdio and one, which is moved to 3 and closes on exec."""
    for target, source in enumerate(stdio):
        os.dup2(source, target)
    if keep != 3:
        os.dup2(keep, 3)
    os.set_inheritable(3, False)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    return 3


def _signals_as_at_birth() -> None:
    """Undo what Python set, which would survive exec."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _die_before_the_service() -> None:
    """When memory runs out, the kernel takes this command first."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:  # a hardened /proc; the limits still hold
        pass


def _ruleset(confinement: Confinement) -> int:
    """Made while root can still look at every path."""
    ruleset = kernel.landlock_ruleset(confinement["handled"])
    handled = confinement["handled"][0]
    for path, rights in confinement["rules"]:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _FILE_RIGHTS
        kernel.landlock_allow(ruleset, descriptor, rights & handled)
        os.close(descriptor)
    return ruleset


def _drop_to(uid: int) -> None:
    kernel.clear_capabilities()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _enter(cwd: str) -> None:
    try:
        os.chdir(cwd)
    except OSError as error:
        _refuse(f"the working folder {cwd} cannot be entered: {error.strerror}", NOT_FOUND)


def _limit(limits: Rlimits, *, shared_user: bool) -> None:
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, limits["cpu_s"])
    _lower(resource.RLIMIT_FSIZE, limits["file_bytes"])
    _lower(resource.RLIMIT_NOFILE, limits["open_files"])
    processes = limits["processes"]
    _lower(resource.RLIMIT_NPROC, processes + (_other_tasks_of_this_user() if shared_user else 0))
    _lower(resource.RLIMIT_AS, limits["address_space"])


def _lower(kind: int, value: int) -> None:
    _, highest = resource.getrlimit(kind)
    if highest != resource.RLIM_INFINITY:
        value = min(value, highest)
    resource.setrlimit(kind, (value, value))


def _other_tasks_of_this_user() -> int:
    """How many tasks beside this one the kernel counts against RLIMIT_NPROC now.

    /proc does not tell: the count goes over all containers that share the user id. So the
    smallest limit is sought under which a fork works.
    """
    too_low, _ = 0, None
    enough = 64
    _, highest = resource.getrlimit(resource.RLIMIT_NPROC)
    while not _can_fork(enough, highest):
        too_low, enough = enough, enough * 2
        if enough > 1 << 22:
            raise OSError("no process can be started: this user is at its limit")
    while enough - too_low > 1:
        middle = (too_low + enough) // 2
        if _can_fork(middle, highest):
            enough = middle
        else:
            too_low = middle
    return enough - 2  # without the child that was tried and without this process


def _can_fork(limit: int, highest: int) -> bool:
    if highest != resource.RLIM_INFINITY:
        limit = min(limit, highest)
    resource.setrlimit(resource.RLIMIT_NPROC, (limit, highest))
    try:
        child = os.fork()
    except BlockingIOError:
        return False
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return True


def _execute(argv: list[str], env: dict[str, str]) -> NoReturn:
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606
    except FileNotFoundError:
        where = "" if "/" in argv[0] else f" in {env.get('PATH', '')}"
        _refuse(f"{argv[0]}: not found{where}", NOT_FOUND)
    except OSError as error:
        _refuse(f"{argv[0]}: {error.strerror}", NOT_ALLOWED)


def _pass_filter(program: bytes) -> None:
    """The filter as a file on FILTER_FD, for the wrapper to load right before the command."""
    source = os.memfd_create("seccomp", 0)
    os.write(source, program)
    os.lseek(source, 0, os.SEEK_SET)
    if source != FILTER_FD:
        os.dup2(source, FILTER_FD)
        os.close(source)


def _refuse(sentence: str, code: int) -> NoReturn:
    os.write(2, f"loopwright: {sentence}\n".encode())
    os._exit(code)
