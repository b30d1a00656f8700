  // The same array, whose multipliers do not rest, on the same inputs. It has no array inside, as
  // its ZERO_GATING is 0.
  generate
    if (ZERO_GATING != 0) begin : g_same
      wire valid_plain;
      wire [COLS*PSUM_WIDTH-1:0] psum_plain;
      reconfigurable_array #(
        .ROWS(ROWS), .COLS(COLS), .ACT_WIDTH(ACT_WIDTH), .WEIGHT_WIDTH(WEIGHT_WIDTH),
        .PSUM_WIDTH(PSUM_WIDTH), .ZERO_GATING(0)
      ) plain (
        .clk_i(clk_i), .rst_i(rst_i),
        .halves_i(halves_i), .output_stationary_i(output_stationary_i),
        .weight_valid_i(weight_valid_i), .weight_col_i(weight_col_i), .weight_i(weight_i),
        .act_valid_i(act_valid_i), .act_start_i(act_start_i), .act_last_i(act_last_i),
        .act_i(act_i), .weight_north_i(weight_north_i),
        .psum_valid_o(valid_plain), .psum_o(psum_plain)
      );

      // What each PE holds: weights, psum or sum, and result; first of this array, then of the
      // other. And the activation that a PE gets, each half of which is 0 where zero is told.
      wire [ROWS*COLS-1:0] same;
      for (r = 0; r < ROWS; r = r + 1) begin : g_same_row
        for (c = 0; c < COLS; c = c + 1) begin : g_same_col
          wire [2*WEIGHT_WIDTH-1:0] seen_shadow;
          wire [2*WEIGHT_WIDTH-1:0] seen_active;
          wire [    PSUM_WIDTH-1:0] seen_psum;
          wire [    PSUM_WIDTH-1:0] seen_result;
          wire [     ACT_WIDTH-1:0] seen_act;
          wire [               1:0] seen_zero;
          wire [2*WEIGHT_WIDTH-1:0] seen_plain_shadow;
          wire [2*WEIGHT_WIDTH-1:0] seen_plain_active;
          wire [    PSUM_WIDTH-1:0] seen_plain_psum;
          wire [    PSUM_WIDTH-1:0] seen_plain_result;
          wire [     ACT_WIDTH-1:0] seen_plain_act;
          wire [     ACT_WIDTH-1:0] counted = seen_act
            & ~{{ACT_WIDTH / 2{seen_zero[1]}}, {ACT_WIDTH / 2{seen_zero[0]}}};
          assign same[r*COLS + c] =
            {seen_shadow, seen_active, seen_psum, seen_result, counted} ==
            {seen_plain_shadow, seen_plain_active, seen_plain_psum, seen_plain_result,
             seen_plain_act};
        end
      end

      reg started = 1'b0;
      reg after_reset = 1'b0;
      always @(posedge clk_i) {started, after_reset} <= {1'b1, started};

      always @* begin
        // A run begins with a reset.
        reset_first: assume (started || rst_i);
        // A weight is for one of the columns.
        column_is_there: assume (weight_col_i < COLS);
        // After the reset, before the first tile or block both arrays hold the same values, any ones.
        same_start: assume (after_reset || &same);
        if (after_reset) begin
          // Both arrays hold the same values.
          lemma_same: assert (&same);
          // Both give psums and sums in the same cycles.
          same_valid: assert (psum_valid_o == valid_plain);
          // Both give the same psums and sums.
          same_psums: assert (!psum_valid_o || psum_o == psum_plain);
          // A psum leaves while half an activation of zero is under way.
          gated_psum_leaves: cover (psum_valid_o && psum_o != 0 && act_skewed[ACT_WIDTH] && act_skewed[ACT_WIDTH/2-1:0] != 0);
        end
      end
    end
  endgenerate
