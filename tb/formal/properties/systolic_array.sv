  reg started = 1'b0;
  always @(posedge clk_i) started <= 1'b1;

  // A weight at column c has at most COLS − c PEs still to reach.
  wire [ROWS*COLS-1:0] hops_fit;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : g_fit_row
      for (c = 0; c < COLS; c = c + 1) begin : g_fit_col
        assign hops_fit[r*COLS + c] = g_row[r].g_col[c].hops_west <= COLS - c;
      end
    end
  endgenerate

  // Cycles since the last reset, and the valid inputs of the last LATENCY cycles
  reg [LATENCY:1] valid_past;
  always @(posedge clk_i) valid_past <= rst_i ? {LATENCY{1'b0}} : {valid_past, act_valid_i};

  always @* begin
    // A run begins with a reset.
    reset_first: assume (started || rst_i);
    // A weight is for one of the columns.
    column_is_there: assume (weight_col_i < COLS);
    if (started) begin
      // No weight travels further than the last column.
      weights_end_in_the_array: assert (&hops_fit);
      // The registers of valid are those of the last cycles.
      lemma_valid: assert (valid_stages == valid_past);
      // Psums are valid LATENCY cycles after their activations, none is lost, none is invented.
      valid_is_late: assert (psum_valid_o == valid_past[LATENCY]);
      // A psum leaves.
      psum_leaves: cover (psum_valid_o);
    end
  end
