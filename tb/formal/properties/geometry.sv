  // From the first load on that is not in the first cycle, before which nothing is known
  reg clocked = 1'b0;
  reg started = 1'b0;
  always @(posedge clk_i) begin
    clocked <= 1'b1;
    started <= started || (clocked && load_i);
  end

  always @* begin
    if (started) begin
      // The number of taps is the square of a kernel of at most 7, and the number of weight words is a multiple of COLS.
      lemma_products: assert (clocked && (kernel_taps_1 <= 25 || kernel_taps_1 == 36 || kernel_taps_1 == 49) && !kernel_taps_1[1] && weights_3 % COLS == 0);
      // The first stage finds the errors of the registers alone, which have the smallest numbers.
      lemma_errors: assert (clocked && error_1 <= `CORE_ERROR_MODE);
      // A number of psums above 255 · 25 belongs to a kernel of 6 or 7.
      lemma_psums: assert (clocked && (psums_2 <= 255 * 25 || psums_2 % 36 == 0 || psums_2 % 49 == 0));
      // No product of sizes up to 255 is a multiple of the prime 257; the multiples at the limits are checked.
      lemma_prime: assert (clocked && psums_2 != 257 && psums_2 != 514 && psums_2 != 1028 && weights_3 != 1028 * COLS);
      // The weights of a tile, and of all, fill the array's columns: a word each, for at most 49 taps.
      weights_fill_columns: assert (tile_weights_o <= 49 * COLS && tile_weights_o % COLS == 0 && weight_words_o % COLS == 0);
      // Thresholds come in 16 words for each output tile.
      thresholds_of_tiles: assert (threshold_words_o == 16 * output_tiles_o);
      // A layer in codes, with the largest kernel
      largest_kernel: cover (mode_o == `CORE_MODE_CODES && error_o == 0 && tile_weights_o == 49 * COLS);
    end
  end
