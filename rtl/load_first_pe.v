`resetall
`timescale 1ns / 1ps
`default_nettype none

// Processing element of load_first_array: psum_o = psum_i + activation × weight, one cycle later.
//
// One weight register, part of a column's shift register: loading moves every weight south.
module load_first_pe #(
  // Bits of an activation, unsigned
  parameter ACT_WIDTH = 4,
  // Bits of a weight, two's complement
  parameter WEIGHT_WIDTH = 4,
  // Bits of a psum, two's complement; at least ACT_WIDTH + WEIGHT_WIDTH
  parameter PSUM_WIDTH = 16
) (
  input  wire                           clk_i,

  // Weights, north to south, while load is high
  input  wire                           load_i,
  input  wire signed [WEIGHT_WIDTH-1:0] weight_i,
  output reg  signed [WEIGHT_WIDTH-1:0] weight_o,

  // Activations, west to east
  input  wire        [   ACT_WIDTH-1:0] act_i,
  output reg         [   ACT_WIDTH-1:0] act_o,

  // Psums, north to south
  input  wire signed [  PSUM_WIDTH-1:0] psum_i,
  output reg  signed [  PSUM_WIDTH-1:0] psum_o
);

  wire signed [PSUM_WIDTH-1:0] product =
    $signed({{(PSUM_WIDTH - ACT_WIDTH){1'b0}}, act_i}) *
    $signed({{(PSUM_WIDTH - WEIGHT_WIDTH){weight_o[WEIGHT_WIDTH-1]}}, weight_o});

  always @(posedge clk_i) begin
    if (load_i) begin
      weight_o <= weight_i;
    end
    act_o  <= act_i;
    psum_o <= psum_i + product;
  end

endmodule

`resetall
