`resetall
`timescale 1ns / 1ps
`default_nettype none

// Memory with one write port and one read port, as block RAM has them.
//
// The word at the address of this cycle is read in the next. What a read gives in the cycle in which
// its own address is written is undefined: whoever connects the memory must not need it.
module ram #(
  // Bits of a word
  parameter WIDTH = 32,
  // Words
  parameter DEPTH = 1024
) (
  input  wire                     clk_i,

  input  wire                     write_i,
  input  wire [$clog2(DEPTH)-1:0] write_address_i,
  input  wire [        WIDTH-1:0] write_data_i,

  input  wire [$clog2(DEPTH)-1:0] read_address_i,
  output reg  [        WIDTH-1:0] read_data_o
);

  (* no_rw_check *)
  reg [WIDTH-1:0] words [0:DEPTH-1];

  always @(posedge clk_i) begin
    if (write_i) begin
      words[write_address_i] <= write_data_i;
    end
    read_data_o <= words[read_address_i];
  end

endmodule

`resetall
