"""Lists the proofs of each module and the mutants that they must refute; prove.py runs both."""

from dataclasses import dataclass, field, replace

from tb.modules.module_table import (
    ACTIVATIONS,
    GEOMETRY_BUILDS,
    GEOMETRY_COLUMNS,
    GEOMETRY_WORDS,
    MODULES,
)
from tb.sim.sources import replace_once


@dataclass(frozen=True)
class ProofMutant:
    """A fault in a source that one property refutes.

    The source holds `old` exactly once; spaces do not count.
    """

    property: str  # label of the property
    name: str  # what the fault is
    old: str
    new: str
    source: str = ""  # a module; "": the one that is proven

    def of(self, text: str) -> str:
        """Returns the faulty source; raises InputError if `text` does not have `old` once."""
        return replace_once(text, self.old, self.new, f"mutant '{self.name}'")


@dataclass(frozen=True, eq=False)
class Proof:
    """A proof by k-induction; its covers and mutants are looked for within `steps` cycles."""

    module: str
    k: int  # number of steps of the induction
    steps: int
    mutants: tuple[ProofMutant, ...] = ()
    bounded: tuple[str, ...] = ()  # properties shown for `steps` cycles only
    only: tuple[str, ...] = ()  # asserts and covers of this proof; (): all
    given: tuple[str, ...] = ()  # lemmas that another proof of the module has shown
    without: tuple[str, ...] = ()  # assumptions that it does not need
    bind: tuple[str, ...] = ()  # modules inside whose properties are lemmas here
    # Signal inside an instance that each wire is connected to
    see: dict[str, str] = field(default_factory=dict)
    free: tuple[str, ...] = ()  # wires that may have any values, whatever drives them
    # Whether products may have any values, as long as products of equal factors are equal
    free_products: bool = False
    rewrites: tuple[tuple[str, str], ...] = ()  # (old, new), everywhere in this proof's copy
    of: str = ""  # name of the properties file, if it is not the module's
    variant: str = ""

    @property
    def parameters(self) -> dict[str, int]:
        """Returns the values of the module's parameters in this proof, by name."""
        return dict(MODULES[self.module].proven[self.variant])

    @property
    def properties(self) -> str:
        """Returns the name of the file of properties, without its suffix."""
        return self.of or self.module

    @property
    def name(self) -> str:
        """Returns the module's name with the variant, which distinguishes the module's proofs."""
        return f"{self.module} {self.variant}".strip().replace(" ", "-")


PE = Proof(
    "pe",
    2,
    6,
    (
        ProofMutant(
            "exact_sum",
            "weights lose their sign",
            "{{(PSUM_WIDTH - WEIGHT_WIDTH){weight[WEIGHT_WIDTH-1]}}, weight}",
            "{{(PSUM_WIDTH - WEIGHT_WIDTH){1'b0}}, weight}",
        ),
        ProofMutant(
            "no_overflow", "the product is subtracted", "psum_i + product", "psum_i - product"
        ),
        ProofMutant(
            "weight_passes",
            "the weight in use goes on",
            "assign weight_o = shadow",
            "assign weight_o = active",
        ),
        ProofMutant("hops_count_down", "no PE is counted", "weight_hops_i - 1'b1", "weight_hops_i"),
        ProofMutant("swap_passes", "a swap survives a reset", "swap_o <= 1'b0", "swap_o <= swap_i"),
        ProofMutant(
            "act_passes", "the activation loses a bit", "act_o <= act_i", "act_o <= act_i & ~1"
        ),
    ),
)
SIGNED_PE = replace(
    PE,
    variant="signed",
    mutants=(
        ProofMutant(
            "exact_sum",
            "activations lose their sign",
            "ACT_SIGNED != 0 && act_i[ACT_WIDTH-1]",
            "1'b0",
        ),
        *PE.mutants,
    ),
)
GATED_PE = replace(
    PE,
    variant="gated",
    mutants=(
        ProofMutant("exact_sum", "a held activation counts", "if (zero) begin", "if (1'b0) begin"),
        ProofMutant(
            "act_passes", "the next PE is not told", "act_zero_o <= zero;", "act_zero_o <= 1'b0;"
        ),
    ),
)
ZERO_HOLD = Proof(
    "zero_hold",
    2,
    8,
    (
        ProofMutant("zero_is_told", "lanes are always held", "hold_i && data_i", "data_i"),
        ProofMutant(
            "others_pass",
            "a lane is a cycle late",
            ": data_i[lane*WIDTH +: WIDTH];",
            ": held[lane*WIDTH +: WIDTH];",
        ),
        ProofMutant(
            "zero_stays",
            "a lane that is zero becomes zero",
            "zero_o[lane] ? held[lane*WIDTH +: WIDTH]",
            "zero_o[lane] ? {WIDTH{1'b0}}",
        ),
        ProofMutant(
            "zero_stays",
            "the lanes are not reset",
            "rst_i ? {LANES * WIDTH{1'b0}} : data_o",
            "data_o",
        ),
    ),
)
DELAY_ONE_MORE = ProofMutant(
    "delayed",
    "a cycle more",
    "assign data_o = taps[CYCLES*WIDTH +: WIDTH]",
    "reg [WIDTH-1:0] later; always @(posedge clk_i) later <= taps[CYCLES*WIDTH +: WIDTH];"
    "assign data_o = later",
)
DELAY_ONE_LESS = ProofMutant(
    "delayed", "a cycle less", "taps[CYCLES*WIDTH +: WIDTH]", "taps[(CYCLES-1)*WIDTH +: WIDTH]"
)
DELAYS = tuple(
    Proof("delay", cycles + 2, cycles + 4, (DELAY_ONE_MORE, DELAY_ONE_LESS), variant=f"{cycles}")
    for cycles in (1, 2, 16)
)
OUTPUT_POOL = Proof(
    "output_pool",
    2,
    14,
    (
        ProofMutant("leaves", "every row ends four pixels", "(x[0] && odd_row)", "x[0]"),
        ProofMutant(
            "others_are_dropped",
            "a pixel that does not leave keeps its place",
            "drop_o = valid_i && !valid_o",
            "drop_o = valid_i && !valid_o && odd_row",
        ),
        ProofMutant(
            "largest", "the row above is not compared", "(larger > over) ? larger : over", "larger"
        ),
        ProofMutant("passes", "codes alone pass", ": data_i;", ": {1'b0, data_i[CODES-1:0]};"),
        ProofMutant(
            "last_is_marked",
            "each row has a last pixel",
            "last_o = last_i",
            "last_o = last_i || x == 0",
        ),
    ),
)
OUTPUT_FIFO = Proof(
    "output_fifo",
    2,
    12,
    (
        ProofMutant(
            "in_order",
            "the last entry is shown first",
            "entries[read_pointer[POINTER_WIDTH-1:0]]",
            "entries[write_pointer[POINTER_WIDTH-1:0] - 1'b1]",
        ),
        ProofMutant(
            "none_lost_none_twice",
            "an entry leaves twice after a stall",
            "if (pop) read_pointer",
            "if (pop && !(valid_i && reserve_i)) read_pointer",
        ),
        ProofMutant(
            "none_lost_none_twice",
            "full looks empty",
            "write_pointer != read_pointer",
            "write_pointer[POINTER_WIDTH-1:0] != read_pointer[POINTER_WIDTH-1:0]",
        ),
        ProofMutant(
            "no_overflow",
            "a place more than there is",
            "unreserved <= ALL",
            "unreserved <= ALL + 1'b1",
        ),
        ProofMutant(
            "reservable_while_free",
            "the last place is never given",
            "unreserved_next != 0",
            "unreserved_next > 1",
        ),
        ProofMutant(
            "holds_while_stalled", "the output does not wait", "valid_o && ready_i", "valid_o"
        ),
    ),
)

SKEWS = tuple(
    Proof(
        "skew",
        9,
        12,
        (
            ProofMutant(
                "delayed",
                "the wrong edge",
                "REVERSE ? LANES - 1 - lane",
                f"{1 - reverse} ? LANES - 1 - lane",
            ),
            ProofMutant(
                "delayed",
                "a cycle too early",
                "taps[DELAY*WIDTH +: WIDTH]",
                "taps[(DELAY-1)*WIDTH +: WIDTH]",
            ),
            ProofMutant(
                "reset_clears",
                "only the first stage is cleared",
                "rst_i ? {DELAY * WIDTH{1'b0}}",
                "rst_i ? {taps[DELAY*WIDTH-1:WIDTH], {WIDTH{1'b0}}}",
            ),
        ),
        variant=name,
    )
    for reverse, name in enumerate(("", "reversed"))
)
TAP_RANGE = Proof(
    "tap_range",
    2,
    4,
    (
        ProofMutant(
            "exactly_those_reached",
            "rounded down above the map",
            "above[1:0] - {1'b0, above[1]}",
            "{1'b0, above[1]}",
        ),
        ProofMutant("exactly_those_reached", "the map is a pixel longer", "- 9'd1 +", "+"),
        ProofMutant(
            "first_uses_origin",
            "the first output is taken as 0",
            "{1'b0, first}}) - above",
            "{1'b0, first}})",
        ),
        ProofMutant(
            "some_are", "the output ends a pixel later", "out_side_i - 9'd1;", "out_side_i;"
        ),
    ),
)
RAM = Proof(
    "ram",
    2,
    8,
    (
        ProofMutant(
            "reads_what_was_written",
            "every second word is shared",
            "words[write_address_i] <=",
            "words[write_address_i & ~1] <=",
        ),
    ),
)
SEE_RAM = {f"seen_{name}": f"ram.{name}" for name in ("watched", "word")}
BANKED_RAM = Proof(
    "banked_ram",
    2,
    8,
    (
        ProofMutant(
            "reads_what_was_written",
            "the banks overlap",
            "write_bank_i ? write_address + SECOND",
            "write_bank_i ? write_address + SECOND - 1'b1",
        ),
        ProofMutant(
            "reads_what_was_written",
            "the other bank is read",
            "read_bank_i ? read_address + SECOND",
            "!read_bank_i ? read_address + SECOND",
        ),
    ),
    bind=("ram",),
    see=SEE_RAM,
)
LOADER_MUTANTS = (
    ProofMutant(
        "columns_in_order",
        "the last column is left out",
        "col <= LAST[COL_WIDTH-1:0]",
        "col <= LAST[COL_WIDTH-1:0] - 1'b1",
    ),
    ProofMutant("one_a_cycle", "hold_i is ignored", "active && !hold_i", "active"),
    ProofMutant(
        "ready_at_the_end", "ready a column early", "valid_o && col == 0)", "valid_o && col == 1)"
    ),
    ProofMutant(
        "holds_while_stalled",
        "the column goes on while it waits",
        "else if (valid_o) col <=",
        "else if (active) col <=",
    ),
)
LOADERS = (
    Proof(
        "weight_loader",
        2,
        24,
        (
            ProofMutant(
                "address_of_column",
                "the tile's address loses a bit",
                "{address_i[15:COL_WIDTH], col}",
                "{address_i[15:COL_WIDTH] & ~1, col}",
            ),
            *LOADER_MUTANTS,
        ),
    ),
    Proof(
        "weight_loader",
        2,
        24,
        (
            ProofMutant(
                "address_of_column", "the next tile's", "address_i + {{", "address_i + COLS + {{"
            ),
        ),
        variant="6",
    ),
)
BANK_CONTROL = Proof(
    "bank_control",
    2,
    16,
    (
        ProofMutant(
            "in_order", "both lengths are one", "read_bank ? length_1 : length_0", "length_0"
        ),
        ProofMutant(
            "none_lost_none_twice",
            "a release is lost",
            "full[read_bank] <= 1'b0;",
            "full[read_bank] <= beat;",
        ),
        ProofMutant(
            "waits_while_full", "one bank is enough to wait", "!full[fill_bank]", "full == 0"
        ),
        ProofMutant(
            "beat_to_its_word", "the bank is cut a word early", "beats < LIMIT", "beats < LIMIT - 1"
        ),
        ProofMutant(
            "one_bank",
            "the bank changes on the way",
            "full[fill_bank] <= 1'b1; fill_bank <= !fill_bank;",
            "full[fill_bank] <= 1'b1; end if (tlast_i || beats == 2) begin "
            "fill_bank <= !fill_bank;",
        ),
        ProofMutant("never_overwrites", "it does not wait", "!full[fill_bank]", "1'b1"),
        ProofMutant(
            "holds_until_release",
            "the length goes on counting",
            "if (fill_bank) length_1 <= beats_next; else length_0",
            "length_1 <= beats_next; length_0",
        ),
    ),
)
STREAM_BANK = Proof(
    "stream_bank",
    2,
    16,
    (
        ProofMutant(
            "length_fits",
            "the length goes on counting",
            "(beats > LIMIT) ? beats : beats + 1'b1",
            "beats + 1'b1",
            "bank_control",
        ),
        ProofMutant(
            "written_a_cycle_later",
            "beats beyond the bank are written",
            "write_o <= write;",
            "write_o <= tvalid_i && tready_o;",
        ),
        ProofMutant(
            "beat_to_its_word",
            "the first beat's data stays",
            "write_data_o <= tdata_i;",
            "if (write_address == 0) write_data_o <= tdata_i;",
        ),
        ProofMutant(
            "one_bank",
            "the last beat goes to the other bank",
            "write_bank_o <= write_bank;",
            "write_bank_o <= write_bank ^ tlast_i;",
        ),
        ProofMutant(
            "told_bank",
            "the banks change places",
            "write_bank_o <= write_bank;",
            "write_bank_o <= !write_bank;",
        ),
        ProofMutant(
            "never_overwrites",
            "the oldest packet's bank is written",
            "write_bank_o <= write_bank;",
            "write_bank_o <= bank_o;",
        ),
    ),
    bind=("bank_control",),
    see={"seen_beats": "bank_control.beats"},
)
REGISTERS = Proof(
    "registers",
    2,
    8,
    (
        ProofMutant(
            "address_with_data",
            "data is taken without address",
            "assign s_axil_wready = s_axil_awready",
            "assign s_axil_wready = s_axil_wvalid",
        ),
        ProofMutant(
            "one_answer_a_write",
            "an answer is lost",
            "else if (write) s_axil_bvalid",
            "else if (write && !s_axil_rvalid) s_axil_bvalid",
        ),
        ProofMutant(
            "one_answer_a_read",
            "an answer comes twice",
            "else if (s_axil_rready) s_axil_rvalid <= 1'b0",
            "else if (s_axil_rready && !s_axil_bvalid) s_axil_rvalid <= 1'b0",
        ),
        ProofMutant(
            "write_answer_holds",
            "a write does not wait for the answer before",
            "(!s_axil_bvalid || s_axil_bready)",
            "1'b1",
        ),
        ProofMutant(
            "read_answer_holds",
            "a read does not wait for the answer before",
            "(!s_axil_rvalid || s_axil_rready)",
            "1'b1",
        ),
        ProofMutant(
            "refuses_writes",
            "OUTPUT is refused",
            "write_word <= `CORE_REGISTER_OUTPUT",
            "write_word < `CORE_REGISTER_OUTPUT",
        ),
        ProofMutant(
            "refuses_reads", "nothing is refused", "read_refused <= 1'b1", "read_refused <= 1'b0"
        ),
        ProofMutant(
            "reads_what_was_written",
            "strobes are ignored in TILES",
            "(tiles & ~mask) | set",
            "s_axil_wdata",
        ),
        ProofMutant(
            "status_is_now", "busy and done change places", "done_i, busy_i}", "busy_i, done_i}"
        ),
        ProofMutant(
            "core_sees_it",
            "width and height change places",
            "{width_o, height_o} = map",
            "{height_o, width_o} = map",
        ),
        ProofMutant("control_waits", "hold_i is ignored", "!(write_control && hold_i)", "1'b1"),
        ProofMutant(
            "write_is_taken",
            "every write waits for hold_i",
            "!(write_control && hold_i)",
            "!hold_i",
        ),
        ProofMutant(
            "read_is_taken",
            "a read waits for a write's answer",
            "s_axil_arvalid && !s_axil_arready",
            "s_axil_arvalid && !s_axil_bvalid && !s_axil_arready",
        ),
        ProofMutant(
            "starts_once",
            "any write of CONTROL starts",
            "write && write_control && set[0]",
            "write && write_control",
        ),
        ProofMutant("clears_once", "a clear survives a reset", "set[1] && !rst_i", "set[1]"),
        ProofMutant(
            "tells_changes",
            "a change of the images is not reported",
            "write && write_layer;",
            "write && write_layer && write_word != `CORE_REGISTER_IMAGES;",
        ),
    ),
)

SEE_SUMS = {f"seen_{name}": f"sums.{name}" for name in ("watched", "word")}
ACCUMULATOR = Proof(
    "accumulator",
    5,
    16,
    (
        ProofMutant(
            "sum_of_its_psums",
            "the psum's sign is lost",
            "{psum[PSUM_WIDTH-1]}}, psum}",
            "{1'b0}}, psum}",
        ),
        ProofMutant(
            "sum_of_its_psums",
            "the pixel right before is not seen",
            "(valid_3 && same_2_3) ? written_3 :",
            "",
        ),
        ProofMutant(
            "sum_of_its_psums",
            "the pixel of two cycles ago is not seen",
            "use_newer_2 <= (valid_3 && same_1_3) ||",
            "use_newer_2 <=",
        ),
        ProofMutant(
            "sum_of_its_psums",
            "the pixel of three cycles ago is not seen",
            "|| (valid_4 && same_1_4)",
            "",
        ),
        ProofMutant(
            "sum_of_its_psums",
            "a finished place is not cleared",
            "final_2 || clearing || rst_i",
            "clearing || rst_i",
        ),
        ProofMutant(
            "sum_of_its_psums",
            "psums are added without being there",
            "& {PSUM_WIDTH{psum_valid_i}}",
            "",
        ),
        ProofMutant(
            "sum_of_its_psums",
            "the last place is not cleared",
            "address_3 <= next_cleared",
            "address_3 <= next_cleared - 1'b1",
        ),
        ProofMutant(
            "only_finished_leave",
            "every pixel leaves",
            "valid_2 && final_2 && !rst_i",
            "valid_2 && !rst_i",
        ),
        ProofMutant("ready_in_time", "ready at once", "!clearing && !rst_i", "!rst_i"),
    ),
    bind=("ram",),
    see=SEE_SUMS,
)
SEQUENCERS = (
    Proof(
        "sequencer",
        2,
        28,
        (
            ProofMutant(
                "starts_with_the_first",
                "the walk starts with the lowest tap",
                "ky <= following(row_taps_i, {1'b0, padding_i})",
                "ky <= lowest(row_taps_i)",
            ),
            ProofMutant(
                "successor_follows",
                "every second tap is left out",
                "one_above[tap] ? tap + 3'd1 : two_above[tap]",
                "two_above[tap]",
            ),
            ProofMutant(
                "ends_with_the_last",
                "the last input tile is left out",
                "input_tiles_left == 8'd1",
                "input_tiles_left <= 8'd2",
            ),
            ProofMutant(
                "less_is_left",
                "the kernel row is not counted",
                "if (last_kx) begin",
                "if (1'b0) begin",
            ),
        ),
        only=(
            "lemma_started",
            "lemma_columns",
            "lemma_next",
            "lemma_here",
            "starts_with_the_first",
            "successor_follows",
            "ends_with_the_last",
            "less_is_left",
            "second_output_tile",
            "ends",
        ),
    ),
    Proof(
        "sequencer",
        4,
        16,
        (
            ProofMutant(
                "weights_of_index",
                "kernel rows and columns change places",
                "ky * kernel_i + {3'd0, kx}",
                "kx * kernel_i + {3'd0, ky}",
            ),
            ProofMutant(
                "activation_of_index",
                "the next input tile follows too early",
                "act_base <= last_input_tile ? 16'd0 : next_act_base",
                "act_base <= next_act_base",
            ),
            ProofMutant(
                "pixel_of_index",
                "the first pixel is the map's",
                "row_pixel + {8'd0, col_first_q}",
                "{14'd0, col_first_q}",
            ),
        ),
        given=("lemma_next", "lemma_here"),
        only=("lemma_bases", "weights_of_index", "activation_of_index", "pixel_of_index"),
        variant="addresses",
    ),
    Proof(
        "sequencer",
        3,
        16,
        (ProofMutant("rows_of_index", "the side is the width", "(height_i)", "(width_i)"),),
        given=("lemma_next", "lemma_here"),
        only=("rows_of_index",),
        variant="rows",
    ),
    Proof(
        "sequencer",
        3,
        16,
        (
            ProofMutant(
                "cols_of_index",
                "columns outside count as inside",
                "final_q ? cols_outside : 2'd0",
                "2'd0",
            ),
        ),
        given=("lemma_next", "lemma_here"),
        only=("cols_of_index",),
        variant="cols",
    ),
    Proof(
        "sequencer",
        3,
        16,
        (
            ProofMutant(
                "final_visits_all",
                "each input tile is final",
                "last_tap && last_input_tile;",
                "last_tap;",
            ),
        ),
        given=("lemma_next", "lemma_here"),
        only=("final_visits_all",),
        variant="final",
    ),
)
ADDRESS_GENERATORS = (
    Proof(
        "address_generator",
        1,
        12,
        (
            ProofMutant(
                "walks_in_order",
                "the second map starts at the second row",
                "act_map <= next_act_map",
                "act_map <= next_act_row",
            ),
            ProofMutant(
                "walks_in_order",
                "rows are a pixel apart at stride 2",
                "{7'd0, width_i, 1'b0} : {8'd0, width_i}",
                "{8'd0, width_i} : {8'd0, width_i}",
            ),
            ProofMutant(
                "ends_with_the_last",
                "the last image is left out",
                "images_left == 16'd2",
                "images_left == 16'd3",
            ),
            ProofMutant(
                "one_a_cycle",
                "every tile waits for the output",
                "active && final_tile && !reservable_i",
                "active && !reservable_i",
            ),
            ProofMutant(
                "reserves_for_finished", "every pixel reserves", "valid_o && final_tile", "valid_o"
            ),
            ProofMutant(
                "swaps_with_the_first", "every pixel swaps", "first <= 1'b0", "first <= 1'b1"
            ),
            ProofMutant(
                "inside_are_the_first",
                "rows outside count as inside",
                "rows_left > {7'd0, rows_outside} &&",
                "",
            ),
            ProofMutant(
                "holds_while_stalled",
                "a pixel goes on while it waits",
                "end else if (valid_o) begin",
                "end else if (active) begin",
            ),
        ),
        only=(
            "lemma_walk",
            "lemma_address",
            "walks_in_order",
            "ends_with_the_last",
            "one_a_cycle",
            "reserves_for_finished",
            "swaps_with_the_first",
            "inside_are_the_first",
            "holds_while_stalled",
            "next_tile",
            "last_word",
        ),
        without=("small_sizes",),
    ),
    Proof(
        "address_generator",
        1,
        12,
        (
            ProofMutant(
                "activation_in_memory",
                "an image too many",
                "images_left == 16'd2",
                "images_left == 16'd1",
            ),
            ProofMutant(
                "activation_in_memory",
                "columns outside count as inside",
                "&& cols_left > {7'd0, cols_outside}",
                "",
            ),
            ProofMutant(
                "pixel_in_memory", "a row too many", "rows_left == 9'd2", "rows_left == 9'd1"
            ),
        ),
        given=(
            "lemma_walk",
            "lemma_address",
            "lemma_starts",
            "lemma_maps_left",
            "lemma_rows_left",
            "lemma_fits",
        ),
        only=("activation_in_memory", "pixel_in_memory"),
        variant="memory",
    ),
    *(
        Proof(
            "address_generator",
            1,
            12,
            given=("lemma_walk",),
            only=(lemma,),
            variant=lemma.removeprefix("lemma_"),
        )
        for lemma in ("lemma_starts", "lemma_maps_left", "lemma_rows_left", "lemma_fits")
    ),
)
CONTROL = Proof(
    "control",
    2,
    24,
    (
        ProofMutant(
            "primes_once", "the sequencer is primed at once", "PRIME = 4'd8", "PRIME = 4'd6"
        ),
        ProofMutant("runs_primed", "it starts unsettled", "idle && settled;", "idle;"),
        ProofMutant(
            "layer_stays_while_busy",
            "registers change the layer that runs",
            "assign load_o = idle",
            "assign load_o = state != RUN",
        ),
        ProofMutant(
            "ends_with_last_beat",
            "the last beat does not count",
            "finish_o = state == RUN && last_beat_i",
            "finish_o = state == RUN && last_beat_i && !waiting_i",
        ),
        ProofMutant(
            "starts_when_asked",
            "a layer with an error starts",
            "start_i && error_i == `CORE_ERROR_NONE",
            "start_i",
        ),
        ProofMutant("done_until_next", "a clear is ignored", "clear_i || accept", "accept"),
        ProofMutant(
            "start_while_busy", "it says nothing", "`CORE_ERROR_START_WHILE_BUSY;", "error_o;"
        ),
        ProofMutant(
            "error_is_told",
            "another error is reported",
            "error_o <= error_i",
            "error_o <= `CORE_ERROR_START_WHILE_BUSY",
        ),
        ProofMutant(
            "dropped_is_told",
            "nothing is reported",
            "error_o <= `CORE_ERROR_PACKET_LENGTH",
            "error_o <= 4'd0",
        ),
        ProofMutant(
            "cycles_count",
            "waiting does not count",
            "else if (!idle) begin cycles_o",
            "else if (state == RUN) begin cycles_o",
        ),
        ProofMutant(
            "stalls_count",
            "the count of the layer before goes on",
            "stalls_o <= {{(COUNTER_WIDTH - 1){1'b0}}, !run_o}",
            "stalls_o <= stalls_o + 1'b1",
        ),
    ),
)
# The proof with the parameters with which control is also mutated (tb/mutation)
SHORT_CONTROL = Proof(
    "control", 2, 24, only=("lemma_state", "lemma_primed"), variant="short counters"
)
# The RAMs of lane 0: whether its codes fall; thresholds 4, 8 and 12; the thresholds between them
THRESHOLD_RAMS = (
    "inverted_ram",
    *(f"g_coarse[{k}].coarse_ram" for k in (1, 2, 3)),
    *(f"g_lane[0].g_threshold[{k}].fine_ram" for k in (1, 2, 3)),
)


def _see_thresholds(sum_width: int) -> dict[str, str]:
    """Returns the wires of properties/output_stage.sv that see the RAMs, and what they see.

    The output stage has one lane and two tiles.
    """
    see = {"seen_inverted": "inverted_ram.ram.word"}
    for n in range(4):
        see[f"seen_tiles[{2 * n + 1}:{2 * n}]"] = f"{THRESHOLD_RAMS[n]}.ram.watched"
    for n in range(3):
        word = f"{sum_width * (n + 1) - 1}:{sum_width * n}"
        see[f"seen_coarse[{word}]"] = f"{THRESHOLD_RAMS[n + 1]}.ram.word"
        see[f"seen_fine[{word}]"] = f"{THRESHOLD_RAMS[n + 4]}.ram.word"
        see[f"seen_fine_places[{4 * n + 3}:{4 * n}]"] = f"{THRESHOLD_RAMS[n + 4]}.ram.watched"
    return see


LEMMAS_OF_STAGE = ("lemma_stages", "lemma_rams")
OUTPUT_STAGE = Proof(
    "output_stage",
    7,
    14,
    (
        ProofMutant(
            "six_cycles",
            "a reset lets results through",
            "{valid, sum_valid_i} & {6{!rst_i}}",
            "{valid, sum_valid_i}",
        ),
        ProofMutant("sums_stay", "a sum leaves a cycle early", "sum_5 <= sum_4", "sum_5 <= sum_3"),
        ProofMutant(
            "relu_is_maximum", "the sign is ignored", "relu && given_1[SUM_WIDTH-1]", "relu"
        ),
        ProofMutant(
            "code_counts_thresholds",
            "a threshold must be exceeded",
            "given_5 >= fine_5",
            "given_5 > fine_5",
        ),
        ProofMutant("code_counts_thresholds", "no code falls", "codes && inverted[c]", "1'b0"),
        ProofMutant(
            "last_with_the_last",
            "each tile has a last pixel",
            "last_pixel && last_tile}",
            "last_pixel}",
        ),
    ),
    only=(
        *LEMMAS_OF_STAGE,
        "six_cycles",
        "sums_stay",
        "relu_is_maximum",
        "code_counts_thresholds",
        "last_with_the_last",
        "falling",
        "second_tile",
    ),
    bind=("ram",),
    see=_see_thresholds(5),
)
# Of lane 0, what the properties of mode SCALED see
SCALING = {
    "summand": "summand_2",
    "multiplier": "multiplier_2",
    "offset": "offset_3",
    "total_4": "total_4",
    "total_5": "total_5",
    "words_5": "given_words_5",
}
OUTPUT_STAGE_SCALED = replace(
    OUTPUT_STAGE,
    variant="scaled",
    only=(*LEMMAS_OF_STAGE, "lemma_scaled", "factors", "code_is_scaled", "between"),
    see=_see_thresholds(9) | {f"seen_{n}": f"g_lane[0].g_scaling.{s}" for n, s in SCALING.items()},
    free_products=True,
    mutants=(
        ProofMutant(
            "factors",
            "the multiplier's sign bit is inverted",
            "multiplier_2 = given_words_2[SUM_WIDTH-1:0]",
            "multiplier_2 = coarse_words_2[SUM_WIDTH-1:0]",
        ),
        ProofMutant(
            "code_is_scaled",
            "the shift rounds to 0",
            "total_5 >>> shift_5",
            "total_5 / (1 << shift_5)",
        ),
        ProofMutant(
            "code_is_scaled",
            "a code may exceed its end by one",
            "shifted_5 > highest_5",
            "shifted_5 > highest_5 + 1",
        ),
        ProofMutant(
            "code_is_scaled", "the fine words follow the sum", "scaled ? 2'd0 : high_2", "high_2"
        ),
    ),
)
GEOMETRY = Proof(
    "geometry",
    2,
    8,
    (
        ProofMutant(
            "weights_fill_columns",
            "weights are counted for each tap",
            "kernel_taps_1 * COLS[15:0]",
            "{10'd0, kernel_taps_1}",
        ),
        ProofMutant(
            "thresholds_of_tiles",
            "15 thresholds take 15 words",
            "{4'd0, output_tiles_i[7:0], 4'd0}",
            "{4'd0, output_tiles_i[7:0], 4'd0} - output_tiles_i",
        ),
    ),
)
# The pipeline's registers are wires, and the parameters any values: properties/geometry_sizes.sv.
GEOMETRY_COPY = (
    ("always @(posedge clk_i)", "always @*"),
    ("if (load_i) begin", "begin"),
    ("localparam [31:0]", "wire [31:0]"),
    ("(SUM_WIDTH - 1)", "(any_sum_width - 1)"),
    ("(ROWS * ", "(any_rows * "),
    ("(WEIGHT_WIDTH - 1)", "(any_weight_width - 1)"),
    ("COLS[", "any_cols["),
    ("= ACT_WORDS;", "= any_act_words;"),
    ("= WEIGHT_WORDS;", "= any_weight_words;"),
    ("= PIXELS;", "= any_pixels;"),
    ("= THRESHOLD_TILES;", "= any_threshold_tiles;"),
    ("OUTPUT_SCALING != 0", "any_output_scaling"),
    ("= POOL_WIDTH;", "= any_pool_width;"),
)
LEMMAS_OF_BUILDS = (
    "lemma_errors",
    "lemma_products",
    "lemma_psums",
    "lemma_prime",
    "weights_fill_columns",
    "thresholds_of_tiles",
)
GEOMETRY_LEMMAS = ("lemma_products", "lemma_weights", "lemma_acts", "lemma_out_pixels")
MUTANTS_OF_SIZES = (
    ProofMutant(
        "products",
        "weights are counted for each tap",
        "kernel_taps_1 * COLS[15:0]",
        "{10'd0, kernel_taps_1}",
    ),
    ProofMutant(
        "products",
        "15 thresholds take 15 words",
        "{4'd0, output_tiles_i[7:0], 4'd0}",
        "{4'd0, output_tiles_i[7:0], 4'd0} - output_tiles_i",
    ),
    ProofMutant(
        "products",
        "a bit of the number of input tiles is lost",
        "input_tiles_i[7:0] * tile_pixels",
        "input_tiles_i[6:0] * tile_pixels",
    ),
    ProofMutant(
        "errors",
        "weights that are too many by one bit of the product are accepted",
        "22 + $clog2(COLS)",
        "21 + $clog2(COLS)",
    ),
    ProofMutant(
        "errors",
        "a map of too many pixels is forgotten",
        "acts_3[23:16] != 0 || too_many_pixels_3",
        "acts_3[23:16] != 0",
    ),
    ProofMutant(
        "errors",
        "the accumulator is never full",
        "{16'd0, out_tile_pixels} > PIXEL_LIMIT",
        "{16'd0, out_tile_pixels} >= PIXEL_LIMIT",
    ),
    ProofMutant(
        "errors",
        "the largest number of psums is refused",
        "{18'd0, psums_2} > MAX_PSUMS",
        "{18'd0, psums_2} >= MAX_PSUMS",
    ),
    ProofMutant(
        "errors",
        "a padding as large as the kernel is taken",
        "padding_i >= kernel_i",
        "padding_i > kernel_i",
    ),
)
MUTANTS_OF_PSUMS = (
    ProofMutant(
        "largest_psums",
        "the smallest weight is the largest one's negative",
        "= 1 << (WEIGHT_WIDTH - 1);",
        "= (1 << (WEIGHT_WIDTH - 1)) - 1;",
    ),
    ProofMutant(
        "largest_psums",
        "signed activations are taken as unsigned, and unsigned ones as signed",
        "(ACT_SIGNED != 0) ?",
        "(ACT_SIGNED == 0) ?",
    ),
)
OUT_WIDTH_MUTANTS = (
    ProofMutant(
        "out_width_suffices",
        "output pixels that are too many by one bit of the product are accepted",
        "$clog2(ACT_WORDS) + 5",
        "$clog2(ACT_WORDS) + 4",
    ),
)
OUT_PIXELS_MUTANTS = (
    ProofMutant(
        "errors",
        "output pixels that are too many by three bits of the product are accepted",
        "$clog2(ACT_WORDS) + 5",
        "$clog2(ACT_WORDS) + 2",
    ),
)


def _geometry(variant: str, *only: str, mutants: tuple[ProofMutant, ...] = ()) -> Proof:
    """Returns a proof of `geometry` in which nothing depends on how many psums a sum holds."""
    return Proof(
        "geometry",
        1,
        1,
        mutants,
        only=only,
        free=("MAX_PSUMS",),
        rewrites=GEOMETRY_COPY,
        of="geometry_sizes",
        variant=variant,
    )


# The lemmas say that the products are exact. Then it no longer matters that they are products.
GEOMETRIES = (
    *(
        Proof(
            "geometry",
            1,
            1,
            MUTANTS_OF_PSUMS if bits == 4 else (),
            only=("largest_psums",),
            rewrites=GEOMETRY_COPY,
            of="geometry_sizes",
            variant=f"{bits} {sign}",
        )
        for sign, bits in ACTIVATIONS
    ),
    _geometry(
        "sides",
        "output_sides",
        "taps",
        "lemma_acts",
        "largest_kernel",
        mutants=(
            ProofMutant(
                "output_sides",
                "a stride of 2 is taken for 1",
                "stride2 ? {1'b0, room_height[8:1]} : room_height",
                "room_height",
            ),
            ProofMutant(
                "taps",
                "two outputs are needed at any stride",
                "out_side > (is_stride2 ? 9'd1 : 9'd2)",
                "out_side > 9'd2",
            ),
        ),
    ),
    # Mutation needs to know of each build that it draws mutants of.
    *(
        Proof("geometry", 2, 8, only=LEMMAS_OF_BUILDS, variant=f"build {number}")
        for number in GEOMETRY_BUILDS
    ),
    *(_geometry(f"{cols} columns", "lemma_products", "lemma_weights") for cols in GEOMETRY_COLUMNS),
    *(
        _geometry(
            f"{words} words",
            "lemma_out_pixels",
            "out_width_suffices",
            mutants=OUT_WIDTH_MUTANTS if words == 32768 else (),
        )
        for words in GEOMETRY_WORDS
    ),
    *(
        replace(
            _geometry(
                f"{cols} columns {words} words",
                "products",
                "errors",
                mutants={(8, 8192): MUTANTS_OF_SIZES, (254, 32768): OUT_PIXELS_MUTANTS}.get(
                    (cols, words), ()
                ),
            ),
            given=GEOMETRY_LEMMAS,
            free_products=True,
        )
        for cols in GEOMETRY_COLUMNS
        for words in GEOMETRY_WORDS
    ),
)
# Weights of a tile travel through the skew: k covers its depth.
SYSTOLIC_ARRAY = Proof(
    "systolic_array",
    6,
    20,
    (
        ProofMutant(
            "weights_end_in_the_array",
            "the hops are not counted",
            "weight_hops_i - 1'b1",
            "weight_hops_i",
            "pe",
        ),
        ProofMutant(
            "valid_is_late",
            "psums are valid a cycle early",
            "valid_taps[LATENCY];",
            "valid_taps[LATENCY-1];",
        ),
        ProofMutant(
            "valid_is_late",
            "a reset lets valid through",
            "rst_i ? {LATENCY{1'b0}} : valid_taps[LATENCY-1:0]",
            "valid_taps[LATENCY-1:0]",
        ),
    ),
)
GATED_PLACES = [
    (row, col)
    for parameters in [MODULES["systolic_array"].proven["gated"]]
    for row in range(parameters["ROWS"])
    for col in range(parameters["COLS"])
]


def _same(**signals: str) -> dict[str, str]:
    """Returns where the signals of each PE are, in an array and in the plain one beside it."""
    return {
        f"g_same.g_same_row[{row}].g_same_col[{col}].seen_{plain}{name}": (
            f"{'g_same.plain.' if plain else ''}g_row[{row}].g_col[{col}].{signal}"
        )
        for row, col in GATED_PLACES
        for name, signal in signals.items()
        for plain in ("", "plain_")
        if not (plain and name == "zero")
    }


# The PEs' and the hold's own proofs are of one module; these are of arrays whose zeros are held.
GATED_ARRAY = Proof(
    "systolic_array",
    7,
    20,
    (
        ProofMutant(
            "same_psums",
            "the rows are told of each other's zeros",
            "zeros[r], acts[r*",
            "zeros[ROWS-1-r], acts[r*",
        ),
        ProofMutant(
            "same_psums", "a held activation counts", "if (zero) begin", "if (1'b0) begin", "pe"
        ),
        ProofMutant(
            "same_valid",
            "zeros are not valid",
            "valid_taps = {valid_stages, act_valid_i}",
            "valid_taps = {valid_stages, act_valid_i && (ZERO_GATING == 0 || act_i != 0)}",
        ),
    ),
    see=_same(shadow="weight_east", active="pe.active"),
    of="systolic_array_gated",
    variant="gated",
)
RECONFIGURABLE_PE = Proof(
    "reconfigurable_pe",
    2,
    6,
    (
        ProofMutant(
            "exact_sum",
            "the second weight loses its sign",
            "{{ACT_WIDTH{weight_high[WEIGHT_WIDTH-1]}}, weight_high}",
            "{{ACT_WIDTH{1'b0}}, weight_high}",
        ),
        ProofMutant(
            "exact_sum",
            "the upper half keeps its place",
            "halves_i ? high_product : high_product <<<",
            "high_product <<<",
        ),
        ProofMutant(
            "exact_sum",
            "a sum goes on with the one before",
            "start_i ? {PSUM_WIDTH{1'b0}} : psum_o",
            "psum_o",
        ),
        ProofMutant(
            "no_overflow", "the product is subtracted", "addend + $signed(", "addend - $signed("
        ),
        ProofMutant(
            "last_is_result",
            "drained sums go first",
            "if (last_i) begin",
            "if (last_i && !drain_i) begin",
        ),
        ProofMutant("results_move", "results never stay", "else if (drain_i) begin", "else begin"),
        ProofMutant(
            "weights_pass",
            "the next tile's weights go south",
            "weight_south_o = active",
            "weight_south_o = shadow",
        ),
        ProofMutant("hops_count_down", "no PE is counted", "weight_hops_i - 1'b1", "weight_hops_i"),
        ProofMutant(
            "tokens_pass", "a last step survives a reset", "last_o <= 1'b0", "last_o <= last_i"
        ),
        ProofMutant(
            "act_passes", "the activation loses a bit", "act_o <= act_i", "act_o <= act_i & ~1"
        ),
    ),
)
RECONFIGURABLE_ARRAY = Proof(
    "reconfigurable_array",
    6,
    26,
    (
        ProofMutant(
            "weights_end_in_the_array",
            "the hops are not counted",
            "weight_hops_i - 1'b1",
            "weight_hops_i",
            "reconfigurable_pe",
        ),
        ProofMutant(
            "each_row_drains",
            "a row passes on one sum less",
            "|last_taps[ROWS+r:ROWS]",
            "|(last_taps[ROWS+r:ROWS] >> 1)",
        ),
        ProofMutant(
            "valid_is_late",
            "sums are valid a cycle late",
            "drains[ROWS-1]} << ROWS",
            "drains[ROWS-1]} << (ROWS - 1)",
        ),
        ProofMutant(
            "valid_is_late",
            "a reset lets valid through",
            "rst_i ? {LATENCY{1'b0}} : valid_taps[LATENCY-1:0]",
            "valid_taps[LATENCY-1:0]",
        ),
        ProofMutant(
            "valid_is_late",
            "weight-stationary tiles have last steps, too",
            "act_last_i && output_stationary_i",
            "act_last_i",
        ),
    ),
)
GATED_RECONFIGURABLE_PE = replace(
    RECONFIGURABLE_PE,
    variant="gated",
    mutants=(
        ProofMutant(
            "exact_sum", "a held lower half counts", "zero[0] ? {PRODUCT_WIDTH{1'b0}} :", ""
        ),
        ProofMutant(
            "exact_sum", "a held upper half counts", "zero[1] ? {PRODUCT_WIDTH{1'b0}} :", ""
        ),
        ProofMutant(
            "act_passes", "the next PE is not told", "act_zero_o <= zero;", "act_zero_o <= 2'b00;"
        ),
    ),
)
GATED_RECONFIGURABLE_ARRAY = Proof(
    "reconfigurable_array",
    4,
    26,
    (
        ProofMutant(
            "same_psums",
            "the halves are told of each other's zeros",
            "zeros[2*r +: 2], acts",
            "zeros[2*r], zeros[2*r+1], acts",
        ),
        ProofMutant(
            "same_psums",
            "a held half counts",
            "zero[1] ? {PRODUCT_WIDTH{1'b0}} :",
            "",
            "reconfigurable_pe",
        ),
        ProofMutant(
            "same_valid",
            "zeros are not valid",
            "act_valid_i && !output_stationary_i} |",
            "act_valid_i && !output_stationary_i && (ZERO_GATING == 0 || act_i != 0)} |",
        ),
    ),
    see=_same(
        shadow="weight_east",
        active="pe.active",
        psum="psum_south",
        result="result_south",
        act="act_west",
        zero="zero_west",
    ),
    of="reconfigurable_array_gated",
    variant="gated",
)
LOAD_FIRST_PE = Proof(
    "load_first_pe",
    2,
    6,
    (
        ProofMutant(
            "weight_stays", "every weight is taken", "if (load_i) begin", "if (1'b1) begin"
        ),
        ProofMutant(
            "exact_sum",
            "weights lose their sign",
            "{{(PSUM_WIDTH - WEIGHT_WIDTH){weight_o[WEIGHT_WIDTH-1]}}, weight_o}",
            "{{(PSUM_WIDTH - WEIGHT_WIDTH){1'b0}}, weight_o}",
        ),
        ProofMutant(
            "no_overflow", "the product is subtracted", "psum_i + product", "psum_i - product"
        ),
        ProofMutant(
            "act_passes", "the activation loses a bit", "act_o <= act_i", "act_o <= act_i & ~1"
        ),
    ),
)

# What is inside the modules on the way from the address generator to the output
INSIDE = {
    "output_fifo": ("unreserved", "write_pointer", "read_pointer"),
    "accumulator": ("valid_1", "final_1", "valid_2", "final_2"),
    "output_stage": ("valid",),
    "control": ("settling", "settled", "state"),
}
SEE_INSIDE = {f"seen_{n}": f"{module}.{n}" for module, names in INSIDE.items() for n in names}
CORE = Proof(
    "core",
    2,
    40,
    (
        ProofMutant(
            "quiet_after_reset",
            "the answer to a write survives a reset",
            "if (rst_i) s_axil_bvalid <= 1'b0; else if (write)",
            "if (write)",
            "registers",
        ),
        ProofMutant(
            "write_answer_stays",
            "the answer to a write does not wait",
            "else if (s_axil_bready) s_axil_bvalid <= 1'b0",
            "else s_axil_bvalid <= 1'b0",
            "registers",
        ),
        ProofMutant(
            "read_answer_stays",
            "the data of a read follow the next address",
            "if (read) begin read_refused",
            "if (s_axil_arvalid) begin read_refused",
            "registers",
        ),
        ProofMutant(
            "one_answer_a_write",
            "an address is taken without its word",
            ".s_axil_wvalid (s_axil_wvalid)",
            ".s_axil_wvalid (s_axil_awvalid)",
        ),
        ProofMutant(
            "one_answer_a_read",
            "the other answer's ready is connected",
            ".s_axil_rready (s_axil_rready)",
            ".s_axil_rready (s_axil_bready)",
        ),
        ProofMutant(
            "write_is_taken",
            "a start waits for ever for the sizes",
            "settling <= settling_next",
            "settling <= restart_o ? 4'd0 : settling_next",
            "control",
        ),
        ProofMutant(
            "read_is_taken",
            "a read waits for a write's answer",
            "s_axil_arvalid && !s_axil_arready",
            "s_axil_arvalid && !s_axil_bvalid && !s_axil_arready",
            "registers",
        ),
        ProofMutant(
            "beat_stays",
            "a beat goes when the next one comes",
            ".ready_i (m_axis_tready)",
            ".ready_i (m_axis_tready || result_valid)",
        ),
        ProofMutant(
            "keep_stays", "the next layer's mode counts at once", ".load_i (load)", ".load_i (1'b1)"
        ),
        ProofMutant(
            "place_for_every_beat",
            "the pixel after a reserved one needs no place",
            ".reserve_i (reserve)",
            ".reserve_i (reserve && !due[1])",
        ),
    ),
    see=SEE_INSIDE | {"seen_pixels": "pixel_delay.taps"},
    # Neither what a layer computes nor which pixels it has matters to the handshakes.
    free=(
        "result",
        "layer_error",
        "acts_full",
        "acts_length",
        "weights_full",
        "weights_length",
        "thresholds_full",
        "accumulator_ready",
        "tile_valid",
        "tile_final",
        "loader_ready",
        "address_generator.last_col",
    ),
)
POOLED_CORE = replace(
    CORE,
    variant="pooled",
    free=(*CORE.free, "beat"),
    mutants=(
        ProofMutant(
            "place_for_every_beat",
            "a pixel that leaves gives its place back",
            ".drop_i (result_dropped)",
            ".drop_i (result_valid)",
        ),
    ),
)

PROOFS = (
    PE,
    SIGNED_PE,
    GATED_PE,
    ZERO_HOLD,
    *SKEWS,
    *DELAYS,
    OUTPUT_FIFO,
    OUTPUT_POOL,
    *SEQUENCERS,
    *ADDRESS_GENERATORS,
    TAP_RANGE,
    ACCUMULATOR,
    OUTPUT_STAGE,
    OUTPUT_STAGE_SCALED,
    BANK_CONTROL,
    replace(BANK_CONTROL, steps=28, mutants=(), variant="10"),
    STREAM_BANK,
    REGISTERS,
    CONTROL,
    SHORT_CONTROL,
    *LOADERS,
    RAM,
    BANKED_RAM,
    SYSTOLIC_ARRAY,
    GATED_ARRAY,
    RECONFIGURABLE_PE,
    GATED_RECONFIGURABLE_PE,
    RECONFIGURABLE_ARRAY,
    GATED_RECONFIGURABLE_ARRAY,
    LOAD_FIRST_PE,
    GEOMETRY,
    *GEOMETRIES,
    CORE,
    POOLED_CORE,
)
