# SPDX-License-Identifier: MIT
"""What a function or a source file belongs to: a room of Krait's, the handler,
libc, or a part of the kernel."""

import os
import re
import subprocess

HANDLER = 'the server itself'
LIBC = 'libc, liburing'
ROOMS = {'fiber': 'Krait: scheduler', 'engine': 'Krait: engine',
         'io': 'Krait: io', 'socket': 'Krait: socket'}
KRAIT = 'Krait: the rest'
KERNEL = 'kernel: other'
NETWORK = 'kernel: TCP'
# What TCP is at: the first of them that is anywhere in the stack.
NETWORK_PARTS = (
    (f'{NETWORK}, delivery', r'_*(do_softirq|handle_softirqs)\w*'),
    (f'{NETWORK}, receiving', r'(tcp|sock|inet|inet6)_recvmsg\w*'),
    (f'{NETWORK}, sending', r'(tcp|sock|inet|inet6)_sendmsg\w*'),
)

# The innermost function that matches decides, so that what everybody calls
# (memory, locks, copying) counts for whoever called it.
KERNEL_PARTS = (
    ('kernel: scheduling', r'_*(schedule|__schedule|try_to_wake_up|'
     r'ttwu_\w+|default_wake_function|finish_task_switch|pick_next_\w+|'
     r'enqueue_\w+|dequeue_\w+|update_curr\w*|hrtimer_\w+|'
     r'schedule_hrtimeout\w*)\b'),
    ('kernel: io_uring', r'_*io_\w+|__do_sys_io_uring\w*|req_\w+|tctx_\w+'),
    ('kernel: epoll', r'_*(ep|do_epoll|epoll|eventpoll)_\w+'),
    (NETWORK, r'_*(tcp|ip|ip4|ipv4|inet|sk|skb|sock|net|'
     r'netif|dev|loopback|nf|nft|napi|neigh|fib|qdisc|alloc_skb|kfree_skb|'
     r'consume_skb|lock_sock|release_sock|import_ubuf)\w*|'
     r'process_backlog|security_sock\w*|__alloc_skb|__lock_sock\w*|'
     r'do_softirq\w*|__do_softirq|handle_softirqs|__local_bh_\w+'),
    ('kernel: interrupts', r'(asm_)?(sys\w*_)?(apic|irq|exc|common)_\w+'),
    ('kernel: system call entry', r'entry_SYSCALL\w*|do_syscall_64|'
     r'syscall_\w+|x64_sys_call|_*(x64|se)_sys_\w+|__sys_\w+|'
     r'exit_to_user\w*|fdget\w*|fput\w*|sockfd_lookup\w*|__fget\w*'),
)
_KERNEL, _NETWORK = (
    tuple((part, re.compile(pattern)) for part, pattern in some)
    for some in (KERNEL_PARTS, NETWORK_PARTS))


class Tree:
    """The files' names are unique, so that a name says where it belongs."""

    def __init__(self, root, library):
        self.files = {}
        for folder, _, names in os.walk(os.path.join(root, 'src')):
            part = ROOMS.get(os.path.basename(folder), KRAIT)
            self.files.update((name, part) for name in names)
        for name in os.listdir(os.path.join(root, 'include', 'krait')):
            self.files[name] = KRAIT
        for folder, _, names in os.walk(os.path.join(root, 'bench')):
            self.files.update((name, HANDLER) for name in names
                              if name.endswith(('.c', '.h')))
        self.symbols = self._symbols(library)

    def _symbols(self, library):
        """{function: part}: of one name in two files neither is sure."""
        done = subprocess.run(['nm', '-A', '--defined-only', library],
                              stdout=subprocess.PIPE, text=True, check=True,
                              stderr=subprocess.DEVNULL, timeout=60)
        found = {}
        for line in done.stdout.splitlines():
            match = re.match(r'.*:([^:]+\.[cS])\.o:\w+ [tTW] ([^.\s]+)', line)
            if match:
                part = self.files.get(match[1], KRAIT)
                same = found.setdefault(match[2], part) == part
                found[match[2]] = part if same else KRAIT
        return found

    def of_file(self, path):
        return self.files.get(os.path.basename(path), LIBC)

    def of_symbol(self, name, program):
        """In user space; PROGRAM: in the server itself, not in a library."""
        name = name.partition('.')[0]
        if name in self.symbols:
            return self.symbols[name]
        return HANDLER if program else LIBC


def _first(functions, known):
    for name in functions:
        for part, pattern in known:
            if pattern.fullmatch(name):
                return part
    return None


def of_kernel(functions):
    """From the innermost to the outermost."""
    part = _first(functions, _KERNEL)
    if part != NETWORK:
        return part or KERNEL
    # Delivery is within sending, and decides.
    found = {_first([name], _NETWORK) for name in functions}
    return next((part for part, _ in NETWORK_PARTS if part in found), NETWORK)
