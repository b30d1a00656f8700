"""registers.v agrees with the register map (pymodel/hardware) in every register and access.

A model of the registers runs beside them and is compared in every cycle of every test.
"""

import itertools
import logging

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp
from cocotbext.axi.axil_channels import (
    AxiLiteARTransaction,
    AxiLiteAWTransaction,
    AxiLiteWTransaction,
)

from pymodel.hardware.core import Core
from pymodel.hardware.registers import REGISTERS, Register
from tb.components.clock import start_clock
from tb.components.random_tiles import random_generator
from tb.modules.pytest_runs import each_run

# Fields with their port: an output that shows the field, or an input that the field shows
PORTS = {
    ("CONTROL", "start"): "start_o",
    ("CONTROL", "clear"): "clear_o",
    ("STATUS", "busy"): "busy_i",
    ("STATUS", "done"): "done_i",
    ("STATUS", "error"): "error_i",
    ("CYCLES", "count"): "cycles_i",
    ("STALLS", "count"): "stalls_i",
    ("MAP", "height"): "height_o",
    ("MAP", "width"): "width_o",
    ("KERNEL", "size"): "kernel_o",
    ("KERNEL", "stride"): "stride_o",
    ("KERNEL", "padding"): "padding_o",
    ("TILES", "input"): "input_tiles_o",
    ("TILES", "output"): "output_tiles_o",
    ("IMAGES", "count"): "images_o",
    ("OUTPUT", "mode"): "mode_o",
    ("OUTPUT", "pool"): "pool_o",
    ("OUTPUT", "keep_acts"): "keep_acts_o",
    ("OUTPUT", "keep_weights"): "keep_weights_o",
    ("OUTPUT", "keep_thresholds"): "keep_thresholds_o",
}
# Fields that hold how the core was built, with the function that gives their value for a Core
BUILD = {
    ("ARRAY", "rows"): lambda core: core.rows,
    ("ARRAY", "cols"): lambda core: core.cols,
    ("ARRAY", "act_width"): lambda core: core.act_width,
    ("ARRAY", "weight_width"): lambda core: core.weight_width,
    ("MEMORY_ACT", "words"): lambda core: core.act_words,
    ("MEMORY_WEIGHT", "words"): lambda core: core.weight_words,
    ("MEMORY_THRESHOLD", "tiles"): lambda core: core.threshold_tiles,
    ("MEMORY_PIXEL", "pixels"): lambda core: core.pixels,
    ("SUM", "width"): lambda core: core.sum_width,
    ("OPTIONS", "act_signed"): lambda core: core.act_signed,
    ("OPTIONS", "output_scaling"): lambda core: core.output_scaling,
    ("OPTIONS", "pool_width"): lambda core: core.pool_width,
}
FIELDS = {
    (r, f): field for r, register in REGISTERS.items() for f, field in register.fields.items()
}
STATUS = {key: port for key, port in PORTS.items() if port.endswith("_i")}
ADDRESSES = {register.address: name for name, register in REGISTERS.items()}
EVERY_ADDRESS = range(0, 0x80, 4)

CORES = [Core(), Core(255, 200, 16, 32768, 2000, 256, 2)]


def access(name: str) -> str:
    """Returns the access of software to a register: r, w or rw, the same for all its fields."""
    (kind,) = {field.access for field in REGISTERS[name].fields.values()}
    return kind


def test_every_field_has_a_source():
    """The tables above name each field of the map, and no other."""
    assert set(BUILD) == {key for key, field in FIELDS.items() if field.reset is None}
    constant = {key for key, field in FIELDS.items() if field.access == "r"} - set(BUILD)
    assert set(PORTS) - set(STATUS) == {k for k, field in FIELDS.items() if field.access != "r"}
    assert set(STATUS) < constant
    assert {name for name, _ in constant - set(STATUS)} == {"VERSION"}


class Model:
    """The model of the registers, cycle by cycle."""

    def __init__(self, dut):
        self.dut = dut
        self.core = Core(**{n: int(getattr(dut, n.upper()).value) for n in vars(Core())})
        self.reads = self.writes = 0
        self.reset()

    def reset(self) -> None:
        """Sets every field to its value after reset; no answer is pending."""
        self.fields = {k: f.reset for k, f in FIELDS.items() if f.access == "rw"}
        self.pulses = {port: 0 for key, port in PORTS.items() if FIELDS[key].access == "w"}
        self.write_answer: AxiResp | None = None
        self.read_answer: tuple[int, AxiResp] | None = None
        self.write_ready = self.read_ready = False

    def value(self, port: str) -> int:
        """Returns the present value of a port; raises ValueError for X and Z."""
        return int(getattr(self.dut, port).value)

    def word(self, name: str) -> int:
        """Returns the word that a read of the register gives now; bits outside its fields are 0."""
        word = 0
        for field, place in REGISTERS[name].fields.items():
            key = (name, field)
            if key in BUILD:
                value = BUILD[key](self.core)
            elif key in STATUS:
                value = self.value(STATUS[key])
            elif place.access == "w":
                value = 0
            else:
                value = self.fields.get(key, place.reset)
            word |= value << place.low
        return word

    def answer(self, address: int) -> tuple[int, AxiResp]:
        """Returns the word and the response of a read."""
        name = ADDRESSES.get(address & ~3)
        return (self.word(name), AxiResp.OKAY) if name else (0, AxiResp.SLVERR)

    async def run(self) -> None:
        """Compares every cycle; never returns."""
        while True:
            await RisingEdge(self.dut.clk_i)
            await ReadOnly()
            self.cycle()

    def cycle(self) -> None:
        """Compares the outputs, which are stable now, and moves the model on by a cycle."""
        valid = {c: self.value(f"s_axil_{c}valid") for c in ("aw", "w", "ar")}
        written = ADDRESSES.get(self.value("s_axil_awaddr") & ~3) if valid["aw"] else None
        kind = access(written) if written else "r"
        write = self.write_ready and valid["aw"] and valid["w"]
        read = self.read_ready and valid["ar"]

        expected = {
            "s_axil_awready": self.write_ready,
            "s_axil_wready": self.write_ready,
            "s_axil_arready": self.read_ready,
            "s_axil_bvalid": self.write_answer is not None,
            "s_axil_rvalid": self.read_answer is not None,
            "change_o": write and kind == "rw",
            **self.pulses,
            **{PORTS[key]: value for key, value in self.fields.items()},
        }
        if self.write_answer is not None:
            expected["s_axil_bresp"] = self.write_answer
        if self.read_answer is not None:
            expected["s_axil_rdata"], expected["s_axil_rresp"] = self.read_answer
        for port, value in expected.items():
            found = self.value(port)
            assert found == value, f"{port}: expected {int(value):#x}, got {found:#x}"

        # Ready comes a cycle after valid, for address and data at once, if no answer is in the way.
        write_free = self.write_answer is None or self.value("s_axil_bready")
        read_free = self.read_answer is None or self.value("s_axil_rready")
        held = kind == "w" and self.value("hold_i")
        offered = valid["aw"] and valid["w"] and not self.write_ready
        self.write_ready = bool(offered and write_free and not held)
        self.read_ready = bool(valid["ar"] and not self.read_ready and read_free)
        # A read gives the value from before a write of the same cycle.
        if read:
            self.reads += 1
            self.read_answer = self.answer(self.value("s_axil_araddr"))
        elif self.value("s_axil_rready"):
            self.read_answer = None
        self.pulses = dict.fromkeys(self.pulses, 0)
        if write:
            self.writes += 1
            self.write_answer = AxiResp.SLVERR if kind == "r" else AxiResp.OKAY
            if kind != "r":
                self.take(written)
        elif self.value("s_axil_bready"):
            self.write_answer = None
        if self.value("rst_i"):
            self.reset()

    def take(self, name: str) -> None:
        """Writes the bytes that are on the bus to a register that can be written."""
        data, strobes = self.value("s_axil_wdata"), self.value("s_axil_wstrb")
        mask = sum(0xFF << 8 * byte for byte in range(4) if strobes >> byte & 1)
        for field, place in REGISTERS[name].fields.items():
            key, ones = (name, field), (1 << place.width) - 1
            if place.access == "w":
                self.pulses[PORTS[key]] = (data & mask) >> place.low & ones
            else:
                word = self.fields[key] << place.low
                self.fields[key] = ((word & ~mask) | (data & mask)) >> place.low & ones


class RegistersBench:
    """The module `registers` with its clock, an AXI4-Lite master and the model."""

    def __init__(self, dut, master: bool = True):
        self.dut = dut
        self.rng = random_generator()
        self.model = Model(dut)
        start_clock(dut.clk_i)
        dut.rst_i.value = 1
        dut.hold_i.value = 0
        for port in STATUS.values():
            getattr(dut, port).value = 0
        if not master:
            self.drive_valid(0)
            return
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk_i, dut.rst_i)
        self.write_if, self.read_if = self.master.write_if, self.master.read_if
        for interface in (self.write_if, self.read_if):
            interface.log.setLevel(logging.ERROR)

    async def start(self) -> None:
        """Holds reset for two cycles; the model compares from the second one on."""
        await ClockCycles(self.dut.clk_i, 2)
        cocotb.start_soon(self.model.run())
        self.dut.rst_i.value = 0
        await RisingEdge(self.dut.clk_i)

    def drive_valid(self, valid: int) -> None:
        """Offers a read and a write without the master, or none of them, and takes every answer."""
        for name in ("awvalid", "wvalid", "arvalid"):
            getattr(self.dut, f"s_axil_{name}").value = valid
        self.dut.s_axil_bready.value = 1
        self.dut.s_axil_rready.value = 1

    async def read(self, address: int) -> tuple[int, AxiResp]:
        """Reads a register; returns the word and the response."""
        answer = await self.master.read(address, 4)
        return int.from_bytes(answer.data, "little"), answer.resp

    async def write(self, address: int, word: int) -> AxiResp:
        """Writes a whole word; returns the response."""
        return (await self.master.write(address, word.to_bytes(4, "little"))).resp

    async def send_write(self, address: int, word: int, strobes: int) -> None:
        """Queues a write with these strobes, and takes its answer from the channel."""
        sent = AxiLiteAWTransaction(awaddr=address, awprot=self.privilege())
        await self.write_if.aw_channel.send(sent)
        await self.write_if.w_channel.send(AxiLiteWTransaction(wdata=word, wstrb=strobes))

    def privilege(self) -> int:
        """Returns random protection bits; none of them makes the core refuse an access."""
        return int(self.rng.integers(8))

    def random_word(self) -> int:
        """Returns 32 random bits."""
        return int(self.rng.integers(2**32))

    def random_address(self) -> int:
        """Returns a random address, mostly that of a register, sometimes one inside a word."""
        if self.rng.random() < 0.2:
            return int(self.rng.integers(0x80))
        return int(self.rng.choice([*ADDRESSES]))

    def disturb(self) -> None:
        """Makes every channel pause at random from now on; hold and status change in each cycle."""
        for channel in (
            self.write_if.aw_channel,
            self.write_if.w_channel,
            self.write_if.b_channel,
            self.read_if.ar_channel,
            self.read_if.r_channel,
        ):
            often = self.rng.choice((0, 0.3, 0.7))
            channel.set_pause_generator(itertools.cycle((self.rng.random(997) < often).tolist()))
        cocotb.start_soon(self.change_inputs())

    async def change_inputs(self) -> None:
        """Changes hold and status at random for ever."""
        while True:
            self.dut.hold_i.value = bool(self.rng.random() < 0.5)
            for key, port in STATUS.items():
                getattr(self.dut, port).value = int(self.rng.integers(1 << FIELDS[key].width))
            await RisingEdge(self.dut.clk_i)


def short_test(function):
    """Returns a cocotb test that fails after 1 ms, for instance when an answer does not come."""
    return cocotb.test(timeout_time=1, timeout_unit="ms")(function)


@short_test
async def values_after_reset(dut):
    """Every register has its reset values or the build's; other bits are 0."""
    bench = RegistersBench(dut)
    await bench.start()
    for name, register in REGISTERS.items():
        word, response = await bench.read(register.address)
        assert response == AxiResp.OKAY, name
        expected = {
            field: BUILD[name, field](bench.model.core) if place.reset is None else place.reset
            for field, place in register.fields.items()
        }
        assert word == register.pack(**expected), f"{name}: got {register.unpack(word)}"


@short_test
async def access_as_the_map_says(dut):
    """Only rw fields keep a written value; writing a read-only register is refused."""
    bench = RegistersBench(dut)
    await bench.start()
    words = {address: await bench.read(address) for address in ADDRESSES}
    for written in (0xFFFF_FFFF, 0, None):
        for name, register in REGISTERS.items():
            word = bench.random_word() if written is None else written
            expected = AxiResp.SLVERR if access(name) == "r" else AxiResp.OKAY
            assert await bench.write(register.address, word) == expected, name
            if access(name) == "rw":
                words[register.address] = register.pack(**register.unpack(word)), AxiResp.OKAY
            assert {address: await bench.read(address) for address in ADDRESSES} == words, name


@short_test
async def addresses_without_a_register(dut):
    """At an address without a register a read gives SLVERR and 0, a write SLVERR and no change."""
    bench = RegistersBench(dut)
    await bench.start()
    for (name, field), port in STATUS.items():
        getattr(dut, port).value = (1 << FIELDS[name, field].width) - 1
    for name, register in REGISTERS.items():
        if access(name) == "rw":
            await bench.write(register.address, 0xFFFF_FFFF)
    before = {a: await bench.read(a) for a in ADDRESSES}
    unmapped = [address for address in EVERY_ADDRESS if address not in ADDRESSES]
    for address in unmapped:
        assert await bench.read(address) == (0, AxiResp.SLVERR)
        assert await bench.write(address, bench.random_word()) == AxiResp.SLVERR
    assert {a: await bench.read(a) for a in ADDRESSES} == before


@short_test
async def byte_strobes(dut):
    """Bytes without strobe keep their value, in every register and with every strobe."""
    bench = RegistersBench(dut)
    await bench.start()
    for register in REGISTERS.values():
        for strobes in bench.rng.permutation(16).tolist():
            await bench.send_write(register.address, bench.random_word(), strobes)
            await bench.write_if.b_channel.recv()
            assert await bench.read(register.address) == bench.model.answer(register.address)


@short_test
async def status_is_shown(dut):
    """A read of a status field gives the value of its port."""
    bench = RegistersBench(dut)
    await bench.start()
    for (name, field), port in STATUS.items():
        for value in (0, (1 << FIELDS[name, field].width) - 1):
            getattr(dut, port).value = value
            await RisingEdge(dut.clk_i)
            word, _ = await bench.read(REGISTERS[name].address)
            assert REGISTERS[name].unpack(word)[field] == value
            assert word == REGISTERS[name].pack(**{field: value}), "other fields"
        getattr(dut, port).value = 0


@short_test
async def pulses_last_one_cycle(dut):
    """Writes close together each give a pulse of one cycle, which a read never shows."""
    bench = RegistersBench(dut)
    await bench.start()
    fields = {key: port for key, port in PORTS.items() if FIELDS[key].access == "w"}
    for (name, field), port in fields.items():
        register: Register = REGISTERS[name]
        for count in (1, 2, 5):
            pulses = 0
            for _ in range(count):
                data = register.pack(**{field: 1}).to_bytes(4, "little")
                bench.master.init_write(register.address, data)
            for _ in range(count + 10):
                bench.master.init_read(register.address, 4)
                await ReadOnly()
                pulses += bench.model.value(port)
                await RisingEdge(dut.clk_i)
            assert pulses == count


@short_test
async def hold_delays_control_alone(dut):
    """While hold is high, a write that would pulse waits; reads and other writes do not."""
    bench = RegistersBench(dut)
    await bench.start()
    dut.hold_i.value = 1
    for name, register in REGISTERS.items():
        data = register.pack(**dict.fromkeys(register.fields, 1)).to_bytes(4, "little")
        answer = bench.master.init_write(register.address, data)
        for _ in range(3):
            await bench.read(register.address)
        assert answer.is_set() == (access(name) != "w"), name
        dut.hold_i.value = 0
        await answer.wait()
        dut.hold_i.value = 1


@short_test
async def random_traffic(dut):
    """Reads and writes come at the same time, with any address and strobes; channels pause."""
    bench = RegistersBench(dut)
    await bench.start()
    count = 300

    async def read():
        for _ in range(count):
            address = bench.random_address()
            sent = AxiLiteARTransaction(araddr=address, arprot=bench.privilege())
            await bench.read_if.ar_channel.send(sent)

    async def write():
        for _ in range(count):
            strobes = int(bench.rng.choice([15, bench.rng.integers(16)]))
            await bench.send_write(bench.random_address(), bench.random_word(), strobes)

    bench.disturb()
    cocotb.start_soon(read())
    cocotb.start_soon(write())
    for _ in range(count):
        await bench.read_if.r_channel.recv()
    for _ in range(count):
        await bench.write_if.b_channel.recv()
    await ClockCycles(dut.clk_i, 20)
    assert (bench.model.reads, bench.model.writes) == (count, count)


@short_test
async def reset_in_the_middle(dut):
    """After one cycle of reset, nothing is left of a write or an answer."""
    bench = RegistersBench(dut)
    await bench.start()
    channels = bench.write_if.b_channel, bench.read_if.r_channel
    for number in range(60):
        for channel in channels:
            channel.pause = bool(bench.rng.integers(2))
        for name, register in REGISTERS.items():
            if access(name) != "r":
                bench.master.init_write(register.address, b"\xff" * 4)
        bench.master.init_read(REGISTERS["MAP"].address, 4)
        await ClockCycles(dut.clk_i, number % 15)
        dut.rst_i.value = 1
        await RisingEdge(dut.clk_i)
        dut.rst_i.value = 0
        await ClockCycles(dut.clk_i, 2)
        for channel in channels:
            channel.pause = False
        for register in REGISTERS.values():
            assert await bench.read(register.address) == bench.model.answer(register.address)


@short_test
async def reset_wins_over_a_write(dut):
    """A write and a read that are taken in the cycle of a reset give no pulse and no answer.

    Those that are offered in that cycle alone are not taken after it.
    """
    bench = RegistersBench(dut, master=False)
    await bench.start()
    dut.s_axil_wstrb.value = 0b1111
    dut.s_axil_wdata.value = 0xFFFF_FFFF
    for register in REGISTERS.values():
        dut.s_axil_awaddr.value = register.address
        dut.s_axil_araddr.value = register.address
        taken, offered = ((1, 0), (1, 1), (0, 0), (0, 0)), ((1, 1), (0, 0), (0, 0))
        for valid, reset in (*taken, *offered):
            dut.rst_i.value = reset
            bench.drive_valid(valid)
            await RisingEdge(dut.clk_i)
    assert bench.model.writes == bench.model.reads == len(REGISTERS)


@each_run("tb.test_registers")
def test_registers(run, simulator):
    run.on(simulator)
