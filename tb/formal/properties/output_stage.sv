  reg started = 1'b0;
  always @(posedge clk_i) started <= 1'b1;

  // The RAMs' watched words, see ram.sv: which code falls, coarse thresholds 4, 8, 12, and of the fine ones
  // three neighbours; of lane 0 (there is one lane here)
  wire [4*(TILE_WIDTH+1)-1:0] seen_tiles;
  wire [3*(TILE_WIDTH+3)-1:0] seen_fine_places;
  wire seen_inverted;
  wire [3*SUM_WIDTH-1:0] seen_coarse;
  wire [3*SUM_WIDTH-1:0] seen_fine;

  // Any bank and tile, any group of four codes, and the thresholds written for it last: (0) whether the code falls, 1 to 15
  (* anyconst *) reg bank;
  (* anyconst *) reg [TILE_WIDTH-1:0] place;
  (* anyconst *) reg [1:0] group;
  reg [16*SUM_WIDTH-1:0] written;
  wire [SUM_WIDTH-1:0] sign = {1'b1, {(SUM_WIDTH - 1){1'b0}}};
  integer w;
  always @(posedge clk_i) begin
    for (w = 0; w < 16; w = w + 1) begin
      if (write_i && write_bank_i == bank && write_address_i == {place, w[3:0]}) written[w*SUM_WIDTH +: SUM_WIDTH] <= write_data_i;
    end
  end

  // The sum of six cycles ago, what the modes make of it, and whether it was the last of the layer
  reg [6*SUM_WIDTH-1:0] sums;
  reg [6:1] there;
  reg [6:1] of_place;
  reg [6:1] ends;
  reg [6*TILE_WIDTH-1:0] tiles;
  reg [7:0] tile_of;
  reg [15:0] pixel_of;
  wire ends_tile = pixel_of == out_tile_pixels_i - 1;
  wire ends_layer = ends_tile && tile_of == output_tiles_i - 1;
  always @(posedge clk_i) begin
    sums     <= {sums, sum_i[SUM_WIDTH-1:0]};
    there    <= {there, sum_valid_i} & {6{!rst_i}};
    ends     <= {ends, ends_layer};
    of_place <= {of_place, read_bank_i == bank && tile_of[TILE_WIDTH-1:0] == place};
    if (sum_valid_i) begin
      pixel_of <= ends_tile ? 0 : pixel_of + 1'b1;
      if (ends_tile) tile_of <= ends_layer ? 0 : tile_of + 1'b1;
    end
    if (rst_i) {pixel_of, tile_of} <= 0;
  end
  wire signed [SUM_WIDTH-1:0] sum_6 = sums[5*SUM_WIDTH +: SUM_WIDTH];
  wire signed [SUM_WIDTH-1:0] compared = written[0] ? ~sum_6 : sum_6;
  reg [3:0] reached;
  reg ascending;
  integer n;
  always @* begin
    reached = 4'd0;
    ascending = 1'b1;
    for (n = 1; n < 16; n = n + 1) begin
      if (compared >= $signed(written[n*SUM_WIDTH +: SUM_WIDTH])) reached = reached + 4'd1;
      if (n > 1 && $signed(written[n*SUM_WIDTH +: SUM_WIDTH]) < $signed(written[(n-1)*SUM_WIDTH +: SUM_WIDTH])) ascending = 1'b0;
    end
  end
  wire codes_known = there[6] && of_place[6];

  // Mode SCALED: the definition, of the words that were written for the place
  wire is_scaled = OUTPUT_SCALING != 0 && mode_i == `CORE_MODE_SCALED;
  // The factors and what follows from their product, of lane 0, connected by the proof of the mode. The
  // product of the definition has the same factors, which are shown to be the right ones, so that the solver
  // need not know what a product is.
  wire signed [SUM_WIDTH-1:0] seen_summand;
  wire signed [SUM_WIDTH-1:0] seen_multiplier;
  wire [2*SUM_WIDTH-1:0] seen_offset;
  wire [2*SUM_WIDTH-1:0] seen_total_4;
  wire [2*SUM_WIDTH-1:0] seen_total_5;
  wire [3*SUM_WIDTH-1:0] seen_words_5;
  wire [2*SUM_WIDTH-1:0] true_offset = {written[12*SUM_WIDTH +: SUM_WIDTH], written[8*SUM_WIDTH +: SUM_WIDTH]};
  wire signed [SUM_WIDTH-1:0] true_lowest = written[2*SUM_WIDTH +: SUM_WIDTH];
  wire signed [SUM_WIDTH-1:0] true_highest = written[3*SUM_WIDTH +: SUM_WIDTH];
  reg signed [2*SUM_WIDTH-1:0] true_product;
  reg signed [2*SUM_WIDTH-1:0] true_total_4;
  reg signed [2*SUM_WIDTH-1:0] true_total_5;
  wire signed [2*SUM_WIDTH-1:0] true_shifted = true_total_5 >>> written[SUM_WIDTH +: $clog2(2*SUM_WIDTH)];
  reg signed [2*SUM_WIDTH-1:0] true_scaled;
  always @(posedge clk_i) begin
    true_product <= seen_summand * seen_multiplier;
    true_total_4 <= true_product + $signed(true_offset);
    true_total_5 <= true_total_4;
    true_scaled  <= (true_shifted < true_lowest) ? true_lowest : (true_shifted > true_highest) ? true_highest : true_shifted;
  end
  wire [6:1] of_scaled = of_place & there & {6{is_scaled}};
  // Thresholds of the group, coarse or fine, as they are kept: with the sign inverted
  wire [3*SUM_WIDTH-1:0] coarse_of = {written[12*SUM_WIDTH +: SUM_WIDTH] ^ sign, written[8*SUM_WIDTH +: SUM_WIDTH] ^ sign,
                                      written[4*SUM_WIDTH +: SUM_WIDTH] ^ sign};
  wire [3*SUM_WIDTH-1:0] fine_of = {3{sign}} ^ (group == 0 ? written[SUM_WIDTH +: 3*SUM_WIDTH] : group == 1 ? written[5*SUM_WIDTH +: 3*SUM_WIDTH] :
                                               group == 2 ? written[9*SUM_WIDTH +: 3*SUM_WIDTH] : written[13*SUM_WIDTH +: 3*SUM_WIDTH]);

  wire rams_hold = seen_inverted == written[0] && seen_coarse == coarse_of && seen_fine == fine_of;

  // The coarse thresholds that are reached say in which group the fine ones are.
  wire [1:0] high_of = (compared >= $signed(written[4*SUM_WIDTH +: SUM_WIDTH]) ? 1 : 0) +
                       (compared >= $signed(written[8*SUM_WIDTH +: SUM_WIDTH]) ? 1 : 0) +
                       (compared >= $signed(written[12*SUM_WIDTH +: SUM_WIDTH]) ? 1 : 0);

  wire busy = sum_valid_i || there != 0;
  wire [29:0] layer = {mode_i, output_tiles_i, out_tile_pixels_i, read_bank_i};
  reg [29:0] past_layer;
  reg past_sum = 1'b0;
  reg past_ends_tile;
  reg past_reset = 1'b0;
  always @(posedge clk_i) {past_layer, past_sum, past_ends_tile, past_reset} <= {layer, sum_valid_i, ends_tile, rst_i};
  wire in_layer = busy || pixel_of != 0 || tile_of != 0;

  always @* begin
    // A run begins with a reset.
    reset_first: assume (started || rst_i);
    // The layer and the bank are known from the cycle before the first sums, and stay.
    layer_stays: assume (!started || !in_layer || layer == past_layer);
    // A layer whose sums come has tiles and pixels; in modes CODES and SCALED thresholds for all tiles.
    layer_sizes: assume (!in_layer || output_tiles_i != 0 && (output_tiles_i <= TILES || mode_i[2:1] == 0) && out_tile_pixels_i != 0);
    // The last sums of two tiles are not in neighbouring cycles.
    tiles_apart: assume (!(past_sum && past_ends_tile && sum_valid_i && ends_tile));
    // No sum comes in the cycle after a reset.
    none_after_reset: assume (!past_reset || !sum_valid_i);
    // The bank that is used is not written.
    bank_not_written: assume (!(write_i && write_bank_i == read_bank_i && in_layer));
    // Thresholds ascend.
    thresholds_ascend: assume (!codes_known || is_scaled || ascending);
    // The RAMs' words that are watched are those.
    same_words: assume (seen_tiles == {4{bank, place}} &&
                        seen_fine_places == {3{bank, place, group}});
    // What the RAMs hold at first is what was written there.
    held_at_first: assume (started || rams_hold);
    if (started) begin
      // The stages are where they should be, and the counts are the registers'.
      lemma_stages: assert (valid == there[5:1] && tile == tile_of && first_pixel == (pixel_of == 0) &&
                            (!in_layer || (pixel_of < out_tile_pixels_i && tile_of < output_tiles_i)) &&
                            (first_pixel || (pixels_left == out_tile_pixels_i - pixel_of && last_later == ends_tile)));
      // The RAMs hold what was written.
      lemma_rams: assert (rams_hold);
      // A result comes six cycles after each sum, and only then.
      six_cycles: assert (valid_o == there[6]);
      // Mode SUMS: the sum itself
      sums_stay: assert (!valid_o || mode_i != 0 || data_o == sum_6);
      // Mode RELU: the sum, or zero for a negative one
      relu_is_maximum: assert (!valid_o || mode_i != `CORE_MODE_RELU || data_o == (sum_6 < 0 ? 0 : sum_6));
      // Mode CODES: how many of the channel's thresholds the sum reaches, or its complement if the code falls
      code_counts_thresholds: assert (!codes_known || mode_i != `CORE_MODE_CODES || high_of != group || data_o == reached);
      // The stages of mode SCALED hold what the definition has there.
      lemma_scaled: assert ((!of_scaled[3] || seen_offset == true_offset) && (!of_scaled[4] || seen_total_4 == true_total_4) &&
                            (!of_scaled[5] || seen_total_5 == true_total_5) &&
                            (!of_scaled[5] || group != 0 || seen_words_5 == written[SUM_WIDTH +: 3*SUM_WIDTH]));
      // Mode SCALED: what is multiplied is the sum, by the channel's multiplier.
      factors: assert (!of_scaled[2] || (seen_summand == $signed(sums[SUM_WIDTH +: SUM_WIDTH]) && seen_multiplier == $signed(written[4*SUM_WIDTH +: SUM_WIDTH])));
      // Mode SCALED: the sum times the multiplier, plus the offset, shifted and clamped, in 8 bits
      code_is_scaled: assert (!codes_known || !is_scaled || group != 0 || data_o == true_scaled[7:0]);
      // last_o comes with the layer's last pixel, and with no other.
      last_with_the_last: assert (!valid_o || last_o == ends[6]);
      // The highest code that falls
      falling: cover (codes_known && mode_i == `CORE_MODE_CODES && written[0] && data_o == 4'd15 && high_of == group);
      // A code that is scaled, and lies between the ends of its clamp
      between: cover (codes_known && is_scaled && group == 0 && true_lowest < -3 && true_highest > 3 && data_o == 8'd2);
      // A second tile ends.
      second_tile: cover (valid_o && last_o && output_tiles_i == 2);
    end
  end
