`resetall
`timescale 1ns / 1ps
`default_nettype none

// Adds the psums of each output pixel, COLS lanes at a time, until the pixel's last one.
//
// A finished pixel leaves, and its place in the memory is cleared for the next output tile. After
// reset the whole memory is cleared, a place a cycle.
module accumulator #(
  // Lanes: output channels of a tile
  parameter COLS = 8,
  // Bits of a psum and of a sum, two's complement
  parameter PSUM_WIDTH = 11,
  parameter SUM_WIDTH = 24,
  // Output pixels of one output tile
  parameter PIXELS = 1024
) (
  input  wire                       clk_i,
  input  wire                       rst_i,
  // The memory is clear; until then no pixels
  output reg                        ready_o,

  // A pixel, whose psums, if any, come two cycles later; final_i: the pixel is finished then
  input  wire                       pixel_valid_i,
  input  wire [ $clog2(PIXELS)-1:0] pixel_i,
  input  wire                       final_i,
  // Psums of the pixel of two cycles ago; without them its sums stay. Sums must fit: geometry.v refuses
  // a layer whose sums could not
  input  wire                       psum_valid_i,
  input  wire [COLS*PSUM_WIDTH-1:0] psum_i,

  // Finished sums, three cycles after their pixel
  output reg                        sum_valid_o,
  output reg  [ COLS*SUM_WIDTH-1:0] sum_o
);

  localparam PIXEL_WIDTH = $clog2(PIXELS);
  localparam LAST = PIXELS - 1;

  // 1: the memory answers; 2: the psums are added; 3: the sum is written; 4: a read shows it
  reg  [   PIXEL_WIDTH-1:0] pixel_1;
  reg  [   PIXEL_WIDTH-1:0] pixel_2;
  reg  [   PIXEL_WIDTH-1:0] pixel_3;
  reg                       final_1;
  reg                       final_2;
  reg                       valid_1;
  reg                       valid_2;
  reg                       valid_3;
  reg                       valid_4;
  wire [COLS*SUM_WIDTH-1:0] stored;
  reg  [COLS*SUM_WIDTH-1:0] stored_2;
  reg  [COLS*SUM_WIDTH-1:0] newer_2;
  reg                       use_newer_2;
  wire [COLS*SUM_WIDTH-1:0] written_3;
  reg  [COLS*SUM_WIDTH-1:0] written_4;

  // The write of stage 3, a sum or a zero; while the memory is cleared, the next place
  reg                       write_3;
  reg                       zero_3;
  reg  [   PIXEL_WIDTH-1:0] address_3;
  reg  [   PIXEL_WIDTH-1:0] next_cleared;
  reg                       clearing;

  // The pixels of two stages are the same: what the later one writes, the earlier one has not read.
  reg same_1_3;
  reg same_1_4;
  reg same_2_3;

  wire [COLS*SUM_WIDTH-1:0] so_far =
    (valid_3 && same_2_3) ? written_3 : use_newer_2 ? newer_2 : stored_2;
  wire [COLS*SUM_WIDTH-1:0] sum;

  assign written_3 = zero_3 ? {COLS * SUM_WIDTH{1'b0}} : sum_o;

  genvar c;
  generate
    for (c = 0; c < COLS; c = c + 1) begin : g_lane
      wire signed [PSUM_WIDTH-1:0] psum =
        psum_i[c*PSUM_WIDTH +: PSUM_WIDTH] & {PSUM_WIDTH{psum_valid_i}};
      assign sum[c*SUM_WIDTH +: SUM_WIDTH] = so_far[c*SUM_WIDTH +: SUM_WIDTH] +
        {{(SUM_WIDTH - PSUM_WIDTH){psum[PSUM_WIDTH-1]}}, psum};
    end
  endgenerate

  ram #(.WIDTH(COLS * SUM_WIDTH), .DEPTH(PIXELS)) sums (
    .clk_i          (clk_i),
    .write_i        (write_3),
    .write_address_i(address_3),
    .write_data_i   (written_3),
    .read_address_i (pixel_i),
    .read_data_o    (stored)
  );

  always @(posedge clk_i) begin
    same_1_3    <= pixel_i == pixel_2;
    same_1_4    <= pixel_i == pixel_3;
    same_2_3    <= pixel_1 == pixel_2;
    stored_2    <= stored;
    newer_2     <= (valid_3 && same_1_3) ? written_3 : written_4;
    use_newer_2 <= (valid_3 && same_1_3) || (valid_4 && same_1_4);
    written_4   <= written_3;
    valid_4     <= valid_3;
    pixel_1     <= pixel_i;
    pixel_2     <= pixel_1;
    pixel_3     <= pixel_2;
    final_1     <= final_i;
    final_2     <= final_1;
    sum_o       <= sum;
    valid_1     <= pixel_valid_i && !rst_i;
    valid_2     <= valid_1 && !rst_i;
    valid_3     <= valid_2;
    sum_valid_o <= valid_2 && final_2 && !rst_i;
  end

  // The first place is cleared in the cycle after reset.
  always @(posedge clk_i) begin
    write_3 <= valid_2 || clearing || rst_i;
    zero_3  <= final_2 || clearing || rst_i;
    ready_o <= !clearing && !rst_i;
    if (rst_i) begin
      clearing     <= 1'b1;
      next_cleared <= 1;
      address_3    <= {PIXEL_WIDTH{1'b0}};
    end else if (clearing) begin
      clearing     <= next_cleared != LAST[PIXEL_WIDTH-1:0];
      next_cleared <= next_cleared + 1'b1;
      address_3    <= next_cleared;
    end else begin
      address_3    <= pixel_2;
    end
  end

endmodule

`resetall
