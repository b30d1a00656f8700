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

  // Activations of the weight-stationary mode, and last steps of blocks, of the cycles before
  reg [LATENCY:1] entered;
  reg [LATENCY+ROWS:1] ended;
  always @(posedge clk_i) begin
    entered <= rst_i ? {LATENCY{1'b0}} : {entered, act_valid_i && !output_stationary_i};
    ended   <= rst_i ? {LATENCY+ROWS{1'b0}} : {ended, act_valid_i && act_last_i && output_stationary_i};
  end

  // What the registers of valid must hold, and the tokens of the drain at the west edge
  wire [LATENCY:1] wanted;
  wire [ROWS-1:0] draining;
  generate
    for (r = 1; r <= LATENCY; r = r + 1) begin : g_wanted
      if (r <= ROWS) begin : g_first
        assign wanted[r] = entered[r];
      end else begin : g_later
        assign wanted[r] = entered[r] || |ended[r+ROWS-1:r];
      end
    end
    for (r = 0; r < ROWS; r = r + 1) begin : g_draining
      assign draining[r] = |ended[ROWS+r:ROWS];
    end
  endgenerate

  always @* begin
    // A run begins with a reset.
    reset_first: assume (started || rst_i);
    // A weight is for one of the columns.
    column_is_there: assume (weight_col_i < COLS);
    if (started) begin
      // No weight travels further than the last column.
      weights_end_in_the_array: assert (&hops_fit);
      // The registers of valid and of the last steps are those of the cycles before.
      lemma_valid: assert (valid_stages == wanted && last_stages == ended[2*ROWS-1:1]);
      // Row r passes on r + 1 sums, from ROWS cycles after a block's last step on.
      each_row_drains: assert (drains == draining);
      // Psums are valid LATENCY cycles after their activations, and ROWS sums from LATENCY after a last step on.
      valid_is_late: assert (psum_valid_o == (entered[LATENCY] || |ended[LATENCY+ROWS-1:LATENCY]));
      // A psum leaves.
      psum_leaves: cover (psum_valid_o && entered[LATENCY]);
      // The last sum of a block leaves.
      sum_leaves: cover (psum_valid_o && ended[LATENCY+ROWS-1]);
    end
  end
