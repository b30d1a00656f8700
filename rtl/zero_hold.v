`resetall
`timescale 1ns / 1ps
`default_nettype none

// Leaves a lane of a bus as it was while it brings zero, and says so.
//
// What multiplies such a lane does not switch; it has to count the product as zero.
module zero_hold #(
  // Lanes of the bus; lane 0 in the lowest bits
  parameter LANES = 8,
  // Bits of a lane
  parameter WIDTH = 4
) (
  input  wire                   clk_i,
  input  wire                   rst_i,

  // 0: all lanes pass as they are
  input  wire                   hold_i,
  input  wire [LANES*WIDTH-1:0] data_i,

  // zero: the lane brings zero, and data_o is what it was in the cycle before
  output wire [      LANES-1:0] zero_o,
  output wire [LANES*WIDTH-1:0] data_o
);

  reg [LANES*WIDTH-1:0] held;

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : g_lane
      assign zero_o[lane] = hold_i && data_i[lane*WIDTH +: WIDTH] == 0;
      assign data_o[lane*WIDTH +: WIDTH] =
        zero_o[lane] ? held[lane*WIDTH +: WIDTH] : data_i[lane*WIDTH +: WIDTH];
    end
  endgenerate

  always @(posedge clk_i) begin
    held <= rst_i ? {LANES * WIDTH{1'b0}} : data_o;
  end

endmodule

`resetall
