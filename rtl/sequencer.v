`resetall
`timescale 1ns / 1ps
`default_nettype none

// Steps through a layer's tiles: output tile, input tile, kernel row, kernel column.
//
// Kernel rows that do not reach the map are left out, and the row "padding" comes last (then, for the
// 3 × 3 kernels, the centre tap is the last one): it reaches every output row, unless the layer is
// padded by half the kernel or more. So every sum is finished with the last tap of the last input tile,
// in the order of the pixels. The columns likewise.
module sequencer #(
  // Columns of the array
  parameter COLS = 8
) (
  input  wire        clk_i,

  // The layer, which can run; see geometry.v. It stays from the last cycle of restart_i on
  input  wire [ 7:0] height_i,
  input  wire [ 7:0] width_i,
  input  wire [ 8:0] out_height_i,
  input  wire [ 8:0] out_width_i,
  input  wire [ 2:0] kernel_i,
  input  wire        stride2_i,
  input  wire [ 1:0] padding_i,
  input  wire [ 6:0] row_taps_i,
  input  wire [ 6:0] col_taps_i,
  input  wire [ 7:0] input_tiles_i,
  input  wire [ 7:0] output_tiles_i,
  input  wire [15:0] tile_pixels_i,
  input  wire [15:0] tile_weights_i,

  // Go to the first tile. prime_i brings it to the outputs, at the earliest in the fourth cycle after the
  // last one of restart_i; after that, while tile_valid_o, take_i brings the next one, at least four
  // cycles from one to the next
  input  wire        restart_i,
  input  wire        prime_i,
  input  wire        take_i,

  // The tile; invalid after the last one was taken
  output reg         tile_valid_o,
  // The tile's weights
  output reg  [15:0] weight_address_o,
  // The tile's first activation, and the output pixel that needs it, in one of the first four rows
  output reg  [15:0] act_address_o,
  output reg  [ 9:0] pixel_o,
  // Output rows and columns of the tile; and the number of the last ones whose inputs lie outside the
  // map, at most the padding
  output reg  [ 8:0] rows_o,
  output reg  [ 8:0] cols_o,
  output reg  [ 1:0] rows_outside_o,
  output reg  [ 1:0] cols_outside_o,
  // The last tile of an output tile: its pixels are finished
  output reg         final_o
);

  // The lowest bit set; 0 if there is none.
  function [2:0] lowest(input [6:0] bits);
    integer i;
    begin
      lowest = 3'd0;
      for (i = 6; i >= 0; i = i - 1) begin
        if (bits[i]) lowest = i[2:0];
      end
    end
  endfunction

  // The tap after this one: the next above that reaches the map, and after the top the lowest. Between
  // two that reach it lies at most one that does not (on a map of one pixel, at stride 2).
  function [2:0] following(input [6:0] taps, input [2:0] tap);
    reg [6:0] one_above;
    reg [6:0] two_above;
    begin
      one_above = {1'b0, taps[6:1]};
      two_above = {2'b00, taps[6:2]};
      following = one_above[tap] ? tap + 3'd1 : two_above[tap] ? tap + 3'd2 : lowest(taps);
    end
  endfunction

  // Indices of the tile after the one at the outputs
  reg         exhausted;
  reg  [ 7:0] output_tiles_left;
  reg  [ 7:0] input_tiles_left;
  reg  [ 2:0] ky;
  reg  [ 2:0] kx;
  reg  [15:0] act_base;
  reg  [15:0] weight_base;

  // One cycle after a step: the indices of the next tile
  reg  [ 2:0] next_ky;
  reg  [ 2:0] next_kx;
  reg         last_kx;
  reg         last_tap;
  reg         last_input_tile;
  reg         last_output_tile;
  reg  [15:0] next_act_base;
  reg  [15:0] next_weight_base;

  always @(posedge clk_i) begin
    next_kx          <= following(col_taps_i, kx);
    next_ky          <= following(row_taps_i, ky);
    last_kx          <= kx == {1'b0, padding_i};
    last_tap         <= kx == {1'b0, padding_i} && ky == {1'b0, padding_i};
    last_input_tile  <= input_tiles_left == 8'd1;
    last_output_tile <= output_tiles_left == 8'd1;
    next_act_base    <= act_base + tile_pixels_i;
    next_weight_base <= weight_base + tile_weights_i;
  end

  wire step = prime_i || take_i;

  always @(posedge clk_i) begin
    if (restart_i) begin
      exhausted         <= 1'b0;
      output_tiles_left <= output_tiles_i;
      input_tiles_left  <= input_tiles_i;
      ky                <= following(row_taps_i, {1'b0, padding_i});
      kx                <= following(col_taps_i, {1'b0, padding_i});
      act_base          <= 16'd0;
      weight_base       <= 16'd0;
    end else if (step) begin
      kx <= next_kx;
      if (last_kx) begin
        ky <= next_ky;
      end
      if (last_tap) begin
        input_tiles_left <= last_input_tile ? input_tiles_i : input_tiles_left - 1'b1;
        act_base         <= last_input_tile ? 16'd0 : next_act_base;
        weight_base      <= next_weight_base;
      end
      if (last_tap && last_input_tile) begin
        output_tiles_left <= output_tiles_left - 1'b1;
        exhausted         <= last_output_tile;
      end
    end
  end

  // Two cycles after a step: the outputs that the tap reaches
  wire [1:0] row_first;
  wire [7:0] row_count;
  wire [2:0] row_origin;
  wire [1:0] col_first;
  wire [7:0] col_count;
  wire [2:0] col_origin;

  tap_range row_range (
    .clk_i     (clk_i),
    .side_i    (height_i),
    .out_side_i(out_height_i),
    .stride2_i (stride2_i),
    .padding_i (padding_i),
    .tap_i     (ky),
    .first_o   (row_first),
    .count_o   (row_count),
    .origin_o  (row_origin)
  );

  tap_range col_range (
    .clk_i     (clk_i),
    .side_i    (width_i),
    .out_side_i(out_width_i),
    .stride2_i (stride2_i),
    .padding_i (padding_i),
    .tap_i     (kx),
    .first_o   (col_first),
    .count_o   (col_count),
    .origin_o  (col_origin)
  );

  reg  [ 1:0] row_first_q;
  reg  [ 7:0] row_count_q;
  reg  [10:0] row_act_q;
  reg  [ 1:0] col_first_q;
  reg  [ 7:0] col_count_q;
  reg  [ 2:0] col_origin_q;
  reg  [ 5:0] tap_q;
  reg         final_q;

  always @(posedge clk_i) begin
    row_first_q  <= row_first;
    row_count_q  <= row_count;
    row_act_q    <= row_origin * width_i;
    col_first_q  <= col_first;
    col_count_q  <= col_count;
    col_origin_q <= col_origin;
    tap_q        <= ky * kernel_i + {3'd0, kx};
    final_q      <= last_tap && last_input_tile;
  end

  // At most 3 rows and columns lie outside, because a padding is at most 3.
  wire [ 1:0] rows_outside = out_height_i[1:0] - row_count_q[1:0];
  wire [ 1:0] cols_outside = out_width_i[1:0] - col_count_q[1:0];

  // Three cycles after a step: the addresses of the weights, of the first activation and of the first pixel
  reg  [15:0] weight_address_q;
  reg  [15:0] act_address_q;
  reg  [ 9:0] pixel_q;
  wire [ 9:0] row_pixel = row_first_q * out_width_i;

  always @(posedge clk_i) begin
    weight_address_q <= weight_base + {10'd0, tap_q} * COLS[15:0];
    act_address_q    <= act_base + {5'd0, row_act_q} + {13'd0, col_origin_q};
    pixel_q          <= row_pixel + {8'd0, col_first_q};
  end

  always @(posedge clk_i) begin
    if (restart_i) begin
      tile_valid_o <= 1'b0;
    end else if (step) begin
      tile_valid_o <= !exhausted;
    end
    if (step) begin
      weight_address_o <= weight_address_q;
      act_address_o    <= act_address_q;
      pixel_o          <= pixel_q;
      // The final tile visits every output pixel, also those that its tap does not reach.
      rows_o           <= final_q ? out_height_i : {1'b0, row_count_q};
      cols_o           <= final_q ? out_width_i : {1'b0, col_count_q};
      rows_outside_o   <= final_q ? rows_outside : 2'd0;
      cols_outside_o   <= final_q ? cols_outside : 2'd0;
      final_o          <= final_q;
    end
  end

endmodule

`resetall
