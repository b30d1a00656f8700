  // In the proofs of this module the pipeline's registers are wires: they hold what they hold after four
  // cycles of the same inputs. The parameters have any values that the core takes, except the widths of
  // products, which follow from COLS and ACT_WORDS: any_cols is any number of columns with the $clog2 of
  // COLS, and any_act_words is at most ACT_WORDS. tb/formal/proof_table.py puts these in their places.
  (* anyconst *) wire [31:0] any_rows;
  (* anyconst *) wire [31:0] any_cols;
  (* anyconst *) wire [ 3:0] any_weight_width;
  (* anyconst *) wire [31:0] any_sum_width;
  (* anyconst *) wire [31:0] any_act_words;
  (* anyconst *) wire [31:0] any_weight_words;
  (* anyconst *) wire [31:0] any_threshold_tiles;
  (* anyconst *) wire [31:0] any_pixels;
  (* anyconst *) wire any_output_scaling;
  (* anyconst *) wire [7:0] any_pool_width;

  // The definition. Each product is as wide as its factors demand; of a wide factor the halves are
  // multiplied, so that a product which is also in the RTL is the same one for the solver.
  wire [10:0] true_padded_height = height_i[7:0] + {padding_i, 1'b0};
  wire [10:0] true_padded_width = width_i[7:0] + {padding_i, 1'b0};
  wire [ 8:0] true_out_height = (true_padded_height - kernel_i) / stride_i + 1;
  wire [ 8:0] true_out_width = (true_padded_width - kernel_i) / stride_i + 1;
  wire [15:0] true_map = height_i[7:0] * width_i[7:0];
  wire [31:0] true_pixels = images_i[15:0] * true_map;
  wire [39:0] true_acts = input_tiles_i[7:0] * true_pixels[15:0] + {input_tiles_i[7:0] * true_pixels[31:16], 16'd0};
  wire [ 5:0] true_taps = kernel_i[2:0] * kernel_i[2:0];
  wire [15:0] true_tile_weights = true_taps * any_cols[15:0];
  wire [13:0] true_psums = input_tiles_i[7:0] * true_taps;
  wire [21:0] true_columns = output_tiles_i[7:0] * true_psums;
  wire [29:0] true_weights = true_columns * any_cols[7:0];
  // The same, as wide as in the RTL
  wire [WEIGHTS_WIDTH-1:0] true_low_weights = true_columns * any_cols[WEIGHTS_WIDTH-1:0];
  wire [17:0] true_out_map = out_height_o * out_width_o;
  wire [31:0] true_out_low = images_i[15:0] * out_map_pixels_2;
  wire [17:0] true_out_high = (true_out_map[16] ? images_i[15:0] : 0) + (true_out_map[17] ? {images_i[15:0], 1'b0} : 0);
  wire [33:0] true_out_pixels = true_out_low + {true_out_high, 16'd0};
  wire [31:0] true_most = (32'd1 << (any_sum_width - 1)) - 2;
  // The sizes of the outermost activation and weight, by the definition of their codes
  wire [31:0] true_act = (ACT_SIGNED != 0) ? (32'd1 << ACT_WIDTH) / 2 : (32'd1 << ACT_WIDTH) - 1;
  wire [31:0] true_weight = (32'd1 << any_weight_width) / 2;
  wire [31:0] true_psum = any_rows * true_act * true_weight;
  wire [63:0] true_largest = MAX_PSUMS * true_psum;

  // The tap reaches the map if the first output does whose input is not above the map.
  function [6:0] true_reaching(input [7:0] side, input [8:0] out_side, input is_stride2);
    integer tap, first;
    begin
      for (tap = 0; tap < 7; tap = tap + 1) begin
        first = (tap >= padding_i) ? 0 : is_stride2 ? (padding_i - tap + 1) >> 1 : padding_i - tap;
        true_reaching[tap] = tap < kernel_i && first < out_side && (first << is_stride2) + tap - padding_i < side;
      end
    end
  endfunction

  reg [3:0] true_register_error;
  reg [3:0] true_error;
  always @* begin
    if (height_i == 0 || height_i > 255 || width_i == 0 || width_i > 255 || input_tiles_i == 0 || input_tiles_i > 255 ||
        output_tiles_i == 0 || output_tiles_i > 255 || images_i == 0 || images_i > 65535 || kernel_i == 0)
      true_register_error = `CORE_ERROR_SIZE;
    else if (kernel_i > 7) true_register_error = `CORE_ERROR_KERNEL;
    else if (stride_i != 1 && stride_i != 2) true_register_error = `CORE_ERROR_STRIDE;
    else if (padding_i > 3 || padding_i > kernel_i - 1) true_register_error = `CORE_ERROR_PADDING;
    else if (kernel_i > true_padded_height || kernel_i > true_padded_width) true_register_error = `CORE_ERROR_KERNEL;
    else if (!(mode_i == `CORE_MODE_SUMS || mode_i == `CORE_MODE_RELU || mode_i == `CORE_MODE_CODES || (mode_i == `CORE_MODE_SCALED && any_output_scaling))) true_register_error = `CORE_ERROR_MODE;
    else true_register_error = `CORE_ERROR_NONE;

    if (true_register_error != `CORE_ERROR_NONE) true_error = true_register_error;
    else if (true_psums > MAX_PSUMS) true_error = `CORE_ERROR_OVERFLOW;
    else if (true_weights > any_weight_words) true_error = `CORE_ERROR_WEIGHT_MEMORY;
    else if (true_acts > any_act_words) true_error = `CORE_ERROR_ACT_MEMORY;
    else if (true_out_pixels > any_pixels) true_error = `CORE_ERROR_ACCUMULATOR;
    else if ((mode_i == `CORE_MODE_CODES || mode_i == `CORE_MODE_SCALED) && output_tiles_i > any_threshold_tiles) true_error = `CORE_ERROR_THRESHOLD_MEMORY;
    else if (pool_i && !(mode_i == `CORE_MODE_CODES && true_out_height % 2 == 0 && true_out_width % 2 == 0 && true_out_width <= any_pool_width)) true_error = `CORE_ERROR_POOLING;
    else true_error = `CORE_ERROR_NONE;
  end

  always @* begin
    // The core takes these parameters; COLS and ACT_WORDS say how wide products are.
    any_parameters: assume (any_rows >= 2 && any_rows <= 254 && any_weight_width >= 2 && any_weight_width <= 8 && any_cols <= COLS && any_cols > (1 << $clog2(COLS)) / 2 && (any_sum_width == 16 || any_sum_width == 24 || any_sum_width == 32) && any_act_words <= ACT_WORDS && any_weight_words <= 32768 && any_pixels <= 32768 && any_threshold_tiles <= 256);
    // No more psums than the largest number of them can overflow a sum, and one more psum could.
    largest_psums: assert (true_largest <= true_most && true_most - true_largest < true_psum);
    // A layer that fits has the sizes that are stated: those of each product, the mode, and 16 words of thresholds a tile.
    products: assert (error_o != 0 || (height_o == height_i && width_o == width_i && kernel_o == kernel_i && stride2_o == (stride_i == 2) && padding_o == padding_i && mode_o == mode_i && pool_o == pool_i && images_o == images_i && input_tiles_o == input_tiles_i && output_tiles_o == output_tiles_i && map_pixels_o == true_map && tile_pixels_o == true_pixels && act_words_o == true_acts && tile_weights_o == true_tile_weights && weight_words_o == true_weights && out_map_pixels_o == true_out_map && out_tile_pixels_o == true_out_pixels && threshold_words_o == {output_tiles_i, 4'd0}));
    // The error is the first that the definition names, or none.
    errors: assert (error_o == true_error);
    // The width of the output's pixels has room for 16 times the pixels of the largest map.
    out_width_suffices: assert (16 * ACT_WORDS < 1 << OUT_WIDTH);
    // A layer in codes, with the largest kernel
    largest_kernel: cover (mode_o == `CORE_MODE_CODES && error_o == 0 && kernel_o == 7);

    if (true_register_error == `CORE_ERROR_NONE) begin
      // The sides of the output are those of the definition.
      output_sides: assert (out_height_o == true_out_height && out_width_o == true_out_width);
      // The taps that reach the map are those of the definition.
      taps: assert (row_taps_o == true_reaching(height_i, out_height_o, stride_i == 2) && col_taps_o == true_reaching(width_i, out_width_o, stride_i == 2));
      // Each product is exact, or is flagged as too large.
      lemma_products: assert (map_pixels_1 == true_map && psums_2 == true_psums && pixels_2 == true_pixels && tile_weights_o == true_tile_weights && out_map_pixels_2 == true_out_map[15:0]);
      // The number of weights is exact.
      lemma_weights: assert (weights_3 == true_weights);
      // With few pixels the activations are exact.
      lemma_acts: assert (true_pixels > 65535 || acts_3 == true_acts);
      // With a small output map its pixels are exact in their lowest bits.
      lemma_out_pixels: assert (out_pixels_3 == true_out_low[OUT_WIDTH-1:0]);
      // Products of numbers from 1 on are at least as large as their factors.
      fact_factors: assume (true_acts >= true_pixels && true_pixels >= true_map && true_map >= 1);
      // A product of 22 bits and a number of at most 2^n has at most 22 + n bits.
      fact_weights: assume (any_cols > 1 << (WEIGHTS_WIDTH - 22) || true_weights == true_low_weights);
      // Each side of the output is at most three longer than that of the map, and (a + 3)(b + 3) = ab + 3a + 3b + 9.
      fact_output_map: assume (true_out_map <= true_map + height_i + height_i + height_i + width_i + width_i + width_i + 9);
      // Each side of the output is at most four times that of the map.
      fact_output_pixels: assume (true_out_pixels <= {true_pixels, 4'd0});
    end
  end
