`resetall
`timescale 1ns / 1ps
`default_nettype none

// A third array, unlike ours in everything: names, reset, sizes, signed 8-bit activations, weights
// written one by one, a whole dot product a cycle and column, and columns that leave one by one.
module dot_engine #(
  // Input channels of a tile
  parameter ROWS = 16,
  // Output channels of a tile
  parameter COLS = 4
) (
  input  wire               clk,
  input  wire               rst_n,

  // One weight per cycle, at its row and column
  input  wire               w_write,
  input  wire        [ 7:0] w_row,
  input  wire        [ 7:0] w_col,
  input  wire signed [ 7:0] w_data,

  // Activations of one pixel per cycle, row 0 in the highest bits
  input  wire               a_strobe,
  input  wire [ROWS*8-1:0]  a_data,

  // Psums, column c one cycle after column c − 1; column 0 in the lowest bits
  output reg  [COLS-1:0]    p_strobe,
  output reg  [COLS*32-1:0] p_data
);

  reg [ROWS*COLS*8-1:0] weights;

  always @(posedge clk) begin
    if (w_write) begin
      weights[({24'b0, w_row} * COLS + {24'b0, w_col}) * 8 +: 8] <= w_data;
    end
  end

  genvar r;
  genvar c;
  generate
    for (c = 0; c < COLS; c = c + 1) begin : g_col
      wire              strobe;
      wire [ROWS*8-1:0] acts;
      reg  [ROWS*8-1:0] acts_east;

      if (c == 0) begin : g_west_edge
        assign strobe = a_strobe;
        assign acts   = a_data;
      end else begin : g_inner
        assign strobe = p_strobe[c-1];
        assign acts   = g_col[c-1].acts_east;
      end

      for (r = 0; r < ROWS; r = r + 1) begin : g_row
        wire signed [ 7:0] act    = acts[(ROWS-1-r)*8 +: 8];
        wire signed [ 7:0] weight = weights[(r*COLS+c)*8 +: 8];
        wire signed [31:0] product =
          $signed({{24{act[7]}}, act}) * $signed({{24{weight[7]}}, weight});
        wire        [31:0] sum;

        if (r == 0) begin : g_first
          assign sum = product;
        end else begin : g_inner
          assign sum = g_row[r-1].sum + product;
        end
      end

      always @(posedge clk) begin
        acts_east          <= acts;
        p_data[c*32 +: 32] <= g_row[ROWS-1].sum;
      end

      always @(posedge clk or negedge rst_n) begin
        if (!rst_n) begin
          p_strobe[c] <= 1'b0;
        end else begin
          p_strobe[c] <= strobe;
        end
      end
    end

    wire unused = &{1'b0, g_col[COLS-1].acts_east};
  endgenerate

endmodule

`resetall
