"""How each module is proven, and the mutants that its properties refute; tb/formal.py runs them."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Mutant:
    """A fault in a source that one property finds."""

    property: str  # its label
    name: str  # what the fault is
    old: str
    new: str
    source: str = ""  # a module; "": the one that is proven

    def of(self, text: str) -> str:
        """The faulty source."""
        assert text.count(self.old) == 1, f"the mutant no longer applies: {self.old}"
        return text.replace(self.old, self.new)


@dataclass(frozen=True, eq=False)
class Proof:
    """A module, with these parameters, by k-induction; covers and mutants within `steps` cycles."""

    module: str
    k: int
    steps: int
    parameters: dict[str, int] = field(default_factory=dict)
    mutants: tuple[Mutant, ...] = ()
    bounded: tuple[str, ...] = ()  # properties shown for `steps` cycles only
    without: tuple[str, ...] = ()  # labels that mean nothing with these parameters
    bind: tuple[str, ...] = ()  # modules inside whose properties are lemmas here
    variant: str = ""

    @property
    def name(self) -> str:
        """Of the module, and what tells this proof from its others."""
        return f"{self.module} {self.variant}".strip().replace(" ", "-")


PE = Proof("pe", 2, 6, {"PSUM_WIDTH": 11}, (
    Mutant("exact_sum", "weights lose their sign",
           "{{(PSUM_WIDTH - WEIGHT_WIDTH){weight[WEIGHT_WIDTH-1]}}, weight}",
           "{{(PSUM_WIDTH - WEIGHT_WIDTH){1'b0}}, weight}"),
    Mutant("no_overflow", "the product is subtracted", "psum_i + product", "psum_i - product"),
    Mutant("weight_passes", "the weight in use goes on",
           "assign weight_o = shadow", "assign weight_o = active"),
    Mutant("hops_count_down", "no PE is counted", "weight_hops_i - 1'b1", "weight_hops_i"),
    Mutant("swap_passes", "a swap survives a reset", "swap_o        <= 1'b0", "swap_o <= swap_i"),
    Mutant("act_passes", "the activation loses a bit", "act_o  <= act_i", "act_o <= act_i & ~1"),
))  # fmt: skip
DELAY_ONE_MORE = Mutant(
    "delayed", "a cycle more", "assign data_o = taps[CYCLES*WIDTH +: WIDTH]",
    "reg [WIDTH-1:0] later; always @(posedge clk_i) later <= taps[CYCLES*WIDTH +: WIDTH];"
    "assign data_o = later",
)  # fmt: skip
DELAY_ONE_LESS = Mutant(
    "delayed", "a cycle less", "taps[CYCLES*WIDTH +: WIDTH]", "taps[(CYCLES-1)*WIDTH +: WIDTH]"
)
DELAYS = tuple(
    Proof("delay", cycles + 2, cycles + 4, {"WIDTH": 4, "CYCLES": cycles},
          (DELAY_ONE_MORE, DELAY_ONE_LESS), variant=f"{cycles}")
    for cycles in (1, 2, 16)
)  # fmt: skip
OUTPUT_FIFO = Proof("output_fifo", 2, 12, {"WIDTH": 8, "DEPTH": 4}, (
    Mutant("in_order", "the last entry is shown first",
           "entries[read_pointer[POINTER_WIDTH-1:0]]",
           "entries[write_pointer[POINTER_WIDTH-1:0] - 1'b1]"),
    Mutant("none_lost_none_twice", "an entry leaves twice after a stall",
           "if (pop)     read_pointer", "if (pop && !(valid_i && reserve_i)) read_pointer"),
    Mutant("none_lost_none_twice", "full looks empty",
           "write_pointer != read_pointer",
           "write_pointer[POINTER_WIDTH-1:0] != read_pointer[POINTER_WIDTH-1:0]"),
    Mutant("no_overflow", "a place more than there is", "unreserved    <= ALL",
           "unreserved <= ALL + 1'b1"),
    Mutant("reservable_while_free", "the last place is never given",
           "unreserved_next != 0", "unreserved_next > 1"),
    Mutant("holds_while_stalled", "the output does not wait", "valid_o && ready_i", "valid_o"),
))  # fmt: skip

PROOFS = (PE, *DELAYS, OUTPUT_FIFO)
