  // Words of the activations' memory and places of the accumulator
  localparam ACT_WORDS = 1024;
  localparam PIXELS = 512;

  reg started = 1'b0;
  always @(posedge clk_i) started <= 1'b1;
  wire [73:0] layer = {width_i, out_width_i, stride2_i, images_i, map_pixels_i, out_map_pixels_i};
  reg [73:0] past_layer;
  always @(posedge clk_i) past_layer <= layer;
  wire [15:0] row_step = stride2_i ? {7'd0, width_i, 1'b0} : {8'd0, width_i};

  // The tile that is walked, where in it, and by addition how far from its first activation and pixel
  reg walking;
  reg final_of;
  reg [8:0] rows_of;
  reg [8:0] cols_of;
  reg [1:0] rows_outside_of;
  reg [1:0] cols_outside_of;
  reg [15:0] act_of;
  reg [15:0] pixel_of;
  reg [15:0] image;
  reg [8:0] row;
  reg [8:0] col;
  reg [15:0] map_at;
  reg [15:0] row_at;
  reg [15:0] pixel_map_at;
  reg [15:0] pixel_row_at;
  reg [15:0] map_start;
  reg [15:0] row_start;
  reg [15:0] map_pixel;
  reg [15:0] row_pixel;
  wire at_last_col = col == cols_of - 1;
  wire at_last_row = row == rows_of - 1;
  wire at_last_image = image == images_i - 1;
  wire at_end = at_last_col && at_last_row && at_last_image;

  always @(posedge clk_i) begin
    if (take_i) begin
      {walking, final_of} <= {1'b1, final_i};
      {rows_of, cols_of, rows_outside_of, cols_outside_of} <= {rows_i, cols_i, rows_outside_i, cols_outside_i};
      {act_of, pixel_of} <= {act_address_i, 6'd0, pixel_i};
      {map_at, row_at, pixel_map_at, pixel_row_at} <= {{2{act_address_i}}, {2{6'd0, pixel_i}}};
      {image, row, col, map_start, row_start, map_pixel, row_pixel} <= 0;
    end else if (valid_o) begin
      if (at_end) walking <= 1'b0;
      col <= at_last_col ? 0 : col + 1'b1;
      if (at_last_col) begin
        row_at       <= (at_last_row ? map_at + map_pixels_i : row_at + row_step);
        pixel_row_at <= (at_last_row ? pixel_map_at + out_map_pixels_i : pixel_row_at + out_width_i);
        row       <= at_last_row ? 0 : row + 1'b1;
        row_start <= at_last_row ? 0 : row_start + row_step;
        row_pixel <= at_last_row ? 0 : row_pixel + out_width_i;
      end
      if (at_last_col && at_last_row) begin
        image     <= image + 1'b1;
        {map_at, pixel_map_at} <= {map_at + map_pixels_i, pixel_map_at + out_map_pixels_i};
        map_start <= map_start + map_pixels_i;
        map_pixel <= map_pixel + out_map_pixels_i;
      end
    end
    if (rst_i) walking <= 1'b0;
  end

  wire [15:0] col_offset = stride2_i ? {6'd0, col, 1'b0} : {7'd0, col};

  // The distances from the first to the last activation and pixel of the tile: over maps, rows, columns
  function [15:0] maps(input [2:0] count, input [7:0] pixels);
    maps = (count - 3'd1) * pixels;
  endfunction
  function [15:0] to_last(input [3:0] count, input [5:0] step);
    to_last = (count - 4'd1) * step;
  endfunction
  wire [15:0] maps_act = maps(images_i[2:0], map_pixels_i[7:0]);
  wire [15:0] maps_pixel = maps(images_i[2:0], out_map_pixels_i[7:0]);
  wire [15:0] rows_act = to_last(rows_i[3:0] - {2'd0, rows_outside_i}, row_step[5:0]);
  wire [15:0] rows_pixel = to_last(rows_i[3:0], {1'b0, out_width_i[4:0]});
  wire [19:0] last_act = act_address_i + maps_act + rows_act + ((cols_i - cols_outside_i - 9'd1) << stride2_i);
  wire [19:0] last_pixel = pixel_i + maps_pixel + rows_pixel + (cols_i - 9'd1);
  // The same distances for the tile that is walked, and the parts of them that are left
  reg [15:0] maps_act_of;
  reg [15:0] maps_pixel_of;
  reg [15:0] rows_act_of;
  reg [15:0] rows_pixel_of;
  reg [15:0] maps_act_left;
  reg [15:0] maps_pixel_left;
  reg [15:0] rows_act_left;
  reg [15:0] rows_pixel_left;
  always @(posedge clk_i) begin
    if (take_i) begin
      {maps_act_of, maps_pixel_of, rows_act_of, rows_pixel_of} <= {maps_act, maps_pixel, rows_act, rows_pixel};
      {maps_act_left, maps_pixel_left, rows_act_left, rows_pixel_left} <= {maps_act, maps_pixel, rows_act, rows_pixel};
    end else if (valid_o && at_last_col) begin
      rows_act_left   <= at_last_row ? rows_act_of : rows_act_left - row_step;
      rows_pixel_left <= at_last_row ? rows_pixel_of : rows_pixel_left - out_width_i;
      if (at_last_row) {maps_act_left, maps_pixel_left} <= {maps_act_left - map_pixels_i, maps_pixel_left - out_map_pixels_i};
    end
  end
  wire [19:0] last_act_of = act_of + maps_act_of + rows_act_of + ((cols_of - cols_outside_of - 9'd1) << stride2_i);
  wire [19:0] last_pixel_of = pixel_of + maps_pixel_of + rows_pixel_of + (cols_of - 9'd1);

  reg waited = 1'b0;
  reg [33:0] waited_with;
  wire [33:0] shows = {swap_o, inside_o, act_address_o, pixel_o};
  always @(posedge clk_i) {waited, waited_with} <= {waiting_o && !rst_i, shows};

  always @* begin
    // A run begins with a reset.
    reset_first: assume (started || rst_i);
    // A tile is taken only when nothing is left to walk.
    take_when_ready: assume (!started || !take_i || ready_o);
    // The layer stays while a tile is walked.
    layer_stays: assume (!started || !walking || layer == past_layer);
    // A tile has rows, columns and images, and in each image an activation.
    tile_is_something: assume (!take_i || (images_i != 0 && rows_i > rows_outside_i && cols_i > cols_outside_i));
    // The factors are small; only the proof that addresses stay in the memories needs this, because it multiplies.
    small_sizes: assume (images_i < 8 && map_pixels_i < 256 && out_map_pixels_i < 256 && width_i < 32 && out_width_i < 32 && (!take_i || rows_i < 16));
    // The layer fits in the memories, and so do the tile's last activation and pixel; see geometry.v.
    tile_fits: assume (!take_i || (last_act < ACT_WORDS && last_pixel < PIXELS));
    if (started) begin
      // The registers count what is left of the walk.
      lemma_walk: assert (active == walking && (!walking || (image < images_i && row < rows_of && col < cols_of &&
        images_left == images_i - image && rows_left == rows_of - row && cols_left == cols_of - col &&
        last_image == at_last_image && last_row == at_last_row && last_col == at_last_col &&
        rows == rows_of && cols == cols_of && rows_outside == rows_outside_of && cols_outside == cols_outside_of &&
        rows_outside < rows && cols_outside < cols && final_tile == final_of && first == (image == 0 && row == 0 && col == 0))));
      // The registers are the starts of the map and of the row.
      lemma_address: assert (!walking || (act_row == row_at && act_map == map_at && pixel_row == pixel_row_at && pixel_map == pixel_map_at &&
                             act == 16'(row_at + col_offset) && pixel == 16'(pixel_row_at + col)));
      // The starts of map and row lie at their offsets from the tile's first activation and pixel.
      lemma_starts: assert (!walking || (map_at == 16'(act_of + map_start) && row_at == 16'(map_at + row_start) &&
                            pixel_map_at == 16'(pixel_of + map_pixel) && pixel_row_at == 16'(pixel_map_at + row_pixel)));
      // The distance to the last map is the product of the number of maps after this one and their size.
      lemma_maps_left: assert (!walking || (images_i < 8 && maps_act_left == maps(images_left[2:0], map_pixels_i[7:0]) &&
                               maps_pixel_left == maps(images_left[2:0], out_map_pixels_i[7:0]) &&
                               map_start + maps_act_left == maps_act_of && maps_act_left <= maps_act_of &&
                               map_pixel + maps_pixel_left == maps_pixel_of && maps_pixel_left <= maps_pixel_of));
      // The distance to the last row is the product of the number of rows after this one and their step.
      lemma_rows_left: assert (!walking || (rows < 16 && rows_pixel_left == to_last(rows_left[3:0], {1'b0, out_width_i[4:0]}) &&
                               rows_pixel_of == to_last(rows[3:0], {1'b0, out_width_i[4:0]}) &&
                               row_pixel + rows_pixel_left == rows_pixel_of && rows_pixel_left <= rows_pixel_of &&
                               row_start + rows_act_left == rows_act_of && rows_act_of == to_last(rows[3:0] - {2'd0, rows_outside}, row_step[5:0]) &&
                               (rows_left <= rows_outside || (rows_act_left == to_last(rows_left[3:0] - {2'd0, rows_outside}, row_step[5:0]) &&
                                                              rows_act_left <= rows_act_of))));
      // The last activation and pixel lie in the memories.
      lemma_fits: assert (!walking || (last_act_of < ACT_WORDS && last_pixel_of < PIXELS));
      // The walk adds the strides of columns, rows and images to the tile's first activation and pixel, in this order.
      walks_in_order: assert (!walking || (act_address_o == 16'(row_at + col_offset) && pixel_o == 16'(pixel_row_at + col)));
      // An activation that is used never lies outside the memory.
      activation_in_memory: assert (!valid_o || !inside_o || act_address_o < ACT_WORDS);
      // A pixel never lies outside the accumulator's memory.
      pixel_in_memory: assert (!valid_o || pixel_o < PIXELS);
      // The walk goes on while pixels of the tile are left, and ends with the last one.
      ends_with_the_last: assert (ready_o == (!walking || (valid_o && at_end)));
      // A pixel comes in each cycle of a walk, except while a finished one finds no place.
      one_a_cycle: assert (valid_o == (walking && (!final_of || reservable_i)) && waiting_o == (walking && !valid_o));
      // A place is reserved for each finished pixel, and only while there is one.
      reserves_for_finished: assert (reserve_o == (valid_o && final_of) && (!reserve_o || reservable_i));
      // The first pixel of a tile, and no other, swaps the weights.
      swaps_with_the_first: assert (!valid_o || swap_o == (image == 0 && row == 0 && col == 0));
      // Inside are the tile's first rows and columns, except those outside.
      inside_are_the_first: assert (!valid_o || inside_o == (row < rows_of - rows_outside_of && col < cols_of - cols_outside_of));
      // A pixel that has to wait stays.
      holds_while_stalled: assert (!waited || (walking && shows == waited_with));
      // A tile right after another, which had a column outside
      next_tile: cover (valid_o && at_end && take_i && cols_outside_of == 1 && image == 1);
      // The last word of the memory
      last_word: cover (valid_o && inside_o && act_address_o == ACT_WORDS - 1 && pixel_o == PIXELS - 1);
    end
  end
