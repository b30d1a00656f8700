`resetall
`timescale 1ns / 1ps
`default_nettype none

// Keeps the largest code of each 2 × 2 pixels of a layer that asks for it; all else passes through.
//
// A result leaves in the cycle in which it comes. Of the pixels of an even row the largest of each two
// neighbours is kept until the pixels of the row below come.
module output_pool #(
  // Codes of a beat, of 4 bits each, in its lowest bits; and the bits of a beat
  parameter COLS = 8,
  parameter WIDTH = 192,
  // The widest output that can be pooled, in pixels; even, at least 2
  parameter POOL_WIDTH = 32
) (
  input  wire             clk_i,
  input  wire             rst_i,

  // The layer: whether it is pooled, and the width of its output in pixels. A pooled output has an even
  // height and an even width
  input  wire             pool_i,
  input  wire [      8:0] out_width_i,

  // The results of a layer, row by row, not in the cycle after a reset
  input  wire             valid_i,
  input  wire             last_i,
  input  wire [WIDTH-1:0] data_i,

  output wire             valid_o,
  output wire             last_o,
  output wire [WIDTH-1:0] data_o,
  // The result of this cycle does not leave
  output wire             drop_o
);

  localparam CODES = 4 * COLS;
  localparam PAIRS = POOL_WIDTH / 2;
  localparam PAIR_WIDTH = (PAIRS > 1) ? $clog2(PAIRS) : 1;

  reg  [      8:0] x;
  reg              odd_row;
  reg  [CODES-1:0] left;                // the pixel before this one
  reg  [CODES-1:0] above [0:PAIRS-1];   // the largest of each pair of the row above

  wire [PAIR_WIDTH-1:0] pair = x[PAIR_WIDTH:1];
  wire [     CODES-1:0] of_row_above = above[pair];
  wire [     CODES-1:0] of_pair;
  wire [     CODES-1:0] of_four;

  genvar c;
  generate
    for (c = 0; c < COLS; c = c + 1) begin : g_lane
      wire [3:0] here = data_i[4*c +: 4];
      wire [3:0] beside = left[4*c +: 4];
      wire [3:0] over = of_row_above[4*c +: 4];
      wire [3:0] larger = (here > beside) ? here : beside;
      assign of_pair[4*c +: 4] = larger;
      assign of_four[4*c +: 4] = (larger > over) ? larger : over;
    end
  endgenerate

  assign valid_o = valid_i && (!pool_i || (x[0] && odd_row));
  assign drop_o  = valid_i && !valid_o;
  assign last_o  = last_i;
  assign data_o  = pool_i ? {{(WIDTH - CODES){1'b0}}, of_four} : data_i;

  always @(posedge clk_i) begin
    if (valid_i) begin
      left <= data_i[CODES-1:0];
      if (x[0] && !odd_row) above[pair] <= of_pair;
      x <= x + 1'b1;
      if (x == out_width_i - 1'b1) begin
        x       <= 9'd0;
        odd_row <= !odd_row;
      end
      if (last_i) odd_row <= 1'b0;
    end
    if (rst_i) begin
      x       <= 9'd0;
      odd_row <= 1'b0;
    end
  end

endmodule

`resetall
