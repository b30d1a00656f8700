`resetall
`timescale 1ns / 1ps
`default_nettype none

// Walks the output pixels of a tile, image by image, row by row: which activation each of them needs.
module address_generator (
  input  wire        clk_i,
  input  wire        rst_i,

  // The layer, which can run and so fits in the memories; see geometry.v. It stays during a walk
  input  wire [ 7:0] width_i,
  input  wire [ 8:0] out_width_i,
  input  wire        stride2_i,
  input  wire [15:0] images_i,
  input  wire [15:0] map_pixels_i,
  input  wire [15:0] out_map_pixels_i,

  // Walk this tile (see sequencer.v), from the next cycle on; only while ready_o is high. The tile has an
  // activation in each image: more rows and columns than lie outside
  input  wire        take_i,
  input  wire [15:0] act_address_i,
  input  wire [ 9:0] pixel_i,
  input  wire [ 8:0] rows_i,
  input  wire [ 8:0] cols_i,
  input  wire [ 1:0] rows_outside_i,
  input  wire [ 1:0] cols_outside_i,
  input  wire        final_i,
  // Nothing is left to walk after this cycle
  output wire        ready_o,

  // A finished pixel needs a place at the output; without one, the walk waits
  input  wire        reservable_i,
  output wire        reserve_o,
  output wire        waiting_o,

  // One output pixel; swap with the first of a tile. Inside: its activation lies in the map; the first
  // one's always does. The others are visited because they are finished.
  output wire        valid_o,
  output wire        swap_o,
  output wire        inside_o,
  output wire        final_o,
  output wire [15:0] act_address_o,
  output wire [15:0] pixel_o
);

  reg         active;
  reg         first;
  reg         final_tile;
  reg  [ 8:0] rows;
  reg  [ 8:0] cols;
  reg  [ 1:0] rows_outside;
  reg  [ 1:0] cols_outside;

  // What is left, this one included; and where it is: the pixel, and the start of its row and map
  reg  [15:0] images_left;
  reg  [ 8:0] rows_left;
  reg  [ 8:0] cols_left;
  reg  [15:0] act;
  reg  [15:0] act_row;
  reg  [15:0] act_map;
  reg  [15:0] pixel;
  reg  [15:0] pixel_row;
  reg  [15:0] pixel_map;

  wire [15:0] next_act_row = act_row + (stride2_i ? {7'd0, width_i, 1'b0} : {8'd0, width_i});
  wire [15:0] next_act_map = act_map + map_pixels_i;
  wire [15:0] next_pixel_row = pixel_row + {7'd0, out_width_i};
  wire [15:0] next_pixel_map = pixel_map + out_map_pixels_i;

  // Known a cycle ahead, since "ready" is on the longest way
  reg last_col;
  reg last_row;
  reg last_image;

  assign waiting_o     = active && final_tile && !reservable_i;
  assign valid_o       = active && !waiting_o;
  assign reserve_o     = valid_o && final_tile;
  assign swap_o        = first;
  assign inside_o      = rows_left > {7'd0, rows_outside} && cols_left > {7'd0, cols_outside};
  assign final_o       = final_tile;
  assign act_address_o = act;
  assign pixel_o       = pixel;
  assign ready_o       = !active || (valid_o && last_col && last_row && last_image);

  always @(posedge clk_i) begin
    if (take_i) begin
      first        <= 1'b1;
      final_tile   <= final_i;
      rows         <= rows_i;
      cols         <= cols_i;
      rows_outside <= rows_outside_i;
      cols_outside <= cols_outside_i;
      images_left  <= images_i;
      rows_left    <= rows_i;
      cols_left    <= cols_i;
      last_image   <= images_i == 16'd1;
      last_row     <= rows_i == 9'd1;
      last_col     <= cols_i == 9'd1;
      act          <= act_address_i;
      act_row      <= act_address_i;
      act_map      <= act_address_i;
      pixel        <= {6'd0, pixel_i};
      pixel_row    <= {6'd0, pixel_i};
      pixel_map    <= {6'd0, pixel_i};
    end else if (valid_o) begin
      first <= 1'b0;
      if (!last_col) begin
        cols_left <= cols_left - 1'b1;
        last_col  <= cols_left == 9'd2;
        act       <= act + (stride2_i ? 16'd2 : 16'd1);
        pixel     <= pixel + 1'b1;
      end else if (!last_row) begin
        cols_left <= cols;
        last_col  <= cols == 9'd1;
        rows_left <= rows_left - 1'b1;
        last_row  <= rows_left == 9'd2;
        act       <= next_act_row;
        act_row   <= next_act_row;
        pixel     <= next_pixel_row;
        pixel_row <= next_pixel_row;
      end else begin
        cols_left   <= cols;
        last_col    <= cols == 9'd1;
        rows_left   <= rows;
        last_row    <= rows == 9'd1;
        images_left <= images_left - 1'b1;
        last_image  <= images_left == 16'd2;
        act         <= next_act_map;
        act_row     <= next_act_map;
        act_map     <= next_act_map;
        pixel       <= next_pixel_map;
        pixel_row   <= next_pixel_map;
        pixel_map   <= next_pixel_map;
      end
    end
  end

  always @(posedge clk_i) begin
    if (rst_i)        active <= 1'b0;
    else if (take_i)  active <= 1'b1;
    else if (ready_o) active <= 1'b0;
  end

endmodule

`resetall
