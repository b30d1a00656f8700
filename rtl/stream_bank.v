`resetall
`timescale 1ns / 1ps
`default_nettype none

// Takes an input stream into the two banks of a memory, and decides when a beat is taken and where it is
// written.
//
// The memory is written a cycle after the beat came, from registers. A packet is read later than
// that.
module stream_bank #(
  // Bits of a beat
  parameter WIDTH = 32,
  // Words of one bank, 2 to 32768
  parameter WORDS = 1024
) (
  input  wire                     clk_i,
  input  wire                     rst_i,

  // The stream
  input  wire [        WIDTH-1:0] tdata_i,
  input  wire                     tvalid_i,
  output wire                     tready_o,
  input  wire                     tlast_i,

  // For the memory: the beat of the cycle before
  output reg                      write_o,
  output reg                      write_bank_o,
  output reg  [$clog2(WORDS)-1:0] write_address_o,
  output reg  [        WIDTH-1:0] write_data_o,

  // The oldest packet, see bank_control.v
  output wire                     full_o,
  output wire                     bank_o,
  output wire [             15:0] length_o,
  input  wire                     release_i
);

  wire                     write;
  wire                     write_bank;
  wire [$clog2(WORDS)-1:0] write_address;

  bank_control #(.WORDS(WORDS)) bank_control (
    .clk_i          (clk_i),
    .rst_i          (rst_i),
    .tvalid_i       (tvalid_i),
    .tready_o       (tready_o),
    .tlast_i        (tlast_i),
    .write_o        (write),
    .write_bank_o   (write_bank),
    .write_address_o(write_address),
    .full_o         (full_o),
    .bank_o         (bank_o),
    .length_o       (length_o),
    .release_i      (release_i)
  );

  // A beat of a reset's cycle may be written: nothing reads it, for its packet is forgotten.
  always @(posedge clk_i) begin
    write_o         <= write;
    write_bank_o    <= write_bank;
    write_address_o <= write_address;
    write_data_o    <= tdata_i;
  end

endmodule

`resetall
