`resetall
`timescale 1ns / 1ps
`default_nettype none

// Systolic array that loads first, then executes: psum[c] = Σ over rows r of act[r] × weight[r][c].
//
// A second array to try the benches on (docs/own-array.md); the core uses systolic_array. Weights
// enter at the north edge, a row per cycle, and stay where they are while activations pass. The
// cycle-exact contract is in rtl/README.md.
module load_first_array #(
  // Input channels of a tile, and the cycles that loading takes
  parameter ROWS = 8,
  // Output channels of a tile
  parameter COLS = 8,
  // Bits of an activation, unsigned
  parameter ACT_WIDTH = 4,
  // Bits of a weight, two's complement
  parameter WEIGHT_WIDTH = 4,
  // Bits of a psum, two's complement; must hold ROWS · (2^ACT_WIDTH − 1) · −2^(WEIGHT_WIDTH − 1)
  parameter PSUM_WIDTH = 16
) (
  input  wire                         clk_i,
  input  wire                         rst_i,

  // High when no activation is under way: weights may enter
  output wire                         idle_o,

  // Weights of one row (input channel) per cycle, last row first; column 0 in the lowest bits
  input  wire                         weight_valid_i,
  input  wire [COLS*WEIGHT_WIDTH-1:0] weight_i,

  // Activations of one pixel per cycle, row 0 in the lowest bits
  input  wire                         act_valid_i,
  input  wire [   ROWS*ACT_WIDTH-1:0] act_i,

  // Psums of one pixel per cycle, column 0 in the lowest bits
  output wire                         psum_valid_o,
  output wire [  COLS*PSUM_WIDTH-1:0] psum_o
);

  localparam LATENCY = ROWS + COLS - 1;
  // Σ act ≤ ROWS · (2^A − 1), times a weight of at least −2^(W−1); and the product of one PE.
  localparam SUM_WIDTH = $clog2(ROWS * ((1 << ACT_WIDTH) - 1)) + WEIGHT_WIDTH;
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

  // Row r starts r cycles late, so that its product meets the psum that comes down to it.
  wire [ROWS*ACT_WIDTH-1:0] act_skewed;

  skew #(.LANES(ROWS), .WIDTH(ACT_WIDTH)) act_skew (
    .clk_i (clk_i),
    .rst_i (rst_i),
    .data_i(act_i),
    .data_o(act_skewed)
  );

  genvar r;
  genvar c;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : g_row
      for (c = 0; c < COLS; c = c + 1) begin : g_col
        wire [WEIGHT_WIDTH-1:0] weight_north;
        wire [   ACT_WIDTH-1:0] act_west;
        wire [  PSUM_WIDTH-1:0] psum_north;
        wire [WEIGHT_WIDTH-1:0] weight_south;
        wire [   ACT_WIDTH-1:0] act_east;
        wire [  PSUM_WIDTH-1:0] psum_south;

        if (c == 0) begin : g_west_edge
          assign act_west = act_skewed[r*ACT_WIDTH +: ACT_WIDTH];
        end else begin : g_inner_column
          assign act_west = g_row[r].g_col[c-1].act_east;
        end

        if (r == 0) begin : g_north_edge
          assign weight_north = weight_i[c*WEIGHT_WIDTH +: WEIGHT_WIDTH];
          assign psum_north   = {PSUM_WIDTH{1'b0}};
        end else begin : g_inner_row
          assign weight_north = g_row[r-1].g_col[c].weight_south;
          assign psum_north   = g_row[r-1].g_col[c].psum_south;
        end

        load_first_pe #(
          .ACT_WIDTH   (ACT_WIDTH),
          .WEIGHT_WIDTH(WEIGHT_WIDTH),
          .PSUM_WIDTH  (PSUM_WIDTH)
        ) pe (
          .clk_i   (clk_i),
          .load_i  (weight_valid_i),
          .weight_i(weight_north),
          .weight_o(weight_south),
          .act_i   (act_west),
          .act_o   (act_east),
          .psum_i  (psum_north),
          .psum_o  (psum_south)
        );
      end

      // Nothing lies east of the last column.
      wire unused = &{1'b0, g_col[COLS-1].act_east};
    end
  endgenerate

  // Column c leaves the south edge c cycles after column 0: wait for the last one.
  wire [COLS*PSUM_WIDTH-1:0] psum_skewed;
  generate
    for (c = 0; c < COLS; c = c + 1) begin : g_south_edge
      assign psum_skewed[c*PSUM_WIDTH +: PSUM_WIDTH] = g_row[ROWS-1].g_col[c].psum_south;

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

  reg  [LATENCY-1:0] valid_stages;
  wire [  LATENCY:0] valid_taps = {valid_stages, act_valid_i};

  always @(posedge clk_i) begin
    valid_stages <= rst_i ? {LATENCY{1'b0}} : valid_taps[LATENCY-1:0];
  end

  assign psum_valid_o = valid_taps[LATENCY];
  assign idle_o = ~|valid_stages;

endmodule

`resetall
