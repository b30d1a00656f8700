`resetall
`timescale 1ns / 1ps
`default_nettype none

// Two banks of memory in one RAM: one fills while the other is read.
module banked_ram #(
  // Bits of a word
  parameter WIDTH = 32,
  // Words of one bank
  parameter WORDS = 1024
) (
  input  wire                     clk_i,

  input  wire                     write_i,
  input  wire                     write_bank_i,
  input  wire [$clog2(WORDS)-1:0] write_address_i,
  input  wire [        WIDTH-1:0] write_data_i,

  input  wire                     read_bank_i,
  input  wire [$clog2(WORDS)-1:0] read_address_i,
  output wire [        WIDTH-1:0] read_data_o
);

  localparam ADDRESS_WIDTH = $clog2(2 * WORDS);
  localparam [ADDRESS_WIDTH-1:0] SECOND = WORDS[ADDRESS_WIDTH-1:0];
  localparam EXTRA = ADDRESS_WIDTH - $clog2(WORDS);

  wire [ADDRESS_WIDTH-1:0] write_address = {{EXTRA{1'b0}}, write_address_i};
  wire [ADDRESS_WIDTH-1:0] read_address = {{EXTRA{1'b0}}, read_address_i};

  ram #(.WIDTH(WIDTH), .DEPTH(2 * WORDS)) ram (
    .clk_i          (clk_i),
    .write_i        (write_i),
    .write_address_i(write_bank_i ? write_address + SECOND : write_address),
    .write_data_i   (write_data_i),
    .read_address_i (read_bank_i ? read_address + SECOND : read_address),
    .read_data_o    (read_data_o)
  );

endmodule

`resetall
