`resetall
`timescale 1ns / 1ps
`default_nettype none

// Processing element: psum_o = psum_i + activation × active weight, one cycle later.
//
// Two weights: the active one multiplies; the shadow one takes the next tile's weight meanwhile and
// passes on, eastwards, those for the columns beyond.
module pe #(
  // Bits of an activation
  parameter ACT_WIDTH = 4,
  // 0: activations are unsigned; 1: they are two's complement
  parameter ACT_SIGNED = 0,
  // Bits of a weight, two's complement
  parameter WEIGHT_WIDTH = 4,
  // Bits of a psum, two's complement; at least ACT_WIDTH + WEIGHT_WIDTH
  parameter PSUM_WIDTH = 16,
  // Bits that count the PEs a weight has still to reach; enough for the array's columns
  parameter HOPS_WIDTH = 4,
  // 1: while act_zero_i is high the activation is 0, whatever act_i is
  parameter ZERO_GATING = 0
) (
  input  wire                           clk_i,
  input  wire                           rst_i,

  // Weights, west to east. hops: PEs still to reach, this one included; 0 when none is coming
  input  wire        [  HOPS_WIDTH-1:0] weight_hops_i,
  input  wire signed [WEIGHT_WIDTH-1:0] weight_i,
  output reg         [  HOPS_WIDTH-1:0] weight_hops_o,
  output wire signed [WEIGHT_WIDTH-1:0] weight_o,

  // Activations, west to east. swap: from this activation on, use the shadow weight
  input  wire                           swap_i,
  input  wire                           act_zero_i,
  input  wire        [   ACT_WIDTH-1:0] act_i,
  output reg                            swap_o,
  output reg                            act_zero_o,
  output reg         [   ACT_WIDTH-1:0] act_o,

  // Psums, north to south; psum_i is one that the rows above can produce
  input  wire signed [  PSUM_WIDTH-1:0] psum_i,
  output reg  signed [  PSUM_WIDTH-1:0] psum_o
);

  reg signed [WEIGHT_WIDTH-1:0] shadow;
  reg signed [WEIGHT_WIDTH-1:0] active;

  // The swap works on the very activation that carries it.
  wire signed [WEIGHT_WIDTH-1:0] weight = swap_i ? shadow : active;

  wire act_sign = ACT_SIGNED != 0 && act_i[ACT_WIDTH-1];

  wire signed [PSUM_WIDTH-1:0] product =
    $signed({{(PSUM_WIDTH - ACT_WIDTH){act_sign}}, act_i}) *
    $signed({{(PSUM_WIDTH - WEIGHT_WIDTH){weight[WEIGHT_WIDTH-1]}}, weight});

  // Where the activation is told to be zero, the multiplier rests on operands of a cycle before, and
  // its product does not count. (Were the product made 0 instead, the adder would switch.)
  wire zero = ZERO_GATING != 0 && act_zero_i;

  assign weight_o = shadow;

  always @(posedge clk_i) begin
    if (weight_hops_i != 0) begin
      shadow <= weight_i;
    end
    active     <= weight;
    act_zero_o <= zero;
    act_o      <= act_i;
    psum_o     <= psum_i + product;
    if (zero) begin
      psum_o <= psum_i;
    end
  end

  // Only the tokens need a reset: without them no weight moves.
  always @(posedge clk_i) begin
    if (rst_i) begin
      weight_hops_o <= 0;
      swap_o        <= 1'b0;
    end else begin
      weight_hops_o <= (weight_hops_i == 0) ? {HOPS_WIDTH{1'b0}} : weight_hops_i - 1'b1;
      swap_o        <= swap_i;
    end
  end

endmodule

`resetall
