`resetall
`timescale 1ns / 1ps
`default_nettype none

`include "core_registers.vh"

// Turns finished sums into what leaves the core: sums, sums after ReLU, or the next layer's codes.
//
// Every mode takes six cycles. In mode CODES a code is the number of thresholds, 0 to 15 and in ascending
// order, that the sum reaches: first which of thresholds 4, 8 and 12, then which of the three in between.
// In mode SCALED a code is (sum · multiplier + offset) >> shift, clamped; see
// pymodel/hardware/output_scaling.py.
module output_stage #(
  // Lanes: output channels of a tile
  parameter COLS = 8,
  // Bits of a sum and of a threshold, two's complement
  parameter SUM_WIDTH = 24,
  // Output tiles whose thresholds fit in one bank, a power of two
  parameter TILES = 64,
  // 1: mode SCALED is there; it takes a multiplier of SUM_WIDTH × SUM_WIDTH bits per column
  parameter OUTPUT_SCALING = 0
) (
  input  wire                        clk_i,
  input  wire                        rst_i,

  // The layer, see geometry.v. With read_bank_i from the cycle before its first sums to its last output;
  // meanwhile that bank is not written
  input  wire [                 3:0] mode_i,
  input  wire [                 7:0] output_tiles_i,
  input  wire [                15:0] out_tile_pixels_i,

  // Thresholds: per output tile 16 words of COLS lanes. Lane c of word 0: bit 0 is set when the code of
  // channel c falls with the sum, which is then inverted (~sum) first. Words 1 to 15: thresholds 1 to 15.
  // In mode SCALED: words 1 to 3 are shift, lowest and highest code, word 4 is the multiplier, word 8 the
  // offset's low half, word 12 its high half; the shift is unsigned, all others are two's complement
  input  wire                        write_i,
  input  wire                        write_bank_i,
  input  wire [  $clog2(16*TILES)-1:0] write_address_i,
  input  wire [  COLS*SUM_WIDTH-1:0] write_data_i,
  input  wire                        read_bank_i,

  // Sums of one output pixel, not in the cycle after a reset; the last ones of two tiles are not in
  // neighbouring cycles
  input  wire                        sum_valid_i,
  input  wire [  COLS*SUM_WIDTH-1:0] sum_i,

  // One output pixel: COLS lanes of SUM_WIDTH bits, or COLS codes in the lowest bits, of 4 bits (CODES) or
  // 8 (SCALED). last with the layer's last pixel
  output reg                         valid_o,
  output reg                         last_o,
  output reg  [  COLS*SUM_WIDTH-1:0] data_o
);

  localparam WIDTH = COLS * SUM_WIDTH;
  localparam TILE_WIDTH = $clog2(TILES);

  // Which output tile the sums belong to. What follows from that is known a cycle later, and how many of
  // the tile's pixels are left from the second one on.
  reg  [ 7:0] tile;
  reg  [ 7:0] tile_after;
  reg         last_tile;
  reg         first_pixel;
  reg         single_pixel;
  reg         last_later;
  reg  [15:0] pixels_left;

  wire        last_pixel = first_pixel ? single_pixel : last_later;
  wire [15:0] left = first_pixel ? out_tile_pixels_i : pixels_left;

  always @(posedge clk_i) begin
    single_pixel <= out_tile_pixels_i == 16'd1;
    last_tile    <= tile == output_tiles_i - 1'b1;
    tile_after   <= (tile == output_tiles_i - 1'b1) ? 8'd0 : tile + 1'b1;
    if (sum_valid_i) begin
      first_pixel <= last_pixel;
      pixels_left <= left - 1'b1;
      last_later  <= left == 16'd2;
      if (last_pixel) tile <= tile_after;
    end
    if (rst_i) begin
      tile        <= 8'd0;
      first_pixel <= 1'b1;
    end
  end

  // The pipeline: 1 the coarse thresholds are read, 2 compared; 3 the fine ones addressed, 4 read, 5
  // compared. Each memory is followed by a register, since its output comes late in the cycle.
  reg                   relu;
  reg                   codes;
  reg  [           5:1] valid;
  reg  [           5:1] last;
  reg  [TILE_WIDTH-1:0] tile_1;
  reg  [TILE_WIDTH-1:0] tile_2;
  reg  [TILE_WIDTH-1:0] tile_3;
  reg  [     WIDTH-1:0] sum_1;
  reg  [     WIDTH-1:0] sum_2;
  reg  [     WIDTH-1:0] sum_3;
  reg  [     WIDTH-1:0] sum_4;
  reg  [     WIDTH-1:0] sum_5;
  wire [    COLS*4-1:0] codes_5;
  wire [    COLS*8-1:0] scaled_5;
  reg                   scaled;

  always @(posedge clk_i) begin
    {valid_o, valid} <= {valid, sum_valid_i} & {6{!rst_i}};
    {last_o, last}   <= {last, last_pixel && last_tile};
    relu   <= mode_i == `CORE_MODE_RELU;
    codes  <= mode_i == `CORE_MODE_CODES;
    scaled <= OUTPUT_SCALING != 0 && mode_i == `CORE_MODE_SCALED;
    tile_1 <= tile[TILE_WIDTH-1:0];
    tile_2 <= tile_1;
    tile_3 <= tile_2;
    sum_1  <= sum_i;
    sum_4  <= sum_3;
    sum_5  <= sum_4;
    data_o <= codes  ? {{(WIDTH - 4 * COLS){1'b0}}, codes_5} :
              scaled ? {{(WIDTH - 8 * COLS){1'b0}}, scaled_5} : sum_5;
  end

  // Word 0, then thresholds 4, 8 and 12: the same address for all lanes
  wire [  TILE_WIDTH-1:0] write_tile = write_address_i[TILE_WIDTH+3:4];
  wire [             1:0] write_group = write_address_i[3:2];
  wire [             1:0] write_place = write_address_i[1:0];
  wire [        COLS-1:0] write_inverted;
  wire [        COLS-1:0] inverted;
  wire [     3*WIDTH-1:0] coarse;

  // Sums and thresholds are compared with their sign bits inverted, as unsigned numbers: the carry alone
  // tells which is larger.
  wire [WIDTH-1:0] thresholds = write_data_i ^ {COLS{1'b1, {(SUM_WIDTH - 1){1'b0}}}};

  banked_ram #(.WIDTH(COLS), .WORDS(TILES)) inverted_ram (
    .clk_i          (clk_i),
    .write_i        (write_i && write_address_i[3:0] == 4'd0),
    .write_bank_i   (write_bank_i),
    .write_address_i(write_tile),
    .write_data_i   (write_inverted),
    .read_bank_i    (read_bank_i),
    .read_address_i (tile[TILE_WIDTH-1:0]),
    .read_data_o    (inverted)
  );

  genvar k;
  genvar c;
  generate
    for (k = 1; k < 4; k = k + 1) begin : g_coarse
      banked_ram #(.WIDTH(WIDTH), .WORDS(TILES)) coarse_ram (
        .clk_i          (clk_i),
        .write_i        (write_i && write_place == 2'd0 && write_group == k),
        .write_bank_i   (write_bank_i),
        .write_address_i(write_tile),
        .write_data_i   (thresholds),
        .read_bank_i    (read_bank_i),
        .read_address_i (tile[TILE_WIDTH-1:0]),
        .read_data_o    (coarse[(k-1)*WIDTH +: WIDTH])
      );
    end

    for (c = 0; c < COLS; c = c + 1) begin : g_lane
      wire signed [SUM_WIDTH-1:0] given_1 = sum_1[c*SUM_WIDTH +: SUM_WIDTH];
      wire        [SUM_WIDTH-1:0] given_2 = sum_2[c*SUM_WIDTH +: SUM_WIDTH];
      wire        [SUM_WIDTH-1:0] given_5 = sum_5[c*SUM_WIDTH +: SUM_WIDTH];
      wire                        erase = relu && given_1[SUM_WIDTH-1];
      wire                        invert = codes && inverted[c];
      wire        [          2:0] reached_2;
      wire        [          2:0] reached_5;
      reg         [          1:0] high_3;
      reg         [          1:0] high_4;
      reg         [          1:0] high_5;

      // In ascending order: how many are reached is the place of the highest one reached.
      wire [1:0] high_2 = {reached_2[1], reached_2[2] || (reached_2[0] && !reached_2[1])};
      wire [1:0] low_5 = {reached_5[1], reached_5[2] || (reached_5[0] && !reached_5[1])};

      // Words 4, 8, 12 and 1, 2, 3 as they are kept, with the sign bit inverted
      wire [3*SUM_WIDTH-1:0] coarse_words_2;
      wire [3*SUM_WIDTH-1:0] fine_words_5;

      assign codes_5[c*4 +: 4] = {high_5, low_5};
      assign write_inverted[c] = write_data_i[c*SUM_WIDTH];

      always @(posedge clk_i) begin
        sum_2[c*SUM_WIDTH +: SUM_WIDTH] <=
          (given_1 & {SUM_WIDTH{!erase}}) ^ {codes ^ invert, {(SUM_WIDTH - 1){invert}}};
        sum_3[c*SUM_WIDTH +: SUM_WIDTH] <= given_2;
        high_3 <= scaled ? 2'd0 : high_2;
        high_4 <= high_3;
        high_5 <= high_4;
      end

      for (k = 1; k < 4; k = k + 1) begin : g_threshold
        reg  [SUM_WIDTH-1:0] coarse_2;
        wire [SUM_WIDTH-1:0] fine;
        reg  [SUM_WIDTH-1:0] fine_5;

        assign reached_2[k-1] = given_2 >= coarse_2;
        assign reached_5[k-1] = given_5 >= fine_5;

        assign coarse_words_2[(k-1)*SUM_WIDTH +: SUM_WIDTH] = coarse_2;
        assign fine_words_5[(k-1)*SUM_WIDTH +: SUM_WIDTH] = fine_5;

        always @(posedge clk_i) begin
          coarse_2 <= coarse[(k-1)*WIDTH + c*SUM_WIDTH +: SUM_WIDTH];
          fine_5   <= fine;
        end

        banked_ram #(.WIDTH(SUM_WIDTH), .WORDS(4 * TILES)) fine_ram (
          .clk_i          (clk_i),
          .write_i        (write_i && write_place == k),
          .write_bank_i   (write_bank_i),
          .write_address_i({write_tile, write_group}),
          .write_data_i   (thresholds[c*SUM_WIDTH +: SUM_WIDTH]),
          .read_bank_i    (read_bank_i),
          .read_address_i ({tile_3, high_3}),
          .read_data_o    (fine)
        );
      end

      if (OUTPUT_SCALING != 0) begin : g_scaling
        localparam SHIFT_WIDTH = $clog2(2 * SUM_WIDTH);
        localparam [3*SUM_WIDTH-1:0] SIGNS = {3{1'b1, {(SUM_WIDTH - 1){1'b0}}}};
        wire        [3*SUM_WIDTH-1:0] given_words_2 = coarse_words_2 ^ SIGNS;
        wire        [3*SUM_WIDTH-1:0] given_words_5 = fine_words_5 ^ SIGNS;
        wire signed [  SUM_WIDTH-1:0] summand_2 = sum_2[c*SUM_WIDTH +: SUM_WIDTH];
        wire signed [  SUM_WIDTH-1:0] multiplier_2 = given_words_2[SUM_WIDTH-1:0];
        wire        [SHIFT_WIDTH-1:0] shift_5 = given_words_5[SHIFT_WIDTH-1:0];
        wire signed [2*SUM_WIDTH-1:0] lowest_5 =
          {{SUM_WIDTH{given_words_5[2*SUM_WIDTH-1]}}, given_words_5[SUM_WIDTH +: SUM_WIDTH]};
        wire signed [2*SUM_WIDTH-1:0] highest_5 =
          {{SUM_WIDTH{given_words_5[3*SUM_WIDTH-1]}}, given_words_5[2*SUM_WIDTH +: SUM_WIDTH]};
        reg  signed [2*SUM_WIDTH-1:0] product_3;
        reg  signed [2*SUM_WIDTH-1:0] offset_3;
        reg  signed [2*SUM_WIDTH-1:0] total_4;
        reg  signed [2*SUM_WIDTH-1:0] total_5;
        wire signed [2*SUM_WIDTH-1:0] shifted_5 = total_5 >>> shift_5;

        always @(posedge clk_i) begin
          product_3 <= summand_2 * multiplier_2;
          offset_3  <= given_words_2[3*SUM_WIDTH-1:SUM_WIDTH];
          total_4   <= product_3 + offset_3;
          total_5   <= total_4;
        end

        assign scaled_5[c*8 +: 8] = (shifted_5 < lowest_5)  ? lowest_5[7:0] :
                                    (shifted_5 > highest_5) ? highest_5[7:0] : shifted_5[7:0];
        wire unused = &{1'b0, given_words_5[SUM_WIDTH-1:SHIFT_WIDTH]};
      end else begin : g_no_scaling
        assign scaled_5[c*8 +: 8] = 8'd0;
        wire unused = &{1'b0, coarse_words_2, fine_words_5};
      end
    end
  endgenerate

endmodule

`resetall
