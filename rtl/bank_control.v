`resetall
`timescale 1ns / 1ps
`default_nettype none

// Decides which of two memory banks a stream fills, and which one the core reads.
//
// A packet (up to tlast) fills a bank. Packets are used in the order in which they came; a bank that
// was released takes the packet after the next. A packet longer than a bank is cut, and its length
// says so.
module bank_control #(
  // Words of one bank, 2 to 32768
  parameter WORDS = 1024
) (
  input  wire                     clk_i,
  input  wire                     rst_i,

  // The stream's handshake
  input  wire                     tvalid_i,
  output wire                     tready_o,
  input  wire                     tlast_i,

  // Whether this beat is written, and its bank and word
  output wire                     write_o,
  output wire                     write_bank_o,
  output wire [$clog2(WORDS)-1:0] write_address_o,

  // The oldest packet. length: its beats, WORDS + 1 if there were more than WORDS
  output wire                     full_o,
  output wire                     bank_o,
  output wire [             15:0] length_o,
  // The oldest packet is no longer needed; only while full_o is high
  input  wire                     release_i
);

  localparam [15:0] LIMIT = WORDS[15:0];

  reg  [ 1:0] full;
  reg         fill_bank;
  reg         read_bank;
  reg  [15:0] beats;
  reg  [15:0] length_0;
  reg  [15:0] length_1;

  wire        beat = tvalid_i && tready_o;
  wire        fits = beats < LIMIT;
  wire [15:0] beats_next = (beats > LIMIT) ? beats : beats + 1'b1;

  assign tready_o        = !full[fill_bank];
  assign write_o         = beat && fits;
  assign write_bank_o    = fill_bank;
  assign write_address_o = beats[$clog2(WORDS)-1:0];
  assign full_o          = full[read_bank];
  assign bank_o          = read_bank;
  assign length_o        = read_bank ? length_1 : length_0;

  always @(posedge clk_i) begin
    if (beat) begin
      beats <= tlast_i ? 16'd0 : beats_next;
      if (tlast_i) begin
        full[fill_bank] <= 1'b1;
        fill_bank       <= !fill_bank;
        if (fill_bank) length_1 <= beats_next;
        else           length_0 <= beats_next;
      end
    end
    if (release_i) begin
      full[read_bank] <= 1'b0;
      read_bank       <= !read_bank;
    end
    if (rst_i) begin
      full      <= 2'b00;
      fill_bank <= 1'b0;
      read_bank <= 1'b0;
      beats     <= 16'd0;
    end
  end

endmodule

`resetall
