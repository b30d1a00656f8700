`resetall
`timescale 1ns / 1ps
`default_nettype none

// Delays the lanes of a bus like a staircase: lane i by i cycles, or lane i by LANES − 1 − i.
//
// The first form skews what enters a systolic array, the second undoes it at the far edge.
module skew #(
  // Lanes of the bus; lane 0 in the lowest bits
  parameter LANES = 8,
  // Bits of a lane
  parameter WIDTH = 4,
  // 0: the last lane waits longest; 1: the first lane does
  parameter REVERSE = 0
) (
  input  wire                   clk_i,
  input  wire                   rst_i,

  input  wire [LANES*WIDTH-1:0] data_i,
  output wire [LANES*WIDTH-1:0] data_o
);

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : g_lane
      localparam DELAY = REVERSE ? LANES - 1 - lane : lane;

      if (DELAY == 0) begin : g_through
        assign data_o[lane*WIDTH +: WIDTH] = data_i[lane*WIDTH +: WIDTH];
        // With a single lane nothing is clocked at all.
        wire unused = &{1'b0, clk_i, rst_i};
      end else begin : g_delay
        reg  [    DELAY*WIDTH-1:0] stages;
        wire [(DELAY+1)*WIDTH-1:0] taps = {stages, data_i[lane*WIDTH +: WIDTH]};

        always @(posedge clk_i) begin
          stages <= rst_i ? {DELAY * WIDTH{1'b0}} : taps[DELAY*WIDTH-1:0];
        end

        assign data_o[lane*WIDTH +: WIDTH] = taps[DELAY*WIDTH +: WIDTH];
      end
    end
  endgenerate

endmodule

`resetall
