`resetall
`timescale 1ns / 1ps
`default_nettype none

// Systolic array of two precisions and two dataflows.
//
// An activation lane holds one activation, or with halves_i two of half the bits, and a PE has a
// pair of weights. Weight stationary: a lane's row is an input channel, or two. Output stationary:
// a row is an output pixel, and each PE keeps the sum of its pixel and output channel. The
// cycle-exact contract is in rtl/README.md.
module reconfigurable_array #(
  // Weight stationary: input channels of a tile, or half of them. Output stationary: pixels of a
  // block, and the fewest steps of a block that leave no bubble
  parameter ROWS = 8,
  // Output channels of a tile or block, and the fewest activations of a tile that leave no bubble
  parameter COLS = 8,
  // Bits of an activation, unsigned; even
  parameter ACT_WIDTH = 4,
  // Bits of a weight, two's complement
  parameter WEIGHT_WIDTH = 4,
  // Bits of a psum or sum, two's complement; must hold ROWS · (2^ACT_WIDTH − 1) · −2^(WEIGHT_WIDTH − 1)
  parameter PSUM_WIDTH = 16,
  // 1: weight stationary, multipliers rest while their activation, or half of one, is 0; psums and
  // cycles are the same. Output stationary, weights pass them anyway
  parameter ZERO_GATING = 0
) (
  input  wire                                     clk_i,
  input  wire                                     rst_i,

  // The mode. It stays from the first activation of a tile or block until ROWS + COLS − 2 cycles
  // after the last one
  input  wire                                     halves_i,
  input  wire                                     output_stationary_i,

  // Weight stationary: pairs of weights of one column (output channel) per cycle, last column
  // first; row 0 in the lowest bits. Without halves_i both weights of a pair are the same
  input  wire                                     weight_valid_i,
  input  wire [(COLS > 1 ? $clog2(COLS) : 1)-1:0] weight_col_i,
  input  wire [          ROWS*2*WEIGHT_WIDTH-1:0] weight_i,

  // Activations, row 0 in the lowest bits, of one pixel, or of one step of all pixels. start: with
  // the first of a tile or block. Output stationary: last, with the last step of a block; and this
  // step's pairs of weights, column 0 in the lowest bits
  input  wire                                     act_valid_i,
  input  wire                                     act_start_i,
  input  wire                                     act_last_i,
  input  wire [               ROWS*ACT_WIDTH-1:0] act_i,
  input  wire [          COLS*2*WEIGHT_WIDTH-1:0] weight_north_i,

  // Psums of one pixel per cycle, or a block's sums, last row first; column 0 in the lowest bits
  output wire                                     psum_valid_o,
  output wire [              COLS*PSUM_WIDTH-1:0] psum_o
);

  localparam HOPS_WIDTH = $clog2(COLS + 1);
  localparam LATENCY = ROWS + COLS - 1;
  localparam PAIR_WIDTH = 2 * WEIGHT_WIDTH;
  // Σ act ≤ ROWS · (2^A − 1), times a weight of at least −2^(W−1); and the product of one PE
  localparam SUM_WIDTH = WEIGHT_WIDTH + $clog2(ROWS * ((1 << ACT_WIDTH) - 1));
  localparam PRODUCT_WIDTH = ACT_WIDTH + WEIGHT_WIDTH;
  localparam MIN_PSUM_WIDTH = SUM_WIDTH > PRODUCT_WIDTH ? SUM_WIDTH : PRODUCT_WIDTH;

  // A module that does not exist stops every tool at elaboration, and its name says why.
  generate
    if (ROWS < 1 || COLS < 1 || WEIGHT_WIDTH < 2) begin : g_check_size
      ERROR_ROWS_and_COLS_must_be_at_least_1_and_WEIGHT_WIDTH_2 error ();
    end
    if (ACT_WIDTH < 2 || ACT_WIDTH % 2 != 0) begin : g_check_halves
      ERROR_ACT_WIDTH_must_be_even error ();
    end
    if (PSUM_WIDTH < MIN_PSUM_WIDTH) begin : g_check_psum
      ERROR_PSUM_WIDTH_cannot_hold_the_largest_psum_of_ROWS_products error ();
    end
  endgenerate

  // A weight for column c has c + 1 PEs to reach.
  wire [HOPS_WIDTH-1:0] hops =
    weight_valid_i ? {{(HOPS_WIDTH - (COLS > 1 ? $clog2(COLS) : 1)){1'b0}}, weight_col_i} + 1'b1
                   : {HOPS_WIDTH{1'b0}};
  wire start = act_valid_i && act_start_i;
  wire last  = act_valid_i && act_last_i && output_stationary_i;

  // A block's sums are complete in row ROWS − 1 a cycle after its last step got there. From then
  // on, row r passes on r + 1 sums: its own, and those of the rows above.
  reg  [2*ROWS-2:0] last_stages;
  wire [2*ROWS-1:0] last_taps = {last_stages, last};
  wire [  ROWS-1:0] drains;

  always @(posedge clk_i) begin
    last_stages <= rst_i ? {2 * ROWS - 1{1'b0}} : last_taps[2*ROWS-2:0];
  end

  // Row r starts r cycles late, so that its product meets the psum that comes down to it; and
  // column c starts c cycles late, so that its weights meet the activations.
  localparam WEIGHT_LANE = HOPS_WIDTH + PAIR_WIDTH;
  localparam ACT_LANE = 4 + ACT_WIDTH;
  wire [ROWS*WEIGHT_LANE-1:0] weight_lanes;
  wire [ROWS*WEIGHT_LANE-1:0] weight_skewed;
  wire [   ROWS*ACT_LANE-1:0] act_lanes;
  wire [   ROWS*ACT_LANE-1:0] act_skewed;
  wire [ COLS*PAIR_WIDTH-1:0] north_skewed;

  // An idle cycle adds nothing to a sum.
  wire [   ROWS*ACT_WIDTH-1:0] acts_valid = act_valid_i ? act_i : {ROWS * ACT_WIDTH{1'b0}};
  wire [   ROWS*ACT_WIDTH-1:0] acts;
  wire [           2*ROWS-1:0] zeros;
  generate
    if (ZERO_GATING != 0) begin : g_zero_gating
      zero_hold #(.LANES(2 * ROWS), .WIDTH(ACT_WIDTH / 2)) hold (
        .clk_i (clk_i),
        .rst_i (rst_i),
        .hold_i(!output_stationary_i),
        .data_i(acts_valid),
        .zero_o(zeros),
        .data_o(acts)
      );
    end else begin : g_no_gating
      assign {zeros, acts} = {{2 * ROWS{1'b0}}, acts_valid};
    end
  endgenerate

  skew #(.LANES(ROWS), .WIDTH(WEIGHT_LANE)) weight_skew (
    .clk_i (clk_i),
    .rst_i (rst_i),
    .data_i(weight_lanes),
    .data_o(weight_skewed)
  );

  skew #(.LANES(ROWS), .WIDTH(ACT_LANE)) act_skew (
    .clk_i (clk_i),
    .rst_i (rst_i),
    .data_i(act_lanes),
    .data_o(act_skewed)
  );

  skew #(.LANES(COLS), .WIDTH(PAIR_WIDTH)) north_skew (
    .clk_i (clk_i),
    .rst_i (rst_i),
    .data_i(weight_north_i),
    .data_o(north_skewed)
  );

  genvar r;
  genvar c;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : g_row
      assign weight_lanes[r*WEIGHT_LANE +: WEIGHT_LANE] =
        {hops, weight_i[r*PAIR_WIDTH +: PAIR_WIDTH]};
      assign act_lanes[r*ACT_LANE +: ACT_LANE] =
        {start, last, zeros[2*r +: 2], acts[r*ACT_WIDTH +: ACT_WIDTH]};
      assign drains[r] = |last_taps[ROWS+r:ROWS];

      for (c = 0; c < COLS; c = c + 1) begin : g_col
        wire [HOPS_WIDTH-1:0] hops_west;
        wire [PAIR_WIDTH-1:0] weight_west;
        wire [PAIR_WIDTH-1:0] weight_north;
        wire                  start_west;
        wire                  last_west;
        wire [           1:0] zero_west;
        wire [ ACT_WIDTH-1:0] act_west;
        wire                  drain_west;
        wire [PSUM_WIDTH-1:0] psum_north;
        wire [PSUM_WIDTH-1:0] result_north;
        wire [HOPS_WIDTH-1:0] hops_east;
        wire [PAIR_WIDTH-1:0] weight_east;
        wire [PAIR_WIDTH-1:0] weight_south;
        wire                  start_east;
        wire                  last_east;
        wire [           1:0] zero_east;
        wire [ ACT_WIDTH-1:0] act_east;
        wire                  drain_east;
        wire [PSUM_WIDTH-1:0] psum_south;
        wire [PSUM_WIDTH-1:0] result_south;

        if (c == 0) begin : g_west_edge
          assign {hops_west, weight_west} = weight_skewed[r*WEIGHT_LANE +: WEIGHT_LANE];
          assign {start_west, last_west, zero_west, act_west} =
            act_skewed[r*ACT_LANE +: ACT_LANE];
          assign drain_west = drains[r];
        end else begin : g_inner_column
          assign hops_west   = g_row[r].g_col[c-1].hops_east;
          assign weight_west = g_row[r].g_col[c-1].weight_east;
          assign start_west  = g_row[r].g_col[c-1].start_east;
          assign last_west   = g_row[r].g_col[c-1].last_east;
          assign zero_west   = g_row[r].g_col[c-1].zero_east;
          assign act_west    = g_row[r].g_col[c-1].act_east;
          assign drain_west  = g_row[r].g_col[c-1].drain_east;
        end

        if (r == 0) begin : g_north_edge
          assign weight_north = north_skewed[c*PAIR_WIDTH +: PAIR_WIDTH];
          assign psum_north   = {PSUM_WIDTH{1'b0}};
          assign result_north = {PSUM_WIDTH{1'b0}};
        end else begin : g_inner_row
          assign weight_north = g_row[r-1].g_col[c].weight_south;
          assign psum_north   = g_row[r-1].g_col[c].psum_south;
          assign result_north = g_row[r-1].g_col[c].result_south;
        end

        reconfigurable_pe #(
          .ACT_WIDTH   (ACT_WIDTH),
          .WEIGHT_WIDTH(WEIGHT_WIDTH),
          .PSUM_WIDTH  (PSUM_WIDTH),
          .HOPS_WIDTH  (HOPS_WIDTH),
          .ZERO_GATING (ZERO_GATING)
        ) pe (
          .clk_i              (clk_i),
          .rst_i              (rst_i),
          .halves_i           (halves_i),
          .output_stationary_i(output_stationary_i),
          .weight_hops_i      (hops_west),
          .weight_i           (weight_west),
          .weight_hops_o      (hops_east),
          .weight_o           (weight_east),
          .weight_north_i     (weight_north),
          .weight_south_o     (weight_south),
          .start_i            (start_west),
          .last_i             (last_west),
          .act_zero_i         (zero_west),
          .act_i              (act_west),
          .start_o            (start_east),
          .last_o             (last_east),
          .act_zero_o         (zero_east),
          .act_o              (act_east),
          .psum_i             (psum_north),
          .psum_o             (psum_south),
          .drain_i            (drain_west),
          .result_i           (result_north),
          .drain_o            (drain_east),
          .result_o           (result_south)
        );
      end

      // Nothing lies east of the last column.
      wire unused = &{1'b0, g_col[COLS-1].hops_east, g_col[COLS-1].weight_east,
                      g_col[COLS-1].start_east, g_col[COLS-1].last_east,
                      g_col[COLS-1].zero_east, g_col[COLS-1].act_east, g_col[COLS-1].drain_east};
    end
  endgenerate

  // Column c leaves the south edge c cycles after column 0: wait for the last one.
  wire [COLS*PSUM_WIDTH-1:0] psum_skewed;
  generate
    for (c = 0; c < COLS; c = c + 1) begin : g_south_edge
      assign psum_skewed[c*PSUM_WIDTH +: PSUM_WIDTH] = g_row[ROWS-1].g_col[c].drain_west
        ? g_row[ROWS-1].g_col[c].result_south : g_row[ROWS-1].g_col[c].psum_south;
      // Nothing lies south of the last row.
      wire unused = &{1'b0, g_row[ROWS-1].g_col[c].weight_south};
    end
  endgenerate

  skew #(.LANES(COLS), .WIDTH(PSUM_WIDTH), .REVERSE(1)) psum_deskew (
    .clk_i (clk_i),
    .rst_i (rst_i),
    .data_i(psum_skewed),
    .data_o(psum_o)
  );

  // The first sums reach the south edge as late as psums do, ROWS cycles after the last step.
  reg  [LATENCY-1:0] valid_stages;
  wire [  LATENCY:0] valid_taps = {valid_stages, act_valid_i && !output_stationary_i} |
                                  {{LATENCY{1'b0}}, drains[ROWS-1]} << ROWS;

  always @(posedge clk_i) begin
    valid_stages <= rst_i ? {LATENCY{1'b0}} : valid_taps[LATENCY-1:0];
  end

  assign psum_valid_o = valid_taps[LATENCY];

endmodule

`resetall
