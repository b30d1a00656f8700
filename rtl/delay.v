`resetall
`timescale 1ns / 1ps
`default_nettype none

// Delays a bus by a number of cycles.
module delay #(
  // Bits of the bus
  parameter WIDTH = 8,
  // Cycles, at least 1
  parameter CYCLES = 1
) (
  input  wire             clk_i,

  input  wire [WIDTH-1:0] data_i,
  output wire [WIDTH-1:0] data_o
);

  reg  [    CYCLES*WIDTH-1:0] stages;
  wire [(CYCLES+1)*WIDTH-1:0] taps = {stages, data_i};

  always @(posedge clk_i) begin
    stages <= taps[CYCLES*WIDTH-1:0];
  end

  assign data_o = taps[CYCLES*WIDTH +: WIDTH];

endmodule

`resetall
