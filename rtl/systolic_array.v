`resetall
`timescale 1ns / 1ps
`default_nettype none

// Weight-stationary systolic array: psum[c] = Σ over rows r of act[r] × weight[r][c].
//
// One vector of ROWS activations enters per cycle, one vector of COLS psums leaves per cycle,
// ROWS + COLS − 1 cycles later. The next tile's weights travel in while the present tile computes.
// The cycle-exact contract is in rtl/README.md.
module systolic_array #(
  // Input channels of a tile
  parameter ROWS = 8,
  // Output channels of a tile, and the fewest activations of a tile that leave no bubble
  parameter COLS = 8,
  // Bits of an activation
  parameter ACT_WIDTH = 4,
  // 0: activations are unsigned; 1: they are two's complement
  parameter ACT_SIGNED = 0,
  // Bits of a weight, two's complement
  parameter WEIGHT_WIDTH = 4,
  // Bits of a psum, two's complement; must hold ROWS · (2^ACT_WIDTH − 1) · −2^(WEIGHT_WIDTH − 1), or
  // ROWS · 2^(ACT_WIDTH − 1) · 2^(WEIGHT_WIDTH − 1) where activations are signed
  parameter PSUM_WIDTH = 16,
  // 1: multipliers rest while their activation is 0; psums and cycles are the same
  parameter ZERO_GATING = 0
) (
  input  wire                                     clk_i,
  input  wire                                     rst_i,

  // Weights of one column (output channel) per cycle, last column first; row 0 in the lowest bits
  input  wire                                     weight_valid_i,
  input  wire [(COLS > 1 ? $clog2(COLS) : 1)-1:0] weight_col_i,
  input  wire [            ROWS*WEIGHT_WIDTH-1:0] weight_i,

  // Activations of one pixel per cycle, row 0 in the lowest bits; swap with the first of a tile
  input  wire                                     act_valid_i,
  input  wire                                     act_swap_i,
  input  wire [               ROWS*ACT_WIDTH-1:0] act_i,

  // Psums of one pixel per cycle, column 0 in the lowest bits
  output wire                                     psum_valid_o,
  output wire [              COLS*PSUM_WIDTH-1:0] psum_o
);

  localparam HOPS_WIDTH = $clog2(COLS + 1);
  localparam LATENCY = ROWS + COLS - 1;
  // Unsigned: Σ act ≤ ROWS · (2^A − 1), times a weight of at least −2^(W−1). Signed: Σ act is at
  // least −ROWS · 2^(A−1), and times that weight it is positive. And the product of one PE.
  localparam SUM_WIDTH = WEIGHT_WIDTH + (ACT_SIGNED != 0
    ? $clog2(ROWS * (1 << (ACT_WIDTH - 1)) + 1) : $clog2(ROWS * ((1 << ACT_WIDTH) - 1)));
  localparam PRODUCT_WIDTH = ACT_WIDTH + WEIGHT_WIDTH;
  localparam MIN_PSUM_WIDTH = SUM_WIDTH > PRODUCT_WIDTH ? SUM_WIDTH : PRODUCT_WIDTH;

  // A module that does not exist stops every tool at elaboration, and its name says why.
  generate
    if (ROWS < 1 || COLS < 1 || ACT_WIDTH < 1 || WEIGHT_WIDTH < 2) begin : g_check_size
      ERROR_ROWS_COLS_and_ACT_WIDTH_must_be_at_least_1_and_WEIGHT_WIDTH_2 error ();
    end
    if (PSUM_WIDTH < MIN_PSUM_WIDTH) begin : g_check_psum
      ERROR_PSUM_WIDTH_cannot_hold_the_largest_psum_of_ROWS_products error ();
    end
  endgenerate

  // A weight for column c has c + 1 PEs to reach.
  wire [HOPS_WIDTH-1:0] hops =
    weight_valid_i ? {{(HOPS_WIDTH - (COLS > 1 ? $clog2(COLS) : 1)){1'b0}}, weight_col_i} + 1'b1
                   : {HOPS_WIDTH{1'b0}};
  wire swap = act_valid_i && act_swap_i;

  // Row r starts r cycles late, so that its product meets the psum that comes down to it.
  localparam WEIGHT_LANE = HOPS_WIDTH + WEIGHT_WIDTH;
  localparam ACT_LANE = 2 + ACT_WIDTH;
  wire [ROWS*WEIGHT_LANE-1:0] weight_lanes;
  wire [ROWS*WEIGHT_LANE-1:0] weight_skewed;
  wire [   ROWS*ACT_LANE-1:0] act_lanes;
  wire [   ROWS*ACT_LANE-1:0] act_skewed;

  wire [   ROWS*ACT_WIDTH-1:0] acts;
  wire [             ROWS-1:0] zeros;
  generate
    if (ZERO_GATING != 0) begin : g_zero_gating
      zero_hold #(.LANES(ROWS), .WIDTH(ACT_WIDTH)) hold (
        .clk_i (clk_i),
        .rst_i (rst_i),
        .hold_i(1'b1),
        .data_i(act_i),
        .zero_o(zeros),
        .data_o(acts)
      );
    end else begin : g_no_gating
      assign {zeros, acts} = {{ROWS{1'b0}}, act_i};
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

  genvar r;
  genvar c;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : g_row
      assign weight_lanes[r*WEIGHT_LANE +: WEIGHT_LANE] =
        {hops, weight_i[r*WEIGHT_WIDTH +: WEIGHT_WIDTH]};
      assign act_lanes[r*ACT_LANE +: ACT_LANE] = {swap, zeros[r], acts[r*ACT_WIDTH +: ACT_WIDTH]};

      for (c = 0; c < COLS; c = c + 1) begin : g_col
        wire [  HOPS_WIDTH-1:0] hops_west;
        wire [WEIGHT_WIDTH-1:0] weight_west;
        wire                    swap_west;
        wire                    zero_west;
        wire [   ACT_WIDTH-1:0] act_west;
        wire [  PSUM_WIDTH-1:0] psum_north;
        wire [  HOPS_WIDTH-1:0] hops_east;
        wire [WEIGHT_WIDTH-1:0] weight_east;
        wire                    swap_east;
        wire                    zero_east;
        wire [   ACT_WIDTH-1:0] act_east;
        wire [  PSUM_WIDTH-1:0] psum_south;

        if (c == 0) begin : g_west_edge
          assign {hops_west, weight_west} = weight_skewed[r*WEIGHT_LANE +: WEIGHT_LANE];
          assign {swap_west, zero_west, act_west} = act_skewed[r*ACT_LANE +: ACT_LANE];
        end else begin : g_inner_column
          assign hops_west   = g_row[r].g_col[c-1].hops_east;
          assign weight_west = g_row[r].g_col[c-1].weight_east;
          assign swap_west   = g_row[r].g_col[c-1].swap_east;
          assign zero_west   = g_row[r].g_col[c-1].zero_east;
          assign act_west    = g_row[r].g_col[c-1].act_east;
        end

        if (r == 0) begin : g_north_edge
          assign psum_north = {PSUM_WIDTH{1'b0}};
        end else begin : g_inner_row
          assign psum_north = g_row[r-1].g_col[c].psum_south;
        end

        pe #(
          .ACT_WIDTH   (ACT_WIDTH),
          .ACT_SIGNED  (ACT_SIGNED),
          .WEIGHT_WIDTH(WEIGHT_WIDTH),
          .PSUM_WIDTH  (PSUM_WIDTH),
          .HOPS_WIDTH  (HOPS_WIDTH),
          .ZERO_GATING (ZERO_GATING)
        ) pe (
          .clk_i        (clk_i),
          .rst_i        (rst_i),
          .weight_hops_i(hops_west),
          .weight_i     (weight_west),
          .weight_hops_o(hops_east),
          .weight_o     (weight_east),
          .swap_i       (swap_west),
          .act_zero_i   (zero_west),
          .act_i        (act_west),
          .swap_o       (swap_east),
          .act_zero_o   (zero_east),
          .act_o        (act_east),
          .psum_i       (psum_north),
          .psum_o       (psum_south)
        );
      end

      // Nothing lies east of the last column.
      wire unused = &{1'b0, g_col[COLS-1].hops_east, g_col[COLS-1].weight_east,
                      g_col[COLS-1].swap_east, g_col[COLS-1].zero_east,
                      g_col[COLS-1].act_east};
    end
  endgenerate

  // Column c leaves the south edge c cycles after column 0: wait for the last one.
  wire [COLS*PSUM_WIDTH-1:0] psum_skewed;
  generate
    for (c = 0; c < COLS; c = c + 1) begin : g_south_edge
      assign psum_skewed[c*PSUM_WIDTH +: PSUM_WIDTH] = g_row[ROWS-1].g_col[c].psum_south;
    end
  endgenerate

  skew #(.LANES(COLS), .WIDTH(PSUM_WIDTH), .REVERSE(1)) psum_deskew (
    .clk_i (clk_i),
    .rst_i (rst_i),
    .data_i(psum_skewed),
    .data_o(psum_o)
  );

  reg  [LATENCY-1:0] valid_stages;
  wire [  LATENCY:0] valid_taps = {valid_stages, act_valid_i};

  always @(posedge clk_i) begin
    valid_stages <= rst_i ? {LATENCY{1'b0}} : valid_taps[LATENCY-1:0];
  end

  assign psum_valid_o = valid_taps[LATENCY];

endmodule

`resetall
