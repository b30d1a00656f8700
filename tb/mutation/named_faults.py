"""Named faults: mistakes of the kinds that people make, each a change of the RTL's source."""

from typing import NamedTuple


class Fault(NamedTuple):
    """A change of rtl/<module>.v, which the module's own bench must find: `old` becomes `new`.

    `old` stands there once, however it is spaced (tb/sim/sources.py, `find_once`).
    """

    name: str
    module: str
    old: str
    new: str


_SKEW_RESET = "rst_i ? {DELAY * WIDTH{1'b0}} : taps[DELAY*WIDTH-1:0];"

FAULTS = (
    # The PE
    Fault(
        "the weight's sign dropped", "pe", "weight[WEIGHT_WIDTH-1]}}, weight}", "1'b0}}, weight}"
    ),
    Fault(
        "the activation taken for a signed number",
        "pe",
        "ACT_SIGNED != 0 && act_i[ACT_WIDTH-1];",
        "act_i[ACT_WIDTH-1];",
    ),
    Fault(
        "the sign of a signed activation dropped",
        "pe",
        "ACT_SIGNED != 0 && act_i[ACT_WIDTH-1];",
        "1'b0;",
    ),
    Fault(
        "the sign of a signed activation from the bit below",
        "pe",
        "ACT_SIGNED != 0 && act_i[ACT_WIDTH-1];",
        "ACT_SIGNED != 0 && act_i[ACT_WIDTH > 1 ? ACT_WIDTH-2 : 0];",
    ),
    Fault(
        "psum truncated: its highest bit is lost",
        "pe",
        "psum_o <= psum_i + product;",
        "psum_o <= {psum_i[PSUM_WIDTH-2], psum_i[PSUM_WIDTH-2:0]} + product;",
    ),
    Fault(
        "the product one bit too narrow",
        "pe",
        "psum_o <= psum_i + product;",
        "psum_o <= psum_i + $signed(product[ACT_WIDTH+WEIGHT_WIDTH-2:0]);",
    ),
    Fault(
        "the swap one cycle late",
        "pe",
        "weight = swap_i ? shadow : active;",
        "weight = swap_o ? shadow : active;",
    ),
    Fault(
        "the swap takes the weight that comes in, one cycle early",
        "pe",
        "weight = swap_i ? shadow : active;",
        "weight = swap_i ? (weight_hops_i != 0 ? weight_i : shadow) : active;",
    ),
    Fault(
        "a PE keeps the weights that only pass, not its own",
        "pe",
        "if (weight_hops_i != 0) begin",
        "if (weight_hops_i > 1) begin",
    ),
    Fault("a weight travels one PE too far", "pe", ": weight_hops_i - 1'b1;", ": weight_hops_i;"),
    Fault("the hops are not reset", "pe", "weight_hops_o <= 0;", ""),
    Fault("the swap is not reset", "pe", "swap_o <= 1'b0;", ""),
    Fault(
        "the active weight is lost after its swap", "pe", "active <= weight;", "active <= shadow;"
    ),
    Fault(
        "a zero is taken at its word although nothing is gated",
        "pe",
        "ZERO_GATING != 0 && act_zero_i;",
        "act_zero_i;",
    ),
    Fault("a zero is not told to the next PE", "pe", "act_zero_o <= zero;", "act_zero_o <= 0;"),
    Fault("an activation that is held counts", "pe", "if (zero) begin psum_o <= psum_i; end", ""),
    # The hold at zero
    Fault("a lane that is zero is not held", "zero_hold", "zero_o[lane] ? held", "0 ? held"),
    Fault("lanes are held although they are to pass", "zero_hold", "hold_i && data_i", "data_i"),
    Fault(
        "a lane whose lowest bit is zero is held",
        "zero_hold",
        "data_i[lane*WIDTH +: WIDTH] == 0;",
        "!data_i[lane*WIDTH];",
    ),
    Fault(
        "the held value is not reset",
        "zero_hold",
        "rst_i ? {LANES * WIDTH{1'b0}} : data_o;",
        "data_o;",
    ),
    # Delay, skew and array
    Fault(
        "the delay one cycle short",
        "delay",
        "taps[CYCLES*WIDTH +: WIDTH];",
        "taps[(CYCLES-1)*WIDTH +: WIDTH];",
    ),
    Fault(
        "row 3 one cycle early",
        "skew",
        "stages, data_i[lane*WIDTH +: WIDTH]};",
        "(lane == 3) ? {stages[0 +: (DELAY > 1 ? DELAY - 1 : 1)*WIDTH], "
        "data_i[lane*WIDTH +: WIDTH]} : stages, data_i[lane*WIDTH +: WIDTH]};",
    ),
    Fault(
        "skew and de-skew exchanged",
        "skew",
        "REVERSE ? LANES - 1 - lane : lane",
        "REVERSE ? lane : LANES - 1 - lane",
    ),
    Fault("the skew is not reset", "skew", _SKEW_RESET, "taps[DELAY*WIDTH-1:0];"),
    Fault(
        "weight columns in reverse order",
        "systolic_array",
        "weight_col_i} + 1'b1",
        "~weight_col_i} + 1'b1",
    ),
    Fault(
        "weights of the rows in reverse order",
        "systolic_array",
        "{hops, weight_i[r*WEIGHT_WIDTH +: WEIGHT_WIDTH]};",
        "{hops, weight_i[(ROWS-1-r)*WEIGHT_WIDTH +: WEIGHT_WIDTH]};",
    ),
    Fault(
        "the last column's shadow is not loaded",
        "systolic_array",
        ".weight_hops_i(hops_west),",
        ".weight_hops_i(c == COLS - 1 ? {HOPS_WIDTH{1'b0}} : hops_west),",
    ),
    Fault(
        "the PEs take signed activations for unsigned ones",
        "systolic_array",
        ".ACT_SIGNED (ACT_SIGNED),",
        "",
    ),
    Fault(
        "the first row takes signed activations for unsigned ones",
        "systolic_array",
        ".ACT_SIGNED (ACT_SIGNED),",
        ".ACT_SIGNED (r == 0 ? 0 : ACT_SIGNED),",
    ),
    Fault(
        "the swap one cycle early from each column to the next",
        "systolic_array",
        "swap_west = g_row[r].g_col[c-1].swap_east;",
        "swap_west = g_row[r].g_col[c-1].swap_west;",
    ),
    Fault(
        "the swap without a valid activation",
        "systolic_array",
        "act_valid_i && act_swap_i;",
        "act_swap_i;",
    ),
    Fault(
        "activations of row 1 a cycle late",
        "systolic_array",
        "assign {swap_west, zero_west, act_west} = act_skewed[r*ACT_LANE +: ACT_LANE];",
        "wire [ACT_LANE-1:0] now = act_skewed[r*ACT_LANE +: ACT_LANE]; "
        "reg [ACT_LANE-1:0] late; "
        "always @(posedge clk_i) late <= now; "
        "assign {swap_west, zero_west, act_west} = (r == 1) ? late : now;",
    ),
    Fault(
        "valid one cycle early",
        "systolic_array",
        "psum_valid_o = valid_taps[LATENCY];",
        "psum_valid_o = valid_taps[LATENCY-1];",
    ),
    Fault(
        "valid is not reset",
        "systolic_array",
        "rst_i ? {LATENCY{1'b0}} : valid_taps[LATENCY-1:0];",
        "valid_taps[LATENCY-1:0];",
    ),
    Fault(
        "columns 0 and 1 exchanged at the south edge",
        "systolic_array",
        "g_row[ROWS-1].g_col[c].psum_south;",
        "g_row[ROWS-1].g_col[c < 2 ? 1 - c : c].psum_south;",
    ),
    Fault(
        "the second row starts without the first one's psums",
        "systolic_array",
        "psum_north = g_row[r-1].g_col[c].psum_south;",
        "psum_north = (r == 1) ? 0 : g_row[r-1].g_col[c].psum_south;",
    ),
    Fault(
        "weights move on in the other array although none is loaded",
        "load_first_pe",
        "if (load_i) begin weight_o <= weight_i; end",
        "weight_o <= weight_i;",
    ),
    Fault(
        "idle one cycle early",
        "load_first_array",
        "idle_o = ~|valid_stages;",
        "idle_o = ~|valid_stages[LATENCY-2:0];",
    ),
    Fault(
        "activations of the other array cut to the width of weights",
        "load_first_array",
        "act_west = act_skewed[r*ACT_WIDTH +: ACT_WIDTH];",
        "act_west = act_skewed[r*ACT_WIDTH +: WEIGHT_WIDTH];",
    ),
    Fault(
        "activations of the array cut to the width of weights",
        "systolic_array",
        "ACT_LANE = 2 + ACT_WIDTH;",
        "ACT_LANE = 2 + WEIGHT_WIDTH;",
    ),
    Fault(
        "each row is told of the next one's zeros",
        "systolic_array",
        "zeros[r], acts[r*",
        "zeros[(r + 1) % ROWS], acts[r*",
    ),
    Fault(
        "each PE is told of a zero as it enters the one before",
        "systolic_array",
        "zero_west = g_row[r].g_col[c-1].zero_east;",
        "zero_west = g_row[r].g_col[c-1].zero_west;",
    ),
    # The reconfigurable array and its PE
    Fault(
        "the lower half counts although it is held",
        "reconfigurable_pe",
        "zero[0] ? {PRODUCT_WIDTH{1'b0}} : low;",
        "low;",
    ),
    Fault(
        "the upper half counts although it is held",
        "reconfigurable_pe",
        "zero[1] ? {PRODUCT_WIDTH{1'b0}} : high;",
        "high;",
    ),
    Fault(
        "a half is taken for zero although nothing is gated",
        "reconfigurable_pe",
        "ZERO_GATING != 0 ? act_zero_i : 2'b00;",
        "act_zero_i;",
    ),
    Fault(
        "lanes are held in the output-stationary mode, too",
        "reconfigurable_array",
        ".hold_i(!output_stationary_i),",
        ".hold_i(1'b1),",
    ),
    Fault(
        "the other half is told to be zero",
        "reconfigurable_array",
        "zeros[2*r +: 2], acts",
        "zeros[2*r], zeros[2*r + 1], acts",
    ),
    Fault(
        "the first weight's sign dropped",
        "reconfigurable_pe",
        "{{ACT_WIDTH{weight_low[WEIGHT_WIDTH-1]}}, weight_low}",
        "{{ACT_WIDTH{1'b0}}, weight_low}",
    ),
    Fault(
        "the second weight's sign dropped",
        "reconfigurable_pe",
        "{{ACT_WIDTH{weight_high[WEIGHT_WIDTH-1]}}, weight_high}",
        "{{ACT_WIDTH{1'b0}}, weight_high}",
    ),
    Fault(
        "both halves times the first weight",
        "reconfigurable_pe",
        "weight_high = weight[2*WEIGHT_WIDTH-1:WEIGHT_WIDTH];",
        "weight_high = weight[WEIGHT_WIDTH-1:0];",
    ),
    Fault(
        "the upper half of a pair counted as that of one activation",
        "reconfigurable_pe",
        "halves_i ? high_product : high_product <<< HALF",
        "high_product <<< HALF",
    ),
    Fault(
        "the upper half of one activation counted as a second one",
        "reconfigurable_pe",
        "halves_i ? high_product : high_product <<< HALF",
        "high_product",
    ),
    Fault(
        "a sum goes on where the next one starts",
        "reconfigurable_pe",
        "start_i ? {PSUM_WIDTH{1'b0}} : psum_o;",
        "psum_o;",
    ),
    Fault(
        "a sum starts with the psum from the north",
        "reconfigurable_pe",
        "start_i ? {PSUM_WIDTH{1'b0}} : psum_o;",
        "start_i ? psum_i : psum_o;",
    ),
    Fault(
        "a sum without its last product becomes the result",
        "reconfigurable_pe",
        "result_o <= sum;",
        "result_o <= psum_o;",
    ),
    Fault(
        "a complete sum is lost to one from the north",
        "reconfigurable_pe",
        "if (last_i) begin",
        "if (last_i && !drain_i) begin",
    ),
    Fault("results never stay", "reconfigurable_pe", "else if (drain_i) begin", "else begin"),
    Fault(
        "the start of a sum takes the shadow weights",
        "reconfigurable_pe",
        "output_stationary_i ? weight_north_i : start_i ? shadow : active;",
        "start_i ? shadow : output_stationary_i ? weight_north_i : active;",
    ),
    Fault(
        "the shadow goes south",
        "reconfigurable_pe",
        "weight_south_o = active;",
        "weight_south_o = shadow;",
    ),
    Fault(
        "the active weights are lost after their swap",
        "reconfigurable_pe",
        "active <= weight;",
        "active <= shadow;",
    ),
    Fault("the start is not reset", "reconfigurable_pe", "start_o <= 1'b0;", ""),
    Fault("the last step is not reset", "reconfigurable_pe", "last_o <= 1'b0;", ""),
    Fault("the drain is not reset", "reconfigurable_pe", "drain_o <= 1'b0;", ""),
    Fault(
        "the hops of a pair of weights are not reset",
        "reconfigurable_pe",
        "weight_hops_o <= 0;",
        "",
    ),
    Fault(
        "tiles end like blocks",
        "reconfigurable_array",
        "act_valid_i && act_last_i && output_stationary_i;",
        "act_valid_i && act_last_i;",
    ),
    Fault(
        "the last step without a valid activation",
        "reconfigurable_array",
        "act_valid_i && act_last_i && output_stationary_i;",
        "act_last_i && output_stationary_i;",
    ),
    Fault(
        "the start without a valid activation",
        "reconfigurable_array",
        "start = act_valid_i && act_start_i;",
        "start = act_start_i;",
    ),
    Fault(
        "an idle cycle adds to the sums",
        "reconfigurable_array",
        "acts_valid = act_valid_i ? act_i : {ROWS * ACT_WIDTH{1'b0}};",
        "acts_valid = act_i;",
    ),
    Fault(
        "the sums leave a cycle early",
        "reconfigurable_array",
        "|last_taps[ROWS+r:ROWS];",
        "|last_taps[ROWS+r-1:ROWS-1];",
    ),
    Fault(
        "a row passes on one sum less",
        "reconfigurable_array",
        "|last_taps[ROWS+r:ROWS];",
        "|(last_taps[ROWS+r:ROWS] & ~(1 << r));",
    ),
    Fault(
        "sums of all columns leave with those of the first",
        "reconfigurable_array",
        "g_row[ROWS-1].g_col[c].drain_west ?",
        "drains[ROWS-1] ?",
    ),
    Fault(
        "psums leave in place of sums",
        "reconfigurable_array",
        "? g_row[ROWS-1].g_col[c].result_south :",
        "? g_row[ROWS-1].g_col[c].psum_south :",
    ),
    Fault(
        "sums are valid a cycle early",
        "reconfigurable_array",
        "drains[ROWS-1]} << ROWS;",
        "drains[ROWS-1]} << (ROWS + 1);",
    ),
    Fault(
        "the weights of a step in one cycle for all columns",
        "reconfigurable_array",
        "weight_north = north_skewed[c*PAIR_WIDTH +: PAIR_WIDTH];",
        "weight_north = weight_north_i[c*PAIR_WIDTH +: PAIR_WIDTH];",
    ),
    Fault(
        "the weights of a step in reverse order",
        "reconfigurable_array",
        "weight_north = north_skewed[c*PAIR_WIDTH +: PAIR_WIDTH];",
        "weight_north = north_skewed[(COLS-1-c)*PAIR_WIDTH +: PAIR_WIDTH];",
    ),
    Fault(
        "the last row halves no activation",
        "reconfigurable_array",
        ".halves_i (halves_i),",
        ".halves_i (r == ROWS - 1 ? 1'b0 : halves_i),",
    ),
    Fault(
        "the last column is always weight stationary",
        "reconfigurable_array",
        ".output_stationary_i(output_stationary_i),",
        ".output_stationary_i(c == COLS - 1 ? 1'b0 : output_stationary_i),",
    ),
    Fault(
        "columns of pairs of weights in reverse order",
        "reconfigurable_array",
        "weight_col_i} + 1'b1",
        "~weight_col_i} + 1'b1",
    ),
    Fault(
        "the last steps under way are not reset",
        "reconfigurable_array",
        "rst_i ? {2 * ROWS - 1{1'b0}} : last_taps[2*ROWS-2:0];",
        "last_taps[2*ROWS-2:0];",
    ),
    # Accumulator
    Fault(
        "not cleared for the first tile",
        "accumulator",
        "zero_3 <= final_2 || clearing || rst_i;",
        "zero_3 <= clearing || rst_i;",
    ),
    Fault(
        "the last place is not cleared after reset",
        "accumulator",
        "next_cleared != LAST[PIXEL_WIDTH-1:0];",
        "next_cleared != LAST[PIXEL_WIDTH-1:0] - 1'b1;",
    ),
    Fault(
        "a pixel again, two cycles later, finds the old sum",
        "accumulator",
        "use_newer_2 <= (valid_3 && same_1_3) || (valid_4 && same_1_4);",
        "use_newer_2 <= (valid_4 && same_1_4);",
    ),
    Fault(
        "a psum is not sign-extended",
        "accumulator",
        "{{(SUM_WIDTH - PSUM_WIDTH){psum[PSUM_WIDTH-1]}}, psum};",
        "{{(SUM_WIDTH - PSUM_WIDTH){1'b0}}, psum};",
    ),
    Fault(
        "psums that are not valid are added",
        "accumulator",
        "psum_i[c*PSUM_WIDTH +: PSUM_WIDTH] & {PSUM_WIDTH{psum_valid_i}};",
        "psum_i[c*PSUM_WIDTH +: PSUM_WIDTH];",
    ),
    Fault(
        "unfinished sums leave",
        "accumulator",
        "sum_valid_o <= valid_2 && final_2 && !rst_i;",
        "sum_valid_o <= valid_2 && !rst_i;",
    ),
    # Output stage
    Fault(
        "ReLU on the wrong bit",
        "output_stage",
        "erase = relu && given_1[SUM_WIDTH-1];",
        "erase = relu && given_1[SUM_WIDTH-2];",
    ),
    Fault("no ReLU", "output_stage", "erase = relu && given_1[SUM_WIDTH-1];", "erase = 1'b0;"),
    Fault(
        "coarse threshold off by one: reached is more, not as much",
        "output_stage",
        "given_2 >= coarse_2;",
        "given_2 > coarse_2;",
    ),
    Fault(
        "fine threshold off by one: reached is more, not as much",
        "output_stage",
        "given_5 >= fine_5;",
        "given_5 > fine_5;",
    ),
    Fault(
        "falling thresholds taken for rising ones",
        "output_stage",
        "invert = codes && inverted[c];",
        "invert = 1'b0;",
    ),
    Fault(
        "counter off by one on a tile's last pixel",
        "output_stage",
        "last_later <= left == 16'd2;",
        "last_later <= left == 16'd3;",
    ),
    Fault("last with every tile", "output_stage", "last_pixel && last_tile};", "last_pixel};"),
    Fault(
        "thresholds of the next tile too early",
        "output_stage",
        "tile_3 <= tile_2;",
        "tile_3 <= tile[TILE_WIDTH-1:0];",
    ),
    # FIFO and handshakes
    Fault(
        "FIFO off by one at full",
        "output_fifo",
        "reservable_o <= unreserved_next != 0;",
        "reservable_o <= unreserved_next > 1;",
    ),
    Fault(
        "FIFO one entry too deep", "output_fifo", "unreserved <= ALL;", "unreserved <= ALL + 1'b1;"
    ),
    Fault(
        "FIFO never full",
        "output_fifo",
        "reservable_o <= unreserved_next != 0;",
        "reservable_o <= 1'b1;",
    ),
    Fault("FIFO ignores ready", "output_fifo", "pop = valid_o && ready_i;", "pop = valid_o;"),
    Fault(
        "FIFO empty when it is full: pointers without their highest bit",
        "output_fifo",
        "valid_o = write_pointer != read_pointer;",
        "valid_o = write_pointer[POINTER_WIDTH-1:0] != read_pointer[POINTER_WIDTH-1:0];",
    ),
    Fault("a reservation outlives the reset", "output_fifo", "unreserved <= ALL;", ""),
    Fault(
        "a stream is taken although both banks are full",
        "bank_control",
        "tready_o = !full[fill_bank];",
        "tready_o = 1'b1;",
    ),
    Fault(
        "a beat counts although it was not taken",
        "bank_control",
        "beat = tvalid_i && tready_o;",
        "beat = tvalid_i;",
    ),
    Fault(
        "a packet one beat too long overwrites the first word",
        "bank_control",
        "fits = beats < LIMIT;",
        "fits = beats <= LIMIT;",
    ),
    Fault(
        "beats that a bank has no place for are written",
        "stream_bank",
        "write_o <= write;",
        "write_o <= tvalid_i && tready_o;",
    ),
    Fault(
        "the second bank one word too early",
        "banked_ram",
        "write_bank_i ? write_address + SECOND",
        "write_bank_i ? write_address + SECOND - 1'b1",
    ),
    Fault(
        "memory written at the address that is read",
        "ram",
        "words[write_address_i]",
        "words[read_address_i]",
    ),
    Fault(
        "the write's answer is not held",
        "registers",
        "else if (s_axil_bready) s_axil_bvalid <= 1'b0;",
        "else s_axil_bvalid <= 1'b0;",
    ),
    Fault(
        "a second write loses the first one's answer",
        "registers",
        "(!s_axil_bvalid || s_axil_bready) &&",
        "",
    ),
    Fault(
        "byte strobes ignored",
        "registers",
        "{{8{s_axil_wstrb[3]}}, {8{s_axil_wstrb[2]}},",
        "{{8{1'b1}}, {8{s_axil_wstrb[2]}},",
    ),
    Fault(
        "rows and columns of the array exchanged",
        "registers",
        "ACT_WIDTH[7:0], COLS[7:0], ROWS[7:0]};",
        "ACT_WIDTH[7:0], ROWS[7:0], COLS[7:0]};",
    ),
    # Addresses, counters, control
    Fault(
        "padding read as the neighbour's pixel",
        "address_generator",
        "rows_left > {7'd0, rows_outside} && cols_left > {7'd0, cols_outside};",
        "rows_left > {7'd0, rows_outside};",
    ),
    Fault(
        "one column too few inside the map",
        "address_generator",
        "cols_left > {7'd0, cols_outside};",
        "cols_left > {7'd0, cols_outside} + 9'd1;",
    ),
    Fault(
        "counter off by one on the last image",
        "address_generator",
        "last_image <= images_left == 16'd2;",
        "last_image <= images_left == 16'd3;",
    ),
    Fault(
        "stride 2 in the columns alone",
        "address_generator",
        "act_row + (stride2_i ? {7'd0, width_i, 1'b0} : {8'd0, width_i});",
        "act_row + {8'd0, width_i};",
    ),
    Fault(
        "a finished pixel does not wait for its place",
        "address_generator",
        "waiting_o = active && final_tile && !reservable_i;",
        "waiting_o = 1'b0;",
    ),
    Fault(
        "a map's rows one too many",
        "tap_range",
        "(reach_q < out_side_i) ? reach_q : out_side_i - 9'd1;",
        "(reach_q < out_side_i) ? reach_q : out_side_i;",
    ),
    Fault(
        "kernel rows and columns exchanged",
        "sequencer",
        "tap_q <= ky * kernel_i + {3'd0, kx};",
        "tap_q <= kx * kernel_i + {3'd0, ky};",
    ),
    Fault(
        "one input tile too few",
        "sequencer",
        "last_input_tile <= input_tiles_left == 8'd1;",
        "last_input_tile <= input_tiles_left <= 8'd2;",
    ),
    Fault(
        "the weights of an output tile start over with each input tile",
        "sequencer",
        "weight_base <= next_weight_base;",
        "weight_base <= last_input_tile ? next_weight_base : weight_base;",
    ),
    Fault(
        "weights loaded first column first",
        "weight_loader",
        "if (load_i) col <= LAST[COL_WIDTH-1:0];",
        "if (load_i) col <= 0;",
    ),
    Fault(
        "weights do not wait while the array does",
        "weight_loader",
        "valid_o = active && !hold_i;",
        "valid_o = active;",
    ),
    Fault(
        "a limit off by one: the largest layer is refused",
        "geometry",
        "weight_words} > WEIGHT_LIMIT",
        "weight_words} >= WEIGHT_LIMIT",
    ),
    Fault(
        "output pixels counted with too few bits for a large memory",
        "geometry",
        "(ACT_WORDS > 8192) ? $clog2(ACT_WORDS) + 5 : 18;",
        "18;",
    ),
    Fault(
        "the limit of thresholds for ReLU too",
        "geometry",
        "mode_i[2:1] != 2'd0 && {24'd0, output_tiles_i[7:0]} > TILE_LIMIT",
        "mode_i[2:0] != 3'd0 && {24'd0, output_tiles_i[7:0]} > TILE_LIMIT",
    ),
    Fault(
        "stride 2 rounds up",
        "geometry",
        "stride2 ? {1'b0, room_height[8:1]} :",
        "stride2 ? {1'b0, room_height[8:1]} + {8'd0, room_height[0]} :",
    ),
    Fault(
        "done stays when a layer is started",
        "control",
        "done_o <= 1'b0; error_o <= `CORE_ERROR_NONE; end if (start_i &&",
        "error_o <= `CORE_ERROR_NONE; end if (start_i &&",
    ),
    Fault(
        "a start is taken while a layer runs",
        "control",
        "can_start = idle && settled;",
        "can_start = settled || !idle;",
    ),
    # Mode SCALED
    Fault(
        "no limit of tables for scaled codes",
        "geometry",
        "mode_i[2:1] != 2'd0 && {24'd0",
        "mode_i[1] && {24'd0",
    ),
    Fault(
        "the mode SCALED is taken by a core that has none",
        "geometry",
        "!(OUTPUT_SCALING != 0 && mode_i == `CORE_MODE_SCALED)",
        "mode_i != `CORE_MODE_SCALED",
    ),
    Fault(
        "a mode of 8 more is taken for one of three bits",
        "geometry",
        "mode_i == `CORE_MODE_SCALED)) begin",
        "mode_i[2:0] == 3'd4)) begin",
    ),
    Fault(
        "the mode's highest bit is not kept",
        "registers",
        "mode <= (mode & ~mask[3:0]) | set[3:0];",
        "mode <= (mode & ~mask[3:0]) | (set[3:0] & 4'd7);",
    ),
    Fault(
        "OPTIONS has its two bits exchanged",
        "registers",
        "6'd0, OUTPUT_SCALING != 0, ACT_SIGNED != 0}",
        "6'd0, ACT_SIGNED != 0, OUTPUT_SCALING != 0}",
    ),
    Fault(
        "a multiplier taken for an unsigned number",
        "output_stage",
        "product_3 <= summand_2 * multiplier_2;",
        "product_3 <= summand_2 * $signed({1'b0, multiplier_2});",
    ),
    Fault(
        "a multiplier as it is kept, with its sign bit inverted",
        "output_stage",
        "multiplier_2 = given_words_2[SUM_WIDTH-1:0];",
        "multiplier_2 = coarse_words_2[SUM_WIDTH-1:0];",
    ),
    Fault(
        "the halves of an offset exchanged",
        "output_stage",
        "offset_3 <= given_words_2[3*SUM_WIDTH-1:SUM_WIDTH];",
        "offset_3 <= {given_words_2[SUM_WIDTH +: SUM_WIDTH], "
        "given_words_2[2*SUM_WIDTH +: SUM_WIDTH]};",
    ),
    Fault(
        "an offset is one sum late",
        "output_stage",
        "total_4 <= product_3 + offset_3;",
        "total_4 <= product_3 + $signed(given_words_2[3*SUM_WIDTH-1:SUM_WIDTH]);",
    ),
    Fault("a shift without sign", "output_stage", "total_5 >>> shift_5", "total_5 >> shift_5"),
    Fault(
        "a shift of one bit fewer",
        "output_stage",
        "shift_5 = given_words_5[SHIFT_WIDTH-1:0];",
        "shift_5 = {1'b0, given_words_5[SHIFT_WIDTH-2:0]};",
    ),
    Fault(
        "a code is clamped at its lowest end alone",
        "output_stage",
        "(shifted_5 > highest_5) ? highest_5[7:0] : shifted_5[7:0]",
        "shifted_5[7:0]",
    ),
    Fault(
        "a code is clamped by its lowest bits",
        "output_stage",
        "(shifted_5 < lowest_5)",
        "($signed(shifted_5[SUM_WIDTH-1:0]) < lowest_5)",
    ),
    Fault(
        "the words of a shift and a clamp follow the sum",
        "output_stage",
        "scaled ? 2'd0 : high_2",
        "high_2",
    ),
    Fault(
        "scaled codes go through ReLU",
        "output_stage",
        "erase = relu && given_1[SUM_WIDTH-1];",
        "erase = (relu || scaled) && given_1[SUM_WIDTH-1];",
    ),
    Fault(
        "scaled codes need no tables",
        "core",
        "needs_thresholds = mode[1] || mode[2];",
        "needs_thresholds = mode[1];",
    ),
    Fault(
        "scaled codes fill the bytes of sums",
        "core",
        "mode[2] ? {{(BYTES - COLS){1'b0}}, {COLS{1'b1}}} : {BYTES{1'b1}}",
        "{BYTES{1'b1}}",
    ),
    # Pooling
    Fault(
        "the row above is not compared",
        "output_pool",
        "(larger > over) ? larger : over;",
        "larger;",
    ),
    Fault(
        "codes are compared as signed numbers",
        "output_pool",
        "(here > beside) ? here : beside;",
        "($signed(here) > $signed(beside)) ? here : beside;",
    ),
    Fault(
        "an odd row at the end of a layer stays", "output_pool", "if (last_i) odd_row <= 1'b0;", ""
    ),
    Fault(
        "the largest of a pair lies one place further",
        "output_pool",
        "pair = x[PAIR_WIDTH:1];",
        "pair = x[PAIR_WIDTH-1:0];",
    ),
    Fault(
        "a reset in an odd row leaves it so",
        "output_pool",
        "x <= 9'd0; odd_row <= 1'b0; end end",
        "x <= 9'd0; end end",
    ),
    Fault(
        "a place that is given back is lost", "output_fifo", "both = pop && drop_i;", "both = 1'b0;"
    ),
    Fault(
        "the widest output cannot be pooled",
        "geometry",
        "{23'd0, out_width_1} > POOL_LIMIT",
        "{23'd0, out_width_1} >= POOL_LIMIT",
    ),
    Fault(
        "an odd height is pooled",
        "geometry",
        "mode_i != `CORE_MODE_CODES || out_height_1[0] || out_width_1[0]",
        "mode_i != `CORE_MODE_CODES || out_width_1[0]",
    ),
    Fault(
        "sums are pooled", "geometry", "pool_i && (mode_i != `CORE_MODE_CODES || ", "pool_i && ("
    ),
    Fault(
        "what is pooled keeps its places in the FIFO",
        "core",
        ".drop_i      (result_dropped)",
        ".drop_i      (1'b0)",
    ),
    # The core
    Fault(
        "the array is fed activations of the cycle before",
        "core",
        "delay #(.WIDTH(ACT_WORD), .CYCLES(2)) act_delay",
        "delay #(.WIDTH(ACT_WORD), .CYCLES(1)) act_delay",
    ),
    Fault(
        "the accumulator takes a neighbouring pixel's psums",
        "core",
        "delay #(.WIDTH(PIXEL_AW + 1), .CYCLES(LATENCY - 2)) pixel_delay",
        "delay #(.WIDTH(PIXEL_AW + 1), .CYCLES(LATENCY - 1)) pixel_delay",
    ),
    Fault(
        "weights of the next layer are released with this one's",
        "core",
        ".release_i ((finish && !keep_weights) || (drop && weights_wrong))",
        ".release_i (finish || (drop && weights_wrong))",
    ),
    Fault(
        "a layer starts before the accumulator is clear",
        "core",
        "|| !needs_thresholds) && accumulator_ready;",
        "|| !needs_thresholds);",
    ),
    Fault(
        "the next tile starts before its weights are there",
        "core",
        "running && tile_valid && loader_ready && walker_ready;",
        "running && tile_valid && walker_ready;",
    ),
    Fault(
        "weights do not wait while the output does", "core", ".hold_i (waiting),", ".hold_i (1'b0),"
    ),
    Fault(
        "a layer that needs no thresholds refuses those that do not fit it",
        "core",
        "thresholds_wrong <= thresholds_full && !thresholds_right && needs_thresholds;",
        "thresholds_wrong <= thresholds_full && !thresholds_right;",
    ),
    Fault(
        "no interrupt if a layer is done and there is an error",
        "core",
        "interrupt_o = done || error != 0;",
        "interrupt_o = done != (error != 0);",
    ),
    Fault(
        "no interrupt for a start while busy",
        "core",
        "interrupt_o = done || error != 0;",
        "interrupt_o = done || (error != 0 && error != `CORE_ERROR_START_WHILE_BUSY);",
    ),
    Fault(
        "the packets that are kept are those of the register when the layer ends",
        "core",
        "if (load) begin {keep_acts, keep_weights, keep_thresholds} <=",
        "begin {keep_acts, keep_weights, keep_thresholds} <=",
    ),
    Fault(
        "the flags of packets that are kept are not taken while there is an error",
        "core",
        "if (load) begin {keep_acts, keep_weights, keep_thresholds} <=",
        "if (load && error == 0) begin {keep_acts, keep_weights, keep_thresholds} <=",
    ),
    Fault(
        "a wrong packet of activations stays if that of the weights is wrong too",
        "core",
        "(drop && acts_wrong))",
        "(drop && acts_wrong && !weights_wrong))",
    ),
    Fault(
        "thresholds that sums do not need are dropped with wrong weights",
        "core",
        "(drop && thresholds_wrong)",
        "(drop && thresholds_full && !thresholds_right)",
    ),
    Fault(
        "activations are kept in codes alone",
        "core",
        "finish && !keep_acts",
        "finish && !(keep_acts && needs_thresholds)",
    ),
    Fault(
        "a start that is refused and clears leaves done set",
        "core",
        ".clear_i (clear),",
        ".clear_i (clear && !start),",
    ),
    # Large builds
    Fault(
        "a product of at most ten bits",
        "pe",
        "wire signed [PSUM_WIDTH-1:0] product =",
        "wire signed [9:0] product =",
    ),
    Fault(
        "the delay at most 16 cycles",
        "delay",
        "taps[CYCLES*WIDTH +: WIDTH]",
        "taps[(CYCLES > 16 ? 16 : CYCLES)*WIDTH +: WIDTH]",
    ),
    Fault(
        "a row's delay at most 16 cycles",
        "skew",
        "REVERSE ? LANES - 1 - lane : lane;",
        "REVERSE ? LANES - 1 - lane : lane > 16 ? 16 : lane;",
    ),
    Fault(
        "the weights of column 32 are never loaded",
        "systolic_array",
        "localparam HOPS_WIDTH = $clog2(COLS + 1);",
        "localparam HOPS_WIDTH = COLS > 16 ? $clog2(COLS) : $clog2(COLS + 1);",
    ),
    Fault(
        "an array of one column loses a swap as weights come",
        "systolic_array",
        "wire swap = act_valid_i && act_swap_i;",
        "wire swap = act_valid_i && act_swap_i && !(COLS == 1 && weight_valid_i);",
    ),
    Fault(
        "more than eight columns taken for a power of two",
        "weight_loader",
        "if (COLS == 1 << COL_WIDTH)",
        "if (COLS > 8 || COLS == 1 << COL_WIDTH)",
    ),
    Fault(
        "thresholds of 128 tiles at most",
        "output_stage",
        "write_address_i[TILE_WIDTH+3:4]",
        "write_address_i[(TILE_WIDTH > 7 ? 7 : TILE_WIDTH)+3:4]",
    ),
    Fault(
        "the largest weight memory reads as 0",
        "registers",
        "s_axil_rdata <= WEIGHT_WORDS;",
        "s_axil_rdata <= {17'd0, WEIGHT_WORDS[14:0]};",
    ),
    Fault(
        "both of the largest banks in one place",
        "banked_ram",
        "SECOND = WORDS[ADDRESS_WIDTH-1:0];",
        "SECOND = WORDS[14:0];",
    ),
    Fault(
        "beats beyond 16,384 overwrite the first ones",
        "bank_control",
        "write_address_o = beats[$clog2(WORDS)-1:0];",
        "write_address_o = beats[$clog2(WORDS)-1:0] & 15'h3fff;",
    ),
    Fault(
        "a FIFO of 32 results for any array",
        "core",
        "localparam FIFO_DEPTH = 1 << $clog2(LATENCY + 10);",
        "localparam FIFO_DEPTH = 32;",
    ),
    Fault(
        "as many activations as weights",
        "core",
        "banked_ram #(.WIDTH(ACT_WORD), .WORDS(ACT_WORDS)) act_ram (",
        "banked_ram #(.WIDTH(ACT_WORD), .WORDS(WEIGHT_WORDS)) act_ram (",
    ),
    Fault(
        "the activations' words read as pixels",
        "core",
        "    .PIXELS         (PIXELS),\n    .OUTPUT_SCALING (OUTPUT_SCALING),\n"
        "    .POOL_WIDTH     (POOL_WIDTH)\n  ) registers (",
        "    .PIXELS         (ACT_WORDS),\n    .OUTPUT_SCALING (OUTPUT_SCALING),\n"
        "    .POOL_WIDTH     (POOL_WIDTH)\n  ) registers (",
    ),
    Fault(
        "a read answer lost when a write answer is taken",
        "core",
        ".s_axil_rready    (s_axil_rready),",
        ".s_axil_rready    (s_axil_rready || (s_axil_bvalid && s_axil_bready)),",
    ),
    Fault(
        "no interrupt for an error while the output is blocked",
        "core",
        "assign interrupt_o = done || error != 0;",
        "assign interrupt_o = done || (error != 0 && !waiting);",
    ),
    Fault(
        "a register written in the last cycle of a layer settles too early",
        "core",
        ".change_i      (change),",
        ".change_i      (change && !busy),",
    ),
    Fault(
        "no stall counted while the sink takes a beat",
        "core",
        ".waiting_i     (waiting),",
        ".waiting_i     (waiting && !m_axis_tready),",
    ),
    Fault(
        "rows further apart than 255 overlap",
        "address_generator",
        "pixel_row + {7'd0, out_width_i};",
        "pixel_row + {8'd0, out_width_i[7:0]};",
    ),
)
