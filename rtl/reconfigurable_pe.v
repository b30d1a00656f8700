`resetall
`timescale 1ns / 1ps
`default_nettype none

// Processing element of reconfigurable_array, weight stationary or output stationary.
//
// Two multipliers of half an activation each. Either both halves are one activation, and both
// weights are its weight, or each half is an activation with a weight of its own:
//   product = low × weight[0] + high × weight[1] · (halves_i ? 1 : 2^(ACT_WIDTH / 2)).
// Weight stationary: psum_o = psum_i + product, one cycle later. Output stationary: psum_o sums up
// the products from start_i to last_i, and the sum then goes south through result_o.
module reconfigurable_pe #(
  // Bits of an activation, unsigned; even
  parameter ACT_WIDTH = 4,
  // Bits of a weight, two's complement
  parameter WEIGHT_WIDTH = 4,
  // Bits of a psum, two's complement; at least ACT_WIDTH + WEIGHT_WIDTH
  parameter PSUM_WIDTH = 16,
  // Bits that count the PEs a weight has still to reach; enough for the array's columns
  parameter HOPS_WIDTH = 4,
  // 1: while act_zero_i[half] is high that half is 0, whatever act_i is
  parameter ZERO_GATING = 0
) (
  input  wire                           clk_i,
  input  wire                           rst_i,

  // 1: act_i holds two activations of half the bits, the first in the lower half
  input  wire                           halves_i,
  input  wire                           output_stationary_i,

  // Pairs of weights for the shadow, west to east. hops: PEs still to reach, this one included
  input  wire        [  HOPS_WIDTH-1:0] weight_hops_i,
  input  wire      [2*WEIGHT_WIDTH-1:0] weight_i,
  output reg         [  HOPS_WIDTH-1:0] weight_hops_o,
  output wire      [2*WEIGHT_WIDTH-1:0] weight_o,

  // Pairs of weights of the output-stationary mode, north to south
  input  wire      [2*WEIGHT_WIDTH-1:0] weight_north_i,
  output wire      [2*WEIGHT_WIDTH-1:0] weight_south_o,

  // Activations, west to east. start: from this one on, use the shadow weights, or begin a sum;
  // last: the sum is complete with this one
  input  wire                           start_i,
  input  wire                           last_i,
  input  wire        [             1:0] act_zero_i,
  input  wire        [   ACT_WIDTH-1:0] act_i,
  output reg                            start_o,
  output reg                            last_o,
  output reg         [             1:0] act_zero_o,
  output reg         [   ACT_WIDTH-1:0] act_o,

  // Psums, north to south; psum_i is one that the rows above can produce
  input  wire signed [  PSUM_WIDTH-1:0] psum_i,
  output reg  signed [  PSUM_WIDTH-1:0] psum_o,

  // Complete sums, north to south; drain, west to east: take the one from the north
  input  wire                           drain_i,
  input  wire signed [  PSUM_WIDTH-1:0] result_i,
  output reg                            drain_o,
  output reg  signed [  PSUM_WIDTH-1:0] result_o
);

  localparam HALF = ACT_WIDTH / 2;
  localparam PRODUCT_WIDTH = ACT_WIDTH + WEIGHT_WIDTH;

  reg [2*WEIGHT_WIDTH-1:0] shadow;
  reg [2*WEIGHT_WIDTH-1:0] active;

  // The swap works on the very activation that carries it. The active weights are also the step
  // by which weights go south.
  wire [2*WEIGHT_WIDTH-1:0] weight =
    output_stationary_i ? weight_north_i : start_i ? shadow : active;
  wire [WEIGHT_WIDTH-1:0] weight_low = weight[WEIGHT_WIDTH-1:0];
  wire [WEIGHT_WIDTH-1:0] weight_high = weight[2*WEIGHT_WIDTH-1:WEIGHT_WIDTH];

  wire signed [PRODUCT_WIDTH-1:0] low =
    $signed({{(PRODUCT_WIDTH - HALF){1'b0}}, act_i[HALF-1:0]}) *
    $signed({{ACT_WIDTH{weight_low[WEIGHT_WIDTH-1]}}, weight_low});
  wire signed [PRODUCT_WIDTH-1:0] high =
    $signed({{(PRODUCT_WIDTH - HALF){1'b0}}, act_i[ACT_WIDTH-1:HALF]}) *
    $signed({{ACT_WIDTH{weight_high[WEIGHT_WIDTH-1]}}, weight_high});

  // Where a half is told to be zero, its multiplier rests on operands of a cycle before.
  wire [1:0] zero = ZERO_GATING != 0 ? act_zero_i : 2'b00;
  wire signed [PRODUCT_WIDTH-1:0] low_product = zero[0] ? {PRODUCT_WIDTH{1'b0}} : low;
  wire signed [PRODUCT_WIDTH-1:0] high_product = zero[1] ? {PRODUCT_WIDTH{1'b0}} : high;
  wire signed [PRODUCT_WIDTH-1:0] product =
    low_product + (halves_i ? high_product : high_product <<< HALF);

  wire signed [PSUM_WIDTH-1:0] addend =
    !output_stationary_i ? psum_i : start_i ? {PSUM_WIDTH{1'b0}} : psum_o;
  wire signed [PSUM_WIDTH-1:0] sum =
    addend + $signed({{(PSUM_WIDTH - PRODUCT_WIDTH + 1){product[PRODUCT_WIDTH-1]}},
                      product[PRODUCT_WIDTH-2:0]});

  assign weight_o       = shadow;
  assign weight_south_o = active;

  always @(posedge clk_i) begin
    if (weight_hops_i != 0) begin
      shadow <= weight_i;
    end
    active     <= weight;
    act_zero_o <= zero;
    act_o      <= act_i;
    psum_o     <= sum;
    if (last_i) begin
      result_o <= sum;
    end else if (drain_i) begin
      result_o <= result_i;
    end
  end

  // Only the tokens need a reset: without them no weight and no result moves.
  always @(posedge clk_i) begin
    if (rst_i) begin
      weight_hops_o <= 0;
      start_o       <= 1'b0;
      last_o        <= 1'b0;
      drain_o       <= 1'b0;
    end else begin
      weight_hops_o <= (weight_hops_i == 0) ? {HOPS_WIDTH{1'b0}} : weight_hops_i - 1'b1;
      start_o       <= start_i;
      last_o        <= last_i;
      drain_o       <= drain_i;
    end
  end

endmodule

`resetall
