`resetall
`timescale 1ns / 1ps
`default_nettype none

// A systolic array in which sums stay where they are, to show what an adapter can connect:
// docs/own-array.md. PE (r, c) adds up output pixel r of output channel c. Activations travel east
// and weights south, a PE per cycle; whoever drives the array delays row r by r cycles and column c
// by c cycles. A row of sums is read while nothing else happens.
module output_stationary #(
  // Output pixels of a product
  parameter ROWS = 8,
  // Output channels of a product
  parameter COLS = 8
) (
  input  wire               clk,
  // Sums begin at 0 again
  input  wire               clear,

  input  wire [ ROWS*4-1:0] act,
  input  wire [ COLS*4-1:0] weight,

  input  wire [        7:0] read_row,
  output wire [COLS*24-1:0] sums
);

  wire [COLS*24-1:0] rows[0:ROWS-1];
  assign sums = rows[read_row];

  genvar r, c;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : g_row
      for (c = 0; c < COLS; c = c + 1) begin : g_col
        wire        [ 3:0] act_west;
        wire        [ 3:0] weight_north;
        reg         [ 3:0] act_east;
        reg         [ 3:0] weight_south;
        reg  signed [23:0] sum;

        if (c == 0) begin : g_west_edge
          assign act_west = act[r*4 +: 4];
        end else begin : g_east
          assign act_west = g_col[c-1].act_east;
        end
        if (r == 0) begin : g_north_edge
          assign weight_north = weight[c*4 +: 4];
        end else begin : g_south
          assign weight_north = g_row[r-1].g_col[c].weight_south;
        end

        always @(posedge clk) begin
          act_east     <= clear ? 4'd0 : act_west;
          weight_south <= clear ? 4'd0 : weight_north;
          sum          <= clear ? 24'sd0
                                : sum + $signed({1'b0, act_west}) * $signed(weight_north);
        end
        assign rows[r][c*24 +: 24] = sum;
      end
    end
  endgenerate

endmodule

`resetall
