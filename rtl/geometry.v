`resetall
`timescale 1ns / 1ps
`default_nettype none

`include "core_registers.vh"

// Derives from a layer's registers the sizes of the layer, and whether the core can run it.
//
// The outputs follow the registers four cycles later while load_i is high and hold while it is low,
// so the host may write the next layer's registers while a layer runs.
module geometry #(
  // Rows and columns of the array
  parameter ROWS = 8,
  parameter COLS = 8,
  // Bits of an activation, whether it is two's complement, and bits of a weight
  parameter ACT_WIDTH = 4,
  parameter ACT_SIGNED = 0,
  parameter WEIGHT_WIDTH = 4,
  // Bits of a sum
  parameter SUM_WIDTH = 24,
  // What one bank of each memory holds: pixels of ROWS activations, columns of ROWS weights, output
  // tiles with thresholds; and the output pixels of one output tile
  parameter ACT_WORDS = 8192,
  parameter WEIGHT_WORDS = 8192,
  parameter THRESHOLD_TILES = 64,
  parameter PIXELS = 1024,
  // 1: the output stage has mode SCALED
  parameter OUTPUT_SCALING = 0,
  // The widest output that can be pooled; 0: none
  parameter POOL_WIDTH = 0
) (
  input  wire        clk_i,
  input  wire        load_i,

  // The registers; see core.rdl
  input  wire [15:0] height_i,
  input  wire [15:0] width_i,
  input  wire [ 7:0] kernel_i,
  input  wire [ 7:0] stride_i,
  input  wire [ 7:0] padding_i,
  input  wire [15:0] input_tiles_i,
  input  wire [15:0] output_tiles_i,
  input  wire [31:0] images_i,
  input  wire [ 3:0] mode_i,
  input  wire        pool_i,

  // 0, or why the core cannot run the layer
  output reg  [ 3:0] error_o,

  // The map, the kernel and the output
  output reg  [ 7:0] height_o,
  output reg  [ 7:0] width_o,
  output reg  [ 8:0] out_height_o,
  output reg  [ 8:0] out_width_o,
  output reg  [ 2:0] kernel_o,
  output reg         stride2_o,
  output reg  [ 1:0] padding_o,
  // Kernel rows and columns that reach the map at all, a bit each
  output reg  [ 6:0] row_taps_o,
  output reg  [ 6:0] col_taps_o,
  output reg  [ 7:0] input_tiles_o,
  output reg  [ 7:0] output_tiles_o,
  output reg  [ 3:0] mode_o,
  output reg         pool_o,
  output reg  [15:0] images_o,

  // Pixels of an input map, of all input maps of an input tile, and of the output likewise
  output reg  [15:0] map_pixels_o,
  output reg  [15:0] tile_pixels_o,
  output reg  [15:0] out_map_pixels_o,
  output reg  [15:0] out_tile_pixels_o,
  // Words of weights of one pair of an input and an output tile; and the lengths of the layer's packets,
  // in words
  output reg  [15:0] tile_weights_o,
  output reg  [15:0] weight_words_o,
  output reg  [15:0] act_words_o,
  output reg  [15:0] threshold_words_o
);

  // A sum of n psums has at most the size n · ROWS · MAX_ACT · MAX_WEIGHT; the outermost two values stay
  // free, so that a threshold can be one that no sum reaches.
  localparam [31:0] MAX_ACT = (ACT_SIGNED != 0) ? 1 << (ACT_WIDTH - 1) : (1 << ACT_WIDTH) - 1;
  localparam [31:0] MAX_WEIGHT = 1 << (WEIGHT_WIDTH - 1);
  localparam [31:0] MAX_PSUMS = ((1 << (SUM_WIDTH - 1)) - 2) / (ROWS * MAX_ACT * MAX_WEIGHT);

  localparam [31:0] WEIGHT_LIMIT = WEIGHT_WORDS;
  localparam [31:0] ACT_LIMIT = ACT_WORDS;
  localparam [31:0] PIXEL_LIMIT = PIXELS;
  localparam [31:0] TILE_LIMIT = THRESHOLD_TILES;
  localparam [31:0] POOL_LIMIT = POOL_WIDTH;

  // An output has at most 16 times the pixels of its map (1 × 1, padded by 3, kernel 4 × 4), and maps
  // that do not fit are refused before.
  localparam OUT_WIDTH = (ACT_WORDS > 8192) ? $clog2(ACT_WORDS) + 5 : 18;
  // 255 output tiles, 255 input tiles, kernel 7 × 7
  localparam WEIGHTS_WIDTH = 22 + $clog2(COLS);

  // Stage 1: the sizes of the output
  wire       stride2 = stride_i[1];
  // (side + 2 padding − kernel) / stride + 1 = (side + more) / stride, in which only the side is wide
  wire [3:0] stride = stride2 ? 4'd2 : 4'd1;
  wire [3:0] more = {1'b0, padding_i[1:0], 1'b0} + stride - {1'b0, kernel_i[2:0]};
  wire [8:0] room_height = {1'b0, height_i[7:0]} + {{5{more[3]}}, more};
  wire [8:0] room_width = {1'b0, width_i[7:0]} + {{5{more[3]}}, more};
  // What a map must have for the kernel to fit
  wire [2:0] least = (kernel_i[2:0] > {padding_i[1:0], 1'b0}) ? kernel_i[2:0] - {padding_i[1:0], 1'b0} : 3'd0;

  reg  [ 3:0] error_1;
  reg  [ 8:0] out_height_1;
  reg  [ 8:0] out_width_1;
  reg  [15:0] map_pixels_1;
  reg  [ 5:0] kernel_taps_1;

  always @(posedge clk_i) begin
    out_height_1  <= stride2 ? {1'b0, room_height[8:1]} : room_height;
    out_width_1   <= stride2 ? {1'b0, room_width[8:1]} : room_width;
    map_pixels_1  <= height_i[7:0] * width_i[7:0];
    kernel_taps_1 <= kernel_i[2:0] * kernel_i[2:0];

    if (height_i - 1'b1 > 16'd254 || width_i - 1'b1 > 16'd254 || input_tiles_i - 1'b1 > 16'd254 ||
        output_tiles_i - 1'b1 > 16'd254 || images_i - 1'b1 > 32'd65534 || kernel_i == 0) begin
      error_1 <= `CORE_ERROR_SIZE;
    end else if (kernel_i > 8'd7) begin
      error_1 <= `CORE_ERROR_KERNEL;
    end else if (stride_i - 1'b1 > 8'd1) begin
      error_1 <= `CORE_ERROR_STRIDE;
    end else if (padding_i > 8'd3 || padding_i >= kernel_i) begin
      error_1 <= `CORE_ERROR_PADDING;
    end else if (height_i[7:0] < {5'd0, least} || width_i[7:0] < {5'd0, least}) begin
      error_1 <= `CORE_ERROR_KERNEL;
    end else if (mode_i > `CORE_MODE_CODES && !(OUTPUT_SCALING != 0 && mode_i == `CORE_MODE_SCALED)) begin
      error_1 <= `CORE_ERROR_MODE;
    end else begin
      error_1 <= `CORE_ERROR_NONE;
    end
  end

  // Stage 2: the sizes of one output tile, and the taps that reach the map
  reg  [31:0] pixels_2;
  wire [15:0] tile_pixels = pixels_2[15:0];
  // An output of more than 16 bits of pixels has a map that no memory holds.
  reg  [15:0] out_map_pixels_2;
  reg  [13:0] psums_2;
  reg  [ 6:0] row_taps_2;
  reg  [ 6:0] col_taps_2;

  wire [ 6:0] in_kernel = ~(7'h7f << kernel_i[2:0]);

  // Whether a tap reaches the map does not depend on how long a side is, if that is 6 or more.
  wire [ 2:0] near_height = (height_i[7:0] > 8'd7) ? 3'd7 : height_i[2:0];
  wire [ 2:0] near_width = (width_i[7:0] > 8'd7) ? 3'd7 : width_i[2:0];

  // Kernel rows (or columns) of which some output's input lies in the map, a bit each. For output 0 tap
  // `padding` uses input 0 and those after it the next ones, while the map has them. A tap one, two or
  // three before it needs an output as much further down, whose input is then the map's first; at
  // stride 2 a tap one or three before skips it and uses the second. (No kernel that may be padded by 3
  // has three outputs at stride 2 on a map of one pixel.)
  function [6:0] reaching(input [2:0] side, input [8:0] out_side, input is_stride2, input [1:0] padding);
    reg       one, two, three;
    reg [6:0] below;
    begin
      // A map has a first row; and a seventh one for the last tap of a kernel of 7 without padding.
      below    = {1'b1, side > 3'd5, side > 3'd4, side > 3'd3, side > 3'd2, side > 3'd1, 1'b1};
      one      = out_side > 9'd1 && (!is_stride2 || side > 3'd1);
      two      = out_side > (is_stride2 ? 9'd1 : 9'd2);
      three    = out_side > (is_stride2 ? 9'd2 : 9'd3);
      reaching = (below << padding) | ({4'd0, one, two, three} >> (2'd3 - padding));
    end
  endfunction

  always @(posedge clk_i) begin
    pixels_2         <= images_i[15:0] * map_pixels_1;
    out_map_pixels_2 <= out_height_1 * out_width_1;
    psums_2          <= input_tiles_i[7:0] * kernel_taps_1;
    row_taps_2       <= reaching(near_height, out_height_1, stride2, padding_i[1:0]) & in_kernel;
    col_taps_2       <= reaching(near_width, out_width_1, stride2, padding_i[1:0]) & in_kernel;
  end

  // Stage 3: the sizes of the whole layer
  reg  [             23:0] acts_3;
  reg  [    OUT_WIDTH-1:0] out_pixels_3;
  reg  [WEIGHTS_WIDTH-1:0] weights_3;
  reg                      too_many_pixels_3;

  always @(posedge clk_i) begin
    acts_3            <= input_tiles_i[7:0] * tile_pixels;
    out_pixels_3      <= images_i[15:0] * out_map_pixels_2;
    weights_3         <= output_tiles_i[7:0] * psums_2 * COLS[WEIGHTS_WIDTH-1:0];
    too_many_pixels_3 <= pixels_2[31:16] != 0;
  end

  // The lowest 16 bits of each size; and whether the size has more bits
  wire [15:0] act_words = acts_3[15:0];
  wire [15:0] out_tile_pixels = out_pixels_3[15:0];
  wire [15:0] weight_words = weights_3[15:0];
  wire        too_many_acts = acts_3[23:16] != 0 || too_many_pixels_3;
  wire        too_many_out_pixels = out_pixels_3[OUT_WIDTH-1:16] != 0;
  wire        too_many_weights = weights_3[WEIGHTS_WIDTH-1:16] != 0;

  // Stage 4: the outputs, which hold while a layer runs
  always @(posedge clk_i) begin
    if (load_i) begin
      if (error_1 != `CORE_ERROR_NONE) begin
        error_o <= error_1;
      end else if ({18'd0, psums_2} > MAX_PSUMS) begin
        error_o <= `CORE_ERROR_OVERFLOW;
      end else if (too_many_weights || {16'd0, weight_words} > WEIGHT_LIMIT) begin
        error_o <= `CORE_ERROR_WEIGHT_MEMORY;
      end else if (too_many_acts || {16'd0, act_words} > ACT_LIMIT) begin
        error_o <= `CORE_ERROR_ACT_MEMORY;
      end else if (too_many_out_pixels || {16'd0, out_tile_pixels} > PIXEL_LIMIT) begin
        error_o <= `CORE_ERROR_ACCUMULATOR;
      end else if (mode_i[2:1] != 2'd0 && {24'd0, output_tiles_i[7:0]} > TILE_LIMIT) begin
        error_o <= `CORE_ERROR_THRESHOLD_MEMORY;
      end else if (pool_i && (mode_i != `CORE_MODE_CODES || out_height_1[0] || out_width_1[0] ||
                              {23'd0, out_width_1} > POOL_LIMIT)) begin
        error_o <= `CORE_ERROR_POOLING;
      end else begin
        error_o <= `CORE_ERROR_NONE;
      end

      height_o          <= height_i[7:0];
      width_o           <= width_i[7:0];
      out_height_o      <= out_height_1;
      out_width_o       <= out_width_1;
      kernel_o          <= kernel_i[2:0];
      stride2_o         <= stride2;
      padding_o         <= padding_i[1:0];
      row_taps_o        <= row_taps_2;
      col_taps_o        <= col_taps_2;
      input_tiles_o     <= input_tiles_i[7:0];
      output_tiles_o    <= output_tiles_i[7:0];
      mode_o            <= mode_i;
      pool_o            <= pool_i;
      images_o          <= images_i[15:0];
      map_pixels_o      <= map_pixels_1[15:0];
      tile_pixels_o     <= tile_pixels;
      out_map_pixels_o  <= out_map_pixels_2;
      out_tile_pixels_o <= out_tile_pixels;
      tile_weights_o    <= kernel_taps_1 * COLS[15:0];
      weight_words_o    <= weight_words;
      act_words_o       <= act_words;
      threshold_words_o <= {4'd0, output_tiles_i[7:0], 4'd0};
    end
  end

endmodule

`resetall
