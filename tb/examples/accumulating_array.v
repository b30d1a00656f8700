`resetall
`timescale 1ns / 1ps
`default_nettype none

// A weight-stationary matrix-vector multiplier with an accumulator for each pixel and column, to
// show what an adapter can connect: docs/own-array.md. Sums leave with the last of their tiles.
module accumulating_array #(
  // Input and output channels of a tile
  parameter ROWS = 8,
  parameter COLS = 8,
  // Number of pixels whose sums are held
  parameter PIXELS = 16
) (
  input  wire               clk,
  input  wire               rst,

  // Weights of one row per cycle, row 0 first
  input  wire               weight_valid,
  input  wire [ COLS*4-1:0] weight,

  // Activations of one pixel per cycle. A tile's first pixel goes to accumulator 0.
  input  wire               act_valid,
  input  wire [ ROWS*4-1:0] act,
  input  wire               act_last_pixel,
  // This tile is the first, the last of its sums
  input  wire               first_tile,
  input  wire               last_tile,

  output reg                sum_valid,
  output reg  [COLS*24-1:0] sum
);

  reg [ROWS*COLS*4-1:0] weights;
  reg [    COLS*24-1:0] accumulators[0:PIXELS-1];
  reg [           15:0] row;
  reg [           15:0] pixel;

  integer r, c;
  reg signed [23:0] psum;
  reg [COLS*24-1:0] next;
  always @* begin
    for (c = 0; c < COLS; c = c + 1) begin
      psum = first_tile ? 24'd0 : accumulators[pixel][c*24 +: 24];
      for (r = 0; r < ROWS; r = r + 1) begin
        psum = psum + $signed({1'b0, act[r*4 +: 4]}) * $signed(weights[(r*COLS+c)*4 +: 4]);
      end
      next[c*24 +: 24] = psum;
    end
  end

  always @(posedge clk) begin
    sum_valid <= act_valid && last_tile;
    if (weight_valid) begin
      weights[row*COLS*4 +: COLS*4] <= weight;
      row <= (row == ROWS - 1) ? 0 : row + 1;
    end
    if (act_valid) begin
      accumulators[pixel] <= next;
      sum                 <= next;
      pixel               <= act_last_pixel ? 0 : pixel + 1;
    end
    if (rst) begin
      sum_valid <= 1'b0;
      row       <= 0;
      pixel     <= 0;
    end
  end

endmodule

`resetall
