  // The same array, whose multipliers do not rest, on the same inputs. It has no array inside, as
  // its ZERO_GATING is 0.
  generate
    if (ZERO_GATING != 0) begin : g_same
      wire valid_plain;
      wire [COLS*PSUM_WIDTH-1:0] psum_plain;
      systolic_array #(
        .ROWS(ROWS), .COLS(COLS), .ACT_WIDTH(ACT_WIDTH), .ACT_SIGNED(ACT_SIGNED),
        .WEIGHT_WIDTH(WEIGHT_WIDTH), .PSUM_WIDTH(PSUM_WIDTH), .ZERO_GATING(0)
      ) plain (
        .clk_i(clk_i), .rst_i(rst_i),
        .weight_valid_i(weight_valid_i), .weight_col_i(weight_col_i), .weight_i(weight_i),
        .act_valid_i(act_valid_i), .act_swap_i(act_swap_i), .act_i(act_i),
        .psum_valid_o(valid_plain), .psum_o(psum_plain)
      );

      // The weights of each PE, in use and of the next tile: first of this array, then of the other
      wire [ROWS*COLS-1:0] same;
      for (r = 0; r < ROWS; r = r + 1) begin : g_same_row
        for (c = 0; c < COLS; c = c + 1) begin : g_same_col
          wire [WEIGHT_WIDTH-1:0] seen_shadow;
          wire [WEIGHT_WIDTH-1:0] seen_active;
          wire [WEIGHT_WIDTH-1:0] seen_plain_shadow;
          wire [WEIGHT_WIDTH-1:0] seen_plain_active;
          assign same[r*COLS + c] =
            {seen_shadow, seen_active} == {seen_plain_shadow, seen_plain_active};
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
        // After the reset, before the first tile both arrays hold the same weights, any ones.
        same_start: assume (after_reset || &same);
        if (after_reset) begin
          // Both arrays hold the same weights.
          lemma_weights: assert (&same);
          // Both give psums in the same cycles.
          same_valid: assert (psum_valid_o == valid_plain);
          // Both give the same psums.
          same_psums: assert (!psum_valid_o || psum_o == psum_plain);
          // A psum leaves while an activation of zero is under way.
          gated_psum_leaves: cover (psum_valid_o && psum_o != 0 && act_skewed[ACT_WIDTH] && act_skewed[ACT_WIDTH-1:0] != 0);
        end
      end
    end
  endgenerate
