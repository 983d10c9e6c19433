# SPDX-License-Identifier: MIT
"""Krait's fibers in gdb, of a process or of a core (the kernel's; gcore's lacks
the stacks, whose guards stop it):

    (gdb) source tools/gdb/krait.py
    (gdb) krait fibers [TEXT]           lists them: those whose line has TEXT
    (gdb) krait fiber N [COMMAND]       COMMAND inside fiber N; default: bt

A fiber is called by its number in the list, which holds until the program goes
on, or by its address (0x...), which holds as long as the fiber. COMMAND is any
of gdb's: "bt full", "frame function chat", "frame apply all info locals".

It needs the debugging information of Krait, and the switch of x86-64 or
AArch64: what a fiber's context that was left looks like, the label
krait__context_parked and the call frame information there tell (src/fiber/
context_x86_64.S). An unwinder hangs these frames behind the innermost frame of
the thread that is selected; no register is changed, so that a core will do.
"""

import re

import gdb
from gdb.unwinder import Unwinder, register_unwinder

POINTERS = {"i386:x86-64": ("rsp", "rip"), "aarch64": ("sp", "pc")}


def runtime():
    try:
        found = gdb.parse_and_eval("(struct krait__runtime *)krait__runtime")
    except gdb.error as error:
        raise gdb.GdbError("no Krait with debugging information here: %s"
                           % error)
    if int(found) == 0:
        raise gdb.GdbError("no run-time runs: nobody is in krait_run")
    return found.dereference()


def containers(node, name, member):
    """What embeds each node of a list, as its member."""
    kind = gdb.lookup_type(name)
    offset = next(field.bitpos // 8 for field in kind.fields()
                  if field.name == member)
    while int(node):
        yield gdb.Value(int(node) - offset).cast(kind.pointer())
        node = node["next"]


class Fiber:
    def __init__(self, value, worker, running):
        self.value = value  # struct krait_fiber *
        self.worker = int(worker["number"])
        self.running = running

    def name(self):
        """Its bytes; the array is one of words, for the watchdog's sake."""
        field = self.value["name"]
        raw = gdb.selected_inferior().read_memory(int(field.address),
                                                  field.type.sizeof)
        return bytes(raw).split(b"\0")[0].decode("utf-8", "replace")

    def state(self):
        if self.running:
            return "runs"
        kind = gdb.lookup_type("enum krait_wait")
        waits = str(self.value["waits"].cast(kind))  # KRAIT_WAIT_RECV
        what = waits.replace("KRAIT_WAIT_", "").lower()
        return "ready" if what == "none" else what

    def function(self):
        """chat, of `0x5555 <chat>`. The first fiber's own calls krait_run's."""
        text = str(self.value["fn"])
        if "<first_fiber>" in text:
            text = str(runtime()["main"])
        found = re.search(r"<(.*)>", text)
        return found.group(1) if found else text

    def line(self, number):
        return "%5d  %6d  %-8s %-24s %#x  %s" % (
            number, self.worker, self.state(), self.name(), int(self.value),
            self.function())


def fibers():
    """All of them, worker by worker, the youngest first."""
    here = runtime()
    for i in range(int(here["nworkers"])):
        worker = here["workers"][i]
        current = int(worker["current"].cast(gdb.lookup_type("long")))
        for value in containers(worker["all"], "struct krait_fiber",
                                "all_node"):
            yield Fiber(value, worker, int(value) == current)


class Parked(Unwinder):
    """While it has a stack pointer: behind the innermost frame comes the
    context that was left there."""

    class Id:
        def __init__(self, sp, pc):
            self.sp, self.pc = sp, pc

    def __init__(self):
        super().__init__("krait-fiber")
        self.sp = self.frame = None

    def __call__(self, pending):
        if self.sp is None:
            return None
        sp, pc = POINTERS[pending.architecture().name()]
        at = pending.read_register(sp), pending.read_register(pc)
        here = tuple(int(value) for value in at)
        if self.frame is None:
            self.frame = here  # the innermost is unwound first
        if here != self.frame:
            return None
        # gdb wants stacks to grow towards older frames: so the innermost is
        # said to lie where the fiber's stack ends.
        there = gdb.Value(self.sp).cast(at[0].type)
        info = pending.create_unwind_info(self.Id(there, at[1]))
        info.add_saved_register(sp, there)
        info.add_saved_register(
            pc, gdb.parse_and_eval("(long)&krait__context_parked")
            .cast(at[1].type))
        return info

    def turn(self, sp):
        self.sp, self.frame = sp, None
        gdb.invalidate_cached_frames()


parked = Parked()
register_unwinder(None, parked, replace=True)


def inside(fiber, command):
    """Runs `command` with the fiber's frames behind the innermost one."""
    frame = gdb.newest_frame()
    if frame.architecture().name() not in POINTERS:
        raise gdb.GdbError("not on this architecture")
    try:
        gdb.parse_and_eval("(long)&krait__context_parked")
    except gdb.error:
        raise gdb.GdbError("this Krait switches by ucontext(3), which leaves "
                           "nothing to find")
    parked.turn(int(fiber.value["context"]["sp"]))
    try:
        gdb.newest_frame().older().older().select()
        gdb.execute(command)
    finally:
        parked.turn(None)
        gdb.newest_frame().select()


def in_its_thread(fiber, command):
    """Runs `command` in the thread that is on the fiber's stack."""
    low, high = (int(fiber.value["stack"][end]) for end in ("low", "high"))
    before = gdb.selected_thread()
    try:
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            if low <= int(gdb.parse_and_eval("(long)$sp")) < high:
                gdb.execute(command)
                return
    finally:
        before.switch()
    raise gdb.GdbError("it runs, and in a signal handler: `thread apply all "
                       "bt` will show it")


class Krait(gdb.Command):
    """Krait's fibers: `krait fibers`, `krait fiber N [COMMAND]`."""

    def __init__(self):
        super().__init__("krait", gdb.COMMAND_STACK, prefix=True)


class Fibers(gdb.Command):
    """krait fibers [TEXT]: lists the fibers and what each waits for; with
TEXT, those whose line has it."""

    def __init__(self):
        super().__init__("krait fibers", gdb.COMMAND_STACK)

    def invoke(self, text, from_tty):
        print("%5s  %6s  %-8s %-24s %-14s  %s" % (
            "", "worker", "waits", "name", "address", "function"))
        for number, fiber in enumerate(fibers(), 1):
            line = fiber.line(number)
            if text in line:
                print(line)


class OneFiber(gdb.Command):
    """krait fiber N [COMMAND]: COMMAND (default: bt) inside fiber N of
`krait fibers`, or the fiber at an address."""

    def __init__(self):
        super().__init__("krait fiber", gdb.COMMAND_STACK)

    @staticmethod
    def find(which):
        for number, fiber in enumerate(fibers(), 1):
            if which in (number, int(fiber.value)):
                return fiber
        raise gdb.GdbError("no such fiber; `krait fibers` lists them")

    def invoke(self, text, from_tty):
        which, _, command = text.strip().partition(" ")
        try:
            number = int(which, 0)
        except ValueError:
            raise gdb.GdbError("krait fiber NUMBER|ADDRESS [COMMAND]")
        fiber = self.find(number)
        command = command.strip() or "bt"
        if fiber.running:
            in_its_thread(fiber, command)
        else:
            inside(fiber, command)


Krait()
Fibers()
OneFiber()
