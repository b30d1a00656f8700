  // Since the first restart; a cycle later; and since the first tile after it came to the outputs
  reg restarted = 1'b0;
  reg settled = 1'b0;
  reg started = 1'b0;
  // Cycles since the last step or restart, 7 for more; whether the first tile was asked for
  reg [2:0] age;
  reg primed;
  always @(posedge clk_i) begin
    restarted <= 1'b1;
    settled   <= restarted;
    started   <= started || (settled && step);
    age     <= (restart_i || step) ? 3'd1 : (age == 3'd7) ? age : age + 1'b1;
    primed  <= !restart_i && (primed || prime_i);
  end

  wire [104:0] layer = {height_i, width_i, out_height_i, out_width_i, kernel_i, stride2_i, padding_i, row_taps_i,
                        col_taps_i, input_tiles_i, output_tiles_i, tile_pixels_i, tile_weights_i};
  reg [104:0] past_layer;
  always @(posedge clk_i) past_layer <= layer;

  // The tile at the outputs and the one before: output tile, input tile, kernel row, kernel column
  reg [7:0] o_here;
  reg [7:0] i_here;
  reg [2:0] ky_here;
  reg [2:0] kx_here;
  reg [7:0] o_before;
  reg [7:0] i_before;
  reg [2:0] ky_before;
  reg [2:0] kx_before;
  reg first_tile = 1'b0;
  reg next_tile = 1'b0;
  reg [15:0] weights_here;
  reg [15:0] acts_here;
  always @(posedge clk_i) begin
    first_tile <= prime_i && !restart_i && restarted;
    next_tile  <= take_i && !restart_i && restarted;
    if (step) begin
      {o_before, i_before, ky_before, kx_before} <= {o_here, i_here, ky_here, kx_here};
      {o_here, i_here, ky_here, kx_here} <=
        {output_tiles_i - output_tiles_left, input_tiles_i - input_tiles_left, ky, kx};
    end
    // Where the weights and activations of a tile start, by addition
    if (prime_i) {weights_here, acts_here} <= 32'd0;
    else if (take_i && ky_here == padding_i && kx_here == padding_i) begin
      weights_here <= weights_here + tile_weights_i;
      acts_here    <= (i_here == input_tiles_i - 1) ? 16'd0 : acts_here + tile_pixels_i;
    end
  end

  // Taps in their order: the one after the padding is 0, the padding itself is 6. And any tap between.
  (* anyconst *) reg [2:0] tap;
  function [2:0] rank(input [2:0] of);
    rank = (of > padding_i) ? of - padding_i - 3'd1 : of + 3'd6 - padding_i;
  endfunction
  function first(input [6:0] taps, input [2:0] of);
    first = taps[of] && !(taps[tap] && rank(tap) < rank(of));
  endfunction
  function after(input [6:0] taps, input [2:0] of, input [2:0] previous);
    after = taps[of] && rank(of) > rank(previous) && !(taps[tap] && rank(tap) < rank(of) && rank(tap) > rank(previous));
  endfunction

  // Whether one index (output tile, input tile, kernel row, kernel column) is the last, or follows another
  function is_last(input [21:0] index);
    is_last = index == {output_tiles_i - 8'd1, input_tiles_i - 8'd1, 1'b0, padding_i, 1'b0, padding_i};
  endfunction
  function follows(input [21:0] index, input [21:0] of);
    reg [7:0] o, i, o_of, i_of;
    reg [2:0] y, x, y_of, x_of;
    begin
      {o, i, y, x} = index;
      {o_of, i_of, y_of, x_of} = of;
      if (x_of != padding_i)             follows = after(col_taps_i, x, x_of) && {o, i, y} == {o_of, i_of, y_of};
      else if (!first(col_taps_i, x))    follows = 1'b0;
      else if (y_of != padding_i)        follows = after(row_taps_i, y, y_of) && {o, i} == {o_of, i_of};
      else if (!first(row_taps_i, y))    follows = 1'b0;
      else if (i_of != input_tiles_i - 1) follows = i == i_of + 1 && o == o_of;
      else                               follows = i == 0 && o == o_of + 1;
    end
  endfunction
  wire [21:0] index_here = {o_here, i_here, ky_here, kx_here};
  wire [21:0] index_before = {o_before, i_before, ky_before, kx_before};
  wire [21:0] index_next = {output_tiles_i - output_tiles_left, input_tiles_i - input_tiles_left, ky, kx};
  wire [21:0] left_here = {output_tiles_i - o_here, input_tiles_i - i_here, 3'd6 - rank(ky_here), 3'd6 - rank(kx_here)};
  wire [21:0] left_before =
    {output_tiles_i - o_before, input_tiles_i - i_before, 3'd6 - rank(ky_before), 3'd6 - rank(kx_before)};

  // The first output that a tap reaches: (padding - tap) / stride, rounded up; and the input that it uses
  function [1:0] first_output(input [2:0] of);
    first_output = (of >= padding_i) ? 3'd0 : stride2_i ? (padding_i - of + 3'd1) >> 1 : padding_i - of;
  endfunction
  function [2:0] first_input(input [2:0] of);
    first_input = (stride2_i ? {first_output(of), 1'b0} : first_output(of)) + of - padding_i;
  endfunction
  function reaches(input [2:0] of, input [7:0] side, input [8:0] out_side);
    reaches = first_output(of) < out_side && first_input(of) < side;
  endfunction

  wire [6:0] rows_reaching;
  wire [6:0] cols_reaching;
  genvar t;
  generate
    for (t = 0; t < 7; t = t + 1) begin : g_tap
      wire [2:0] of = t;
      assign rows_reaching[t] = of < kernel_i && reaches(of, height_i, out_height_i);
      assign cols_reaching[t] = of < kernel_i && reaches(of, width_i, out_width_i);
    end
  endgenerate

  // The side of the output: (side + 2 padding - kernel) / stride + 1. 0 if the kernel does not fit
  function [8:0] out_side(input [7:0] side);
    reg [9:0] padded;
    begin
      padded   = {2'b0, side} + {7'd0, padding_i, 1'b0};
      out_side = (padded < kernel_i) ? 9'd0 : 9'd1 + ((padded - kernel_i) >> stride2_i);
    end
  endfunction

  // Any output row or column, and whether the tile's tap reaches it
  (* anyconst *) reg [8:0] out;
  wire signed [15:0] row_used = (stride2_i ? {6'd0, out, 1'b0} : {7'd0, out}) - padding_i + ky_here;
  wire signed [15:0] col_used = (stride2_i ? {6'd0, out, 1'b0} : {7'd0, out}) - padding_i + kx_here;
  wire row_reached = out < out_height_i && row_used >= 0 && row_used < $signed({8'd0, height_i});
  wire col_reached = out < out_width_i && col_used >= 0 && col_used < $signed({8'd0, width_i});
  wire [1:0] first_row = first_output(ky_here);
  wire [1:0] first_col = first_output(kx_here);
  wire [5:0] tap_here = ky_here * kernel_i + {3'd0, kx_here};
  wire [10:0] row_start = first_input(ky_here) * width_i;
  wire [10:0] row_pixels = first_row * out_width_i;
  wire is_final = ky_here == padding_i && kx_here == padding_i && i_here == input_tiles_i - 1;

  wire here = primed && tile_valid_o && !restart_i;

  always @* begin
    // A run begins with a restart.
    restart_first: assume (restarted || restart_i);
    // The layer stays from the last cycle of a restart on.
    layer_stays: assume (!restarted || restart_i || layer == past_layer);
    // Layers as geometry.v makes them: sides, tiles and kernel are at least 1, the padding is smaller than the kernel.
    layer_sizes: assume (height_i != 0 && width_i != 0 && out_height_i != 0 && out_width_i != 0 &&
                         input_tiles_i != 0 && output_tiles_i != 0 && kernel_i != 0 && padding_i < kernel_i);
    // What geometry.v counts fits: 49 words of weights a column at most, and in 16 bits all input tiles' activations.
    layer_fits: assume (tile_weights_i <= 49 * COLS && tile_weights_i % COLS == 0 && (input_tiles_i == 1 || !tile_pixels_i[15]));
    // The output is as large as kernel, stride and padding make it.
    output_sizes: assume (out_height_i == out_side(height_i) && out_width_i == out_side(width_i));
    // The taps are those of the kernel that reach an output row, or column.
    layer_taps: assume (row_taps_i == rows_reaching && col_taps_i == cols_reaching);
    // Steps come at least four cycles after another or a restart.
    steps_apart: assume (!restarted || !step || age >= 4);
    // After a restart comes one prime, then takes of valid tiles.
    one_prime_then_takes: assume (!restarted || (!(prime_i && take_i) && (!prime_i || !primed) && (!take_i || restart_i || (primed && tile_valid_o))));
    // Every tap, and every output
    any_tap: assume (tap <= 6);
    // A sequence is restarted before it starts.
    lemma_started: assert (!started || (settled && restarted));
    if (restarted) begin
      // Weights begin with a column.
      lemma_columns: assert (weight_base % COLS == 0 &&
                             (!settled || next_weight_base % COLS == 0 && weight_address_q % COLS == 0) &&
                             (!started || weight_address_o % COLS == 0));
      // The next indices are the layer's: the first ones, then those that follow the tile at the outputs.
      lemma_next: assert (restart_i || primed && !tile_valid_o || input_tiles_left != 0 && input_tiles_left <= input_tiles_i && output_tiles_left <= output_tiles_i &&
                          row_taps_i[ky] && col_taps_i[kx] && exhausted == (output_tiles_left == 0) &&
                          (primed || (index_next[21:6] == 0 && !exhausted && first(row_taps_i, ky) && first(col_taps_i, kx))));
      // The next index follows the one at the outputs, unless that is the last.
      lemma_here: assert (!here || (o_here < output_tiles_i && i_here < input_tiles_i && row_taps_i[ky_here] && col_taps_i[kx_here] &&
                          exhausted == is_last(index_here) && (exhausted || follows(index_next, index_here))));
      // The base addresses are those of the next index.
      lemma_bases: assert (restart_i || !primed && weight_base == 0 && act_base == 0 || primed && (!tile_valid_o || exhausted ||
        weight_base == 16'(weights_here + (ky_here == padding_i && kx_here == padding_i ? tile_weights_i : 0)) &&
        act_base == 16'(ky_here != padding_i || kx_here != padding_i ? acts_here : i_here == input_tiles_i - 1 ? 0 : acts_here + tile_pixels_i)));
      // After a prime comes the first index of all: the first taps of the first tiles.
      starts_with_the_first: assert (!first_tile || restart_i || (tile_valid_o && o_here == 0 && i_here == 0 &&
                                     first(row_taps_i, ky_here) && first(col_taps_i, kx_here)));
      // After a take comes the lexicographic successor: kernel column, kernel row, input tile, output tile.
      successor_follows: assert (!next_tile || restart_i || !tile_valid_o || follows(index_here, index_before));
      // The sequence of tiles ends with the last index, no sooner and no later.
      ends_with_the_last: assert (!next_tile || restart_i || tile_valid_o == !is_last(index_before));
      // Each step lowers the number of tiles that are left, so the sequence ends.
      less_is_left: assert (!next_tile || restart_i || !tile_valid_o || left_here < left_before);
      // The weights' address is that of the index.
      weights_of_index: assert (!here ||
        weight_address_o == 16'(weights_here + tap_here * COLS));
      // The first activation is the first that the tap uses in the input tile.
      activation_of_index: assert (!here ||
        act_address_o == 16'(acts_here + row_start + first_input(kx_here)));
      // The first pixel is the first that the tap reaches.
      pixel_of_index: assert (!here || pixel_o == 16'(row_pixels + first_col));
      // The tile's rows inside the map are exactly those that the tap reaches.
      rows_of_index: assert (!here ||
        row_reached == (out >= first_row && out < first_row + rows_o - rows_outside_o));
      // The tile's columns inside the map are exactly those that the tap reaches.
      cols_of_index: assert (!here ||
        col_reached == (out >= first_col && out < first_col + cols_o - cols_outside_o));
      // Only the last tile of an output tile is final, and visits all its rows and columns.
      final_visits_all: assert (!here || (final_o == is_final && (is_final ?
        rows_o == out_height_i && cols_o == out_width_i : rows_outside_o == 0 && cols_outside_o == 0)));
      // The second output tile of a 2 × 2 kernel
      second_output_tile: cover (here && next_tile && o_here == 1 && kernel_i == 2);
      // The end of a layer of two tiles
      ends: cover (next_tile && !tile_valid_o && i_before == 1);
    end
  end
