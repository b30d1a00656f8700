`resetall
`timescale 1ns / 1ps
`default_nettype none

// Computes which output rows a kernel row reaches without leaving the map; the same for columns.
//
// Output o uses input o · stride − padding + tap. The outputs for which that lies inside the map are
// neighbours: from first_o on, count_o of them, and the first one uses input origin_o. There must be
// one. The answer comes in the cycle after the question; out_side_i belongs to the answer's cycle.
module tap_range (
  input  wire       clk_i,

  // Height (or width) of the map and of the output, pixels
  input  wire [7:0] side_i,
  input  wire [8:0] out_side_i,
  // 0: stride 1; 1: stride 2
  input  wire       stride2_i,
  input  wire [1:0] padding_i,
  // Kernel row (or column), 0 … 6
  input  wire [2:0] tap_i,

  output wire [1:0] first_o,
  output wire [7:0] count_o,
  output wire [2:0] origin_o
);

  // From −6 to 3: how far above the map the first output's input lies.
  wire signed [ 4:0] above = $signed({3'b000, padding_i}) - $signed({2'b00, tap_i});
  wire               starts_above = !above[4] && above != 0;

  // Rounded up: 3, 2, 1 above are 2, 1, 1 outputs away at stride 2.
  wire        [ 1:0] first_stride2 = above[1:0] - {1'b0, above[1]};
  wire        [ 1:0] first = !starts_above ? 2'd0 : stride2_i ? first_stride2 : above[1:0];
  wire signed [ 4:0] origin = $signed({2'b00, stride2_i ? {first, 1'b0} : {1'b0, first}}) - above;

  // The last output whose input is not below the map, unless the output ends before
  wire        [ 8:0] room = {1'b0, side_i} - 9'd1 + {{4{above[4]}}, above};

  reg         [ 1:0] first_q;
  reg         [ 2:0] origin_q;
  reg         [ 8:0] reach_q;

  always @(posedge clk_i) begin
    first_q  <= first;
    origin_q <= origin[2:0];
    reach_q  <= stride2_i ? {1'b0, room[8:1]} : room;
  end

  wire        [ 8:0] last = (reach_q < out_side_i) ? reach_q : out_side_i - 9'd1;

  assign first_o  = first_q;
  // A tap reaches at most as many outputs as the map has rows.
  assign count_o  = last[7:0] - {6'd0, first_q} + 8'd1;
  assign origin_o = origin_q;

  // An input row is never negative.
  wire unused = &{1'b0, origin[4:3], last[8]};

endmodule

`resetall
